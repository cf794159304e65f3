"""Builders of the profiles that share a shape: complete fixed-point ones, and those of requantization only."""

from __future__ import annotations

from qdqnp.numerics.profile import Profile
from qdqnp.numerics.rules.accumulate import ExactSum
from qdqnp.numerics.rules.add import ThreeRescaleAdd
from qdqnp.numerics.rules.average import DividedAverage
from qdqnp.numerics.rules.convert import FloatConvert
from qdqnp.numerics.rules.float_sum import AnySum
from qdqnp.numerics.rules.lookup import RescaledLookup
from qdqnp.numerics.rules.mean import RescaleMean
from qdqnp.numerics.rules.mul import RescaledMul
from qdqnp.numerics.rules.requantize.protocol import RequantizeRule
from qdqnp.numerics.rules.requantize.rescale import Rescale
from qdqnp.numerics.rules.undefined import Undefined

UNDEFINED = Undefined("this family's arithmetic for it is not in qdqnp's specification")
NO_FLOATS = AnySum("a device without a float unit sums no float32")
REQUANTIZATION_ONLY = Undefined("the profile defines the requantization of Conv, Gemm and MatMul only")


def complete(name: str, summary: str, source: str, rescale: Rescale, gemm: RequantizeRule | None = None) -> Profile:
    """Build a TFLite-like profile: one requantization serves every operator; Gemm may have its own.

    The profile has the status of `rescale`.
    """
    mean = RescaleMean(rescale)
    return Profile(
        name=name,
        summary=summary,
        status=rescale.status,
        source=source,
        lowering="ort",
        host_float=False,
        convert=FloatConvert(),
        accumulate=ExactSum(),
        conv=rescale,
        matmul=rescale,
        gemm=gemm or rescale,
        add=ThreeRescaleAdd(rescale),
        mul=RescaledMul(rescale),
        concat=RescaledLookup(rescale),
        lookup=UNDEFINED,
        average_pool=DividedAverage(mean),
        global_average_pool=mean,
        softmax=UNDEFINED,
        float_sum=NO_FLOATS,
    )


def requantization(name: str, summary: str, source: str, rule: RequantizeRule) -> Profile:
    """Build a profile of Conv, Gemm and MatMul; every other arithmetic is refused."""
    return Profile(
        name=name,
        summary=summary,
        status=rule.status,
        source=source,
        lowering="ort",
        host_float=False,
        convert=FloatConvert(),
        accumulate=ExactSum(),
        conv=rule,
        matmul=rule,
        gemm=rule,
        add=REQUANTIZATION_ONLY,
        mul=REQUANTIZATION_ONLY,
        concat=REQUANTIZATION_ONLY,
        lookup=REQUANTIZATION_ONLY,
        average_pool=REQUANTIZATION_ONLY,
        global_average_pool=REQUANTIZATION_ONLY,
        softmax=REQUANTIZATION_ONLY,
        float_sum=NO_FLOATS,
    )
