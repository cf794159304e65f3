"""TensorFlow Lite and CMSIS-NN: 31-bit multipliers, double or single rounding."""

from __future__ import annotations

from qdqnp.numerics.multiplier import QuantizeMultiplier, Reduced16
from qdqnp.numerics.profiles.families import complete, requantization
from qdqnp.numerics.rules.requantize.float_round import FloatRound
from qdqnp.numerics.rules.requantize.rescale import Rescale
from qdqnp.numerics.stages import MultiplyHigh, MultiplyShift, ShiftLeft, ShiftRight

TFLM = "tensorflow/tflite-micro, tensorflow/lite/kernels/internal/common.h"
CMSIS = "ARM-software/CMSIS-NN, Include/arm_nnsupportfunctions.h"

DOUBLE = Rescale(QuantizeMultiplier(), (ShiftLeft(), MultiplyHigh(), ShiftRight("half-away")))
RUY = Rescale(QuantizeMultiplier(), (ShiftLeft(), MultiplyHigh(), ShiftRight("half-up")))
SINGLE = Rescale(QuantizeMultiplier(single=True), (MultiplyShift("half-up"),), shifts=(1, 62))
WIDE = Rescale(Reduced16(), (MultiplyShift("half-up"),), accumulator=64, shifts=(0, 46))

# the reference FullyConnected does not requantize as the other operators do; LiteRT 2.3.0 shows it
FC_FLOAT = FloatRound("float32-product", "float64", "half-away")

TFLITE = complete(
    "tflite", "TFLite Micro and TFLite's reference kernels: gemmlowp, two roundings", TFLM, DOUBLE, gemm=FC_FLOAT
)
TFLITE_SINGLE = complete("tflite-single", "TFLite built with single rounding", TFLM, SINGLE)
CMSIS_NN = complete("cmsis-nn", "CMSIS-NN: two roundings, equal to tflite", CMSIS, DOUBLE)
CMSIS_NN_SINGLE = complete("cmsis-nn-single", "CMSIS-NN built with single rounding", CMSIS, SINGLE)
TFLITE_RUY = requantization(
    "tflite-ruy",
    "TFLite's optimized kernels (NEON, ruy): both roundings half up",
    "google/ruy, ruy/apply_multiplier.cc",
    RUY,
)
TFLITE_FC_FLOAT = requantization(
    "tflite-fc-float",
    "newer reference FullyConnected: float64 product, halves away",
    "tensorflow/tflite-micro, kernels/internal/reference/integer_ops/fully_connected.h",
    FC_FLOAT,
)
TFLITE_16X8 = requantization("tflite-16x8", "TFLite's 16x8 kernels: 16-bit multiplier, 64-bit accumulator", TFLM, WIDE)

ORDER = 2
PROFILES = (TFLITE, TFLITE_SINGLE, CMSIS_NN, CMSIS_NN_SINGLE, TFLITE_RUY, TFLITE_FC_FLOAT, TFLITE_16X8)
