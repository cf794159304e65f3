"""XNNPACK, NVDLA, and accelerators whose multipliers are powers of two."""

from __future__ import annotations

from qdqnp.numerics.multiplier import Mantissa24, PowerOfTwo, Truncated16
from qdqnp.numerics.profiles.families import requantization
from qdqnp.numerics.rules.requantize.float_round import FloatRound
from qdqnp.numerics.rules.requantize.rescale import Rescale
from qdqnp.numerics.stages import MultiplyShift, Saturate

ORDER = 5
PROFILES = (
    requantization(
        "xnnpack-fp32",
        "XNNPACK with float32 requantization: TFLite's usual desktop delegate",
        "google/XNNPACK, src/qs8-requantization",
        FloatRound("float32", "float32", "half-even"),
        inferred=("matmul",),
    ),
    requantization(
        "xnnpack-rndnu",
        "XNNPACK: 24-bit multiplier, halves up",
        "google/XNNPACK, src/qs8-requantization",
        Rescale(Mantissa24(), (MultiplyShift("half-up"),), precision="float32"),
        inferred=("matmul",),
    ),
    requantization(
        "nvdla",
        "NVDLA: 16-bit multiplier, halves away, 17-bit result",
        "nvdla/sw, LowPrecision.h",
        Rescale(Truncated16(), (MultiplyShift("half-away"), Saturate(17))),
        inferred=("matmul", "gemm"),
    ),
    requantization(
        "pow2",
        "power-of-two multipliers, halves up (ESP32, ESP32-S3)",
        "espressif/esp-dl",
        Rescale(PowerOfTwo(), (MultiplyShift("half-up"),)),
        inferred=("matmul",),
    ),
    requantization(
        "pow2-floor",
        "power-of-two multipliers, rounding down",
        "espressif/esp-dl",
        Rescale(PowerOfTwo(), (MultiplyShift("floor"),)),
        inferred=("matmul",),
    ),
    requantization(
        "pow2-even",
        "power-of-two multipliers, halves to even (ESP32-P4)",
        "espressif/esp-dl",
        Rescale(PowerOfTwo(), (MultiplyShift("half-even"),)),
        inferred=("matmul",),
    ),
)
