"""Accumulators of fewer bits than the sums need."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from qdqnp.diagnosis.faults.fault import Changed, fault_of_question
from qdqnp.numerics.questions import Sums
from qdqnp.numerics.width import saturate, wrap
from qdqnp.quant import Int64

NARROW_16 = "16-bit accumulator"
NARROW_24 = "24-bit accumulator"
# (sums, bits) -> what a register of so many bits keeps
KEPT: dict[str, Callable[[Int64, int], Int64]] = {"wraps": wrap, "saturates": saturate}


@fault_of_question(NARROW_16, Sums)
def narrow_16(question: Sums, rule: Any) -> Iterator[Changed]:
    yield from _narrow(question, 16)


@fault_of_question(NARROW_24, Sums)
def narrow_24(question: Sums, rule: Any) -> Iterator[Changed]:
    yield from _narrow(question, 24)


def _narrow(question: Sums, bits: int) -> Iterator[Changed]:
    """Wrapped or saturated; with the bias, before it, or before the zero point's correction."""
    for way, keep in KEPT.items():
        for place, offset in _offsets(question).items():
            kept = keep(question.sums + offset, bits) - offset
            yield Changed(question.with_sums(kept), f"{way}, {place}")


def _offsets(question: Sums) -> dict[str, Int64]:
    """What is in the accumulator besides the sums when it is narrowed."""
    context, none = question.context, np.zeros((), np.int64)
    found = {
        "with the bias": none if context.wide_bias is None else context.wide_bias,
        "before the bias": none,
    }
    if context.weights is not None:
        found["before the zero point's correction"] = int(context.x.zero_point) * context.weights.sum(axis=1)
    return found
