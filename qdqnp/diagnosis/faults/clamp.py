"""Clamps: no saturation at all, or only the lower one, which is a fused ReLU, left out. And the sign bit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qdqnp.diagnosis.faults.fault import Changed, fault_of_question
from qdqnp.diagnosis.faults.memory import SIGN, TURNED, turned
from qdqnp.numerics.questions import Question, Sums
from qdqnp.numerics.rules.requantize.narrow import Narrowed
from qdqnp.numerics.values import named
from qdqnp.numerics.width import wrap
from qdqnp.quant import Codes, Int64, code_range

NO_CLAMP = "missing clamp"
NO_RELU = "ReLU missing"


@fault_of_question(SIGN)
def sign(question: Question, rule: Any) -> Iterator[Changed]:
    """Codes with another offset of 128: uint8 read as int8 or the reverse."""
    if question.y is not None:
        yield Changed(question, TURNED, finish=turned)


@fault_of_question(NO_RELU)
def no_relu(question: Question, rule: Any) -> Iterator[Changed]:
    """The lower limit is the zero point, so that the lower clamp is the ReLU: negative values appear. Where the zero
    point is the lowest code of the dtype, they are wrapped in an integer dump and themselves in a float one."""
    y = question.y
    if y is None or int(y.zero_point) != y.range[0]:
        return
    wide, high, shown = _unclipped(question), y.range[1], "negative values stand in the dump"
    lowest = code_range(y.dtype)[0]
    if y.range[0] > lowest:
        yield Changed(question.with_y(replace(y, limits=(lowest, high))), shown)
        return
    yield Changed(wide, "negative values wrap", finish=lambda codes: np.minimum(codes, high).astype(y.dtype))
    yield Changed(wide, shown, finish=lambda codes: np.minimum(codes, high))
    yield Changed(wide, f"{shown}, and values beyond the highest code")


@fault_of_question(NO_CLAMP)
def no_clamp(question: Question, rule: Any) -> Iterator[Changed]:
    """Codes beyond the dtype keep their low bits; or those beyond the limits of an activation are there."""
    y = question.y
    if y is not None and y.limits is not None:
        (low, high), (_, highest) = y.limits, code_range(y.dtype)
        yield Changed(question.with_y(replace(y, limits=None)), "codes beyond the limits of the activation")
        if high < highest:
            above = question.with_y(replace(y, limits=(low, highest)))
            yield Changed(above, "codes above the upper limit of the activation")
    if y is not None:
        yield Changed(_unclipped(question), "codes beyond the dtype wrap", finish=lambda codes: codes.astype(y.dtype))


def _unclipped(question: Question) -> Question:
    """The question with so wide an output that nothing is clipped."""
    y = question.y
    assert y is not None
    return question.with_y(replace(y, dtype=np.dtype(np.int32), zero_point=y.zero_point.astype(np.int32), limits=None))


@dataclass(frozen=True)
class FirstWraps:
    """A rule that narrows twice, whose first narrowing wraps."""

    rule: Any

    def bind(self, context: Any) -> Any:
        bound = self.rule.bind(context)

        def answer(sums: Int64) -> Codes:
            narrowed = wrap(named(bound.first(sums), "narrowed"), 16)
            codes: Codes = bound.second(narrowed)[-1].array
            return codes

        return answer


@fault_of_question(NO_CLAMP, Sums)
def first_narrowing_wraps(question: Sums, rule: Any) -> Iterator[Changed]:
    """The 16 bits between two narrowings keep the low bits."""
    if isinstance(question.bind(rule), Narrowed):
        yield Changed(question, "the first narrowing wraps at 16 bits", FirstWraps(rule))
