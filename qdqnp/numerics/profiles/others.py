"""XNNPACK, NVDLA, PULP, Rockchip, TI, and accelerators whose multipliers are powers of two."""

from __future__ import annotations

from dataclasses import replace

from qdqnp.numerics.multiplier import FixedShift, Mantissa24, PowerOfTwo, TopMantissa, Truncated16
from qdqnp.numerics.profile import Profile
from qdqnp.numerics.profiles.families import requantization, whole
from qdqnp.numerics.profiles.tflite import DOUBLE, FLOAT32_PRODUCT
from qdqnp.numerics.rules.average import DividedAverage, MeanAverage
from qdqnp.numerics.rules.by_requantization import CodeAdd, OperandAdd, RequantizedMean
from qdqnp.numerics.rules.functions import TfliteFunctions
from qdqnp.numerics.rules.interpolate import XnnpackInterpolate
from qdqnp.numerics.rules.lookup import RescaledLookup
from qdqnp.numerics.rules.mul import RescaledMul
from qdqnp.numerics.rules.raw_mean import FloatOffsetMean, FloatReciprocalMean
from qdqnp.numerics.rules.requantize.by_symmetry import BySymmetry
from qdqnp.numerics.rules.requantize.float_round import FloatRound
from qdqnp.numerics.rules.requantize.offset_shift import OffsetScaleShift, RequantShift
from qdqnp.numerics.rules.requantize.protocol import RequantizeRule
from qdqnp.numerics.rules.requantize.rescale import Rescale
from qdqnp.numerics.rules.shift_add import CommonShiftAdd, PowerAdd
from qdqnp.numerics.rules.tables import DelegatedLookup, RoundedTable, XnnpackFunctions
from qdqnp.numerics.rules.tflite_softmax import FloatSoftmax
from qdqnp.numerics.rules.undefined import Undefined
from qdqnp.numerics.stages import MultiplyShift, Saturate
from qdqnp.numerics.status import INFERRED

FLOAT32 = FloatRound("float32", "float32", "half-even")
CONVERSION = Rescale(FixedShift(8), (MultiplyShift("half-up"),), precision="float32")
# XNNPACK's delegate leaves to LiteRT: Softmax, HardSwish, windowed averages, and products whose right operand is not
# symmetric.
XNNPACK = whole(
    "xnnpack-fp32",
    "LiteRT with XNNPACK, its usual desktop delegate: float32 requantization",
    "google/XNNPACK, src/qs8-requantization, src/microparams-init.c; compared with LiteRT 2.3.0",
    conv=FLOAT32,
    matmul=BySymmetry(FLOAT32, FLOAT32_PRODUCT),
    add=CommonShiftAdd(),
    mul=RescaledMul(FLOAT32),
    concat=RescaledLookup(CONVERSION),
    lookup=DelegatedLookup(XnnpackFunctions(CONVERSION), TfliteFunctions(DOUBLE)),
    average_pool=DividedAverage(FloatOffsetMean()),
    global_average_pool=FloatOffsetMean(),
    softmax=FloatSoftmax(RescaledLookup(CONVERSION)),
    resize=XnnpackInterpolate(),
)


def pow2(name: str, summary: str, tie: str) -> Profile:
    """ESP-DL's operators: a shift with one rule of ties, and averages in float32."""
    rescale = Rescale(PowerOfTwo(), (MultiplyShift(tie),))
    mean = FloatReciprocalMean(tie)
    return whole(
        name,
        summary,
        "espressif/esp-dl, esp-dl/dl",
        conv=rescale,
        matmul=replace(rescale, status=INFERRED),
        add=PowerAdd(tie),
        mul=RescaledMul(rescale),
        concat=RescaledLookup(rescale),
        lookup=RoundedTable(tie),
        average_pool=MeanAverage(mean),
        global_average_pool=mean,
        softmax=Undefined("ESP-DL's Softmax makes float32 numbers, no codes"),
    )


def shifted(name: str, summary: str, source: str, rule: RequantizeRule) -> Profile:
    """A device of which the requantization is published: whole networks by that rule, all but products inferred."""
    mean = RequantizedMean(rule)
    return whole(
        name,
        summary,
        source,
        conv=rule,
        add=OperandAdd(rule),
        mul=RescaledMul(rule, INFERRED),
        concat=RescaledLookup(rule, INFERRED),
        lookup=RoundedTable(),
        average_pool=MeanAverage(mean, INFERRED),
        global_average_pool=mean,
    )


ORDER = 5
PROFILES = (
    XNNPACK,
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
    shifted(
        "pulp",
        "PULP RequantShift (Siracusa, GAP9, Snitch): int32 throughout; its numbers are a compiler's",
        "pulp-platform/Deeploy, TargetLibraries/Generic/src/RequantShift_s8.c",
        RequantShift(),
    ),
    shifted(
        "rockchip-rk3588",
        "Rockchip RK3588 and RK3576, weights with one scale: 15-bit mantissa plus 1, halves to even",
        "sweeps on silicon by a third party, gregordinary/rocket-userspace; not reproduced",
        Rescale(TopMantissa(), (MultiplyShift("half-even"),), precision="float32", status=INFERRED),
    ),
    replace(
        shifted(
            "ti-tinpu",
            "TI TINPU (C2000, MSPM0): offset, 8-bit multiplier, a shift that rounds down",
            "TexasInstruments/tinyml-tensorlab, tinyml-modeloptimization, quantization/tinpu",
            OffsetScaleShift(),
        ),
        matmul=OffsetScaleShift(status=INFERRED),
        add=CodeAdd(OffsetScaleShift()),
    ),
    pow2("pow2", "power-of-two multipliers, halves up (ESP32, ESP32-S3)", "half-up"),
    pow2("pow2-floor", "power-of-two multipliers, rounding down", "floor"),
    pow2("pow2-even", "power-of-two multipliers, halves to even (ESP32-P4)", "half-even"),
)
