"""Builders of the profiles that share a shape: complete fixed-point ones, and those of requantization only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from qdqnp.numerics.profile import Profile
from qdqnp.numerics.rules.accumulate import ExactSum
from qdqnp.numerics.rules.add import ThreeRescaleAdd
from qdqnp.numerics.rules.average import AverageRule, DividedAverage
from qdqnp.numerics.rules.binary import BinaryRule
from qdqnp.numerics.rules.convert import FloatConvert
from qdqnp.numerics.rules.float_sum import AnySum
from qdqnp.numerics.rules.lookup import LookupRule, RescaledLookup
from qdqnp.numerics.rules.mean import MeanRule, RescaleMean
from qdqnp.numerics.rules.mul import RescaledMul
from qdqnp.numerics.rules.requantize.protocol import RequantizeRule
from qdqnp.numerics.rules.requantize.rescale import Rescale
from qdqnp.numerics.rules.undefined import Undefined
from qdqnp.numerics.status import INFERRED

UNDEFINED = Undefined("this family's arithmetic for it is not in qdqnp's specification")
NO_FLOATS = AnySum("a device without a float unit sums no float32")
REQUANTIZATION_ONLY = Undefined("the profile defines the requantization of Conv, Gemm and MatMul only")


def whole(
    name: str,
    summary: str,
    source: str,
    *,
    conv: RequantizeRule,
    add: BinaryRule,
    mul: BinaryRule,
    concat: LookupRule,
    average_pool: AverageRule,
    global_average_pool: MeanRule,
    **others: Any,
) -> Profile:
    """Build a fixed-point profile of whole networks. Gemm and MatMul are as Conv, tables are not defined.

    others: fields with an arithmetic of their own.

    The profile has the status of `conv`.
    """
    made = Profile(
        name=name,
        summary=summary,
        status=conv.status,
        source=source,
        lowering="device",
        host_float=False,
        convert=FloatConvert(),
        accumulate=ExactSum(),
        conv=conv,
        matmul=conv,
        gemm=conv,
        add=add,
        mul=mul,
        concat=concat,
        lookup=UNDEFINED,
        average_pool=average_pool,
        global_average_pool=global_average_pool,
        softmax=UNDEFINED,
        resize=UNDEFINED,
        float_sum=NO_FLOATS,
    )
    return replace(made, **others)


def complete(name: str, summary: str, source: str, rescale: Rescale, **others: Any) -> Profile:
    """Build a TFLite-like profile: one requantization serves every operator.

    others: fields with an arithmetic of their own.
    """
    mean = others.get("global_average_pool", RescaleMean(rescale))
    rules = {
        "add": ThreeRescaleAdd(rescale),
        "mul": RescaledMul(rescale),
        "concat": RescaledLookup(rescale),
        "average_pool": DividedAverage(mean),
        "global_average_pool": mean,
    }
    return whole(name, summary, source, conv=rescale, **{**rules, **others})


def requantization(
    name: str, summary: str, source: str, rule: Any, inferred: Sequence[str] = (), **others: Any
) -> Profile:
    """Build a profile of Conv, Gemm and MatMul; every other arithmetic is refused.

    inferred: those of the three that the library does not have a kernel for, or one that was not compared.
    others: fields that differ from `rule`.
    """
    made = Profile(
        name=name,
        summary=summary,
        status=rule.status,
        source=source,
        lowering="device",
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
        resize=REQUANTIZATION_ONLY,
        float_sum=NO_FLOATS,
    )
    return replace(made, **dict.fromkeys(inferred, replace(rule, status=INFERRED)), **others)
