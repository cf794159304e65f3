"""TensorFlow Lite and CMSIS-NN: 31-bit multipliers, double or single rounding.

LiteRT and TFLite Micro share kernels, but not the precision in which multipliers are formed, nor FullyConnected. A rule
is established where the library has that kernel and it was compared (tools/verify/kernel_tier.py); docs/numerics.md
lists with what.
"""

from __future__ import annotations

from dataclasses import replace

from qdqnp.numerics.multiplier import QuantizeMultiplier, Reduced16
from qdqnp.numerics.profile import Profile
from qdqnp.numerics.profiles.families import complete, requantization
from qdqnp.numerics.rules.add import ThreeRescaleAdd
from qdqnp.numerics.rules.functions import TfliteFunctions
from qdqnp.numerics.rules.interpolate import TfliteInterpolate
from qdqnp.numerics.rules.lookup import RescaledLookup
from qdqnp.numerics.rules.mean import DividedMean, RescaleMean
from qdqnp.numerics.rules.mul import RescaledMul
from qdqnp.numerics.rules.raw_mean import RoundedOffsetMean
from qdqnp.numerics.rules.requantize.float_round import FloatRound
from qdqnp.numerics.rules.requantize.rescale import Rescale
from qdqnp.numerics.rules.tflite_softmax import FixedSoftmax, FloatSoftmax
from qdqnp.numerics.stages import MultiplyHigh, MultiplyShift, ShiftLeft, ShiftRight
from qdqnp.numerics.status import INFERRED

LITERT = "google-ai-edge/LiteRT, tflite/kernels"
TFLM_COMMON = "tensorflow/tflite-micro, tensorflow/lite/kernels/internal/common.h"
CMSIS = "ARM-software/CMSIS-NN, Include/arm_nnsupportfunctions.h"

DOUBLE = Rescale(QuantizeMultiplier(), (ShiftLeft(), MultiplyHigh(), ShiftRight("half-away")))
RUY = Rescale(QuantizeMultiplier(), (ShiftLeft(), MultiplyHigh(), ShiftRight("half-up")))
SINGLE = Rescale(QuantizeMultiplier(single=True), (MultiplyShift("half-up"),), shifts=(1, 62))
WIDE = Rescale(Reduced16(), (MultiplyShift("half-up"),), accumulator=64, shifts=(0, 46))

# LiteRT's BatchMatMul, reference and optimized; TFLite Micro's, and its FullyConnected, until August 2026.
FLOAT32_PRODUCT = replace(DOUBLE, precision="float32-product")
# LiteRT's reference FullyConnected does not requantize as the other operators do.
FC_FLOAT = FloatRound("float64", "float64", "half-away")


TFLITE = complete(
    "tflite",
    "LiteRT's reference kernels: gemmlowp, two roundings; FullyConnected in float64",
    LITERT,
    DOUBLE,
    matmul=FLOAT32_PRODUCT,
    gemm=FC_FLOAT,
    mul=RescaledMul(replace(DOUBLE, precision="float32")),
    lookup=TfliteFunctions(DOUBLE),
    softmax=FixedSoftmax(RescaledLookup(DOUBLE)),
    resize=TfliteInterpolate(),
)
TFLM = complete(
    "tflm",
    "TFLite Micro: gemmlowp, two roundings, multipliers from float64",
    TFLM_COMMON,
    DOUBLE,
    lookup=TfliteFunctions(DOUBLE, fixed=True),
    softmax=FixedSoftmax(RescaledLookup(DOUBLE)),
    resize=TfliteInterpolate(),
)
TFLM_2026_08 = replace(
    TFLM,
    name="tflm-2026-08",
    summary="TFLite Micro until August 2026: FullyConnected and BatchMatMul form s_x * s_w in float32",
    source="tensorflow/tflite-micro at 90b983c, tensorflow/lite/kernels/kernel_util.cc",
    matmul=FLOAT32_PRODUCT,
    gemm=FLOAT32_PRODUCT,
)
TFLITE_SINGLE = complete(
    "tflite-single",
    "TFLite Micro built with single rounding",
    TFLM_COMMON,
    SINGLE,
    lookup=TfliteFunctions(SINGLE, True, INFERRED),
    softmax=FixedSoftmax(RescaledLookup(SINGLE), INFERRED),
    resize=TfliteInterpolate(),
)


def cmsis_nn(name: str, summary: str, rescale: Rescale) -> Profile:
    """Averages raw codes only; it has no kernel that rescales codes: the rescale of a Concat is TFLite Micro's."""
    return complete(
        name,
        summary,
        CMSIS,
        rescale,
        concat=RescaledLookup(rescale, INFERRED),
        lookup=TfliteFunctions(rescale, True, INFERRED),
        softmax=FixedSoftmax(RescaledLookup(rescale, INFERRED), INFERRED),
        resize=TfliteInterpolate(),
        global_average_pool=DividedMean(rescale),
    )


CMSIS_NN = cmsis_nn("cmsis-nn", "CMSIS-NN: two roundings, as tflm; averages of raw codes", DOUBLE)
CMSIS_NN_SINGLE = cmsis_nn("cmsis-nn-single", "CMSIS-NN built with single rounding", SINGLE)
TFLITE_RUY = complete(
    "tflite-ruy",
    "LiteRT's optimized kernels (NEON, ruy): both roundings half up in products, means and rescales of codes",
    "google/ruy, ruy/apply_multiplier.cc; google-ai-edge/LiteRT, tflite/kernels/internal/optimized",
    RUY,
    matmul=FLOAT32_PRODUCT,
    gemm=replace(RUY, precision="float32-product"),
    add=ThreeRescaleAdd(DOUBLE),
    mul=RescaledMul(replace(DOUBLE, precision="float32")),
    # codes beyond a multiple of 16 take another path, with halves away from zero
    concat=RescaledLookup(RUY, INFERRED),
    global_average_pool=RoundedOffsetMean(RUY),
    lookup=TfliteFunctions(DOUBLE),
    softmax=FloatSoftmax(RescaledLookup(RUY, INFERRED)),
    resize=TfliteInterpolate(),
)
TFLITE_FC_FLOAT = requantization(
    "tflite-fc-float",
    "LiteRT's reference FullyConnected: float64 product, halves away",
    "google-ai-edge/LiteRT, tflite/kernels/internal/reference/integer_ops/fully_connected.h",
    FC_FLOAT,
    inferred=("conv", "matmul"),
)
TFLITE_16X8 = complete(
    "tflite-16x8",
    "LiteRT's kernels of int16 codes and int8 weights: 16-bit multiplier, 64-bit sums; FullyConnected in float64",
    LITERT,
    WIDE,
    lowering="device-16x8",
    matmul=replace(WIDE, precision="float32-product"),
    gemm=FC_FLOAT,
    add=ThreeRescaleAdd(DOUBLE, left_shift=15),
    mul=RescaledMul(replace(DOUBLE, precision="float32")),
    concat=RescaledLookup(DOUBLE),
    global_average_pool=RescaleMean(DOUBLE),
)

ORDER = 2
PROFILES = (
    TFLITE,
    TFLM,
    TFLM_2026_08,
    TFLITE_SINGLE,
    CMSIS_NN,
    CMSIS_NN_SINGLE,
    TFLITE_RUY,
    TFLITE_FC_FLOAT,
    TFLITE_16X8,
)
