"""Multipliers in fixed point: the neighbour's with the own shift, its shift with the own multiplier, a shift by one
more or less."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from qdqnp.diagnosis.faults.fault import Changed, fault_of_question
from qdqnp.numerics.multiplier import Fixed
from qdqnp.numerics.questions import Sums
from qdqnp.numerics.rules.requantize.rescale import Rescaled

NEIGHBOUR_MULTIPLIER = "neighbour's multiplier"
NEIGHBOUR_SHIFT = "neighbour's shift"
SHIFT_OFF = "shift off by one"
STEPS = ((1, "c - 1"), (-1, "c + 1"))


@dataclass(frozen=True)
class Refixed:
    """A rule whose multiplier and shift are others."""

    rule: Any
    change: Callable[[Fixed], Fixed]

    def bind(self, context: Any) -> Any:
        bound = self.rule.bind(context)
        return replace(bound, fixed=self.change(bound.fixed))


def _fixed(question: Sums, rule: Any) -> Fixed | None:
    """The multipliers and shifts, where the rule has such."""
    bound = question.bind(rule)
    return bound.fixed if isinstance(bound, Rescaled) else None


@fault_of_question(NEIGHBOUR_MULTIPLIER, Sums)
def multipliers(question: Sums, rule: Any) -> Iterator[Changed]:
    """Each channel has the multiplier of the channel before or after it, and its own shift."""
    return _of_neighbours(question, rule, "value")


@fault_of_question(NEIGHBOUR_SHIFT, Sums)
def shifts(question: Sums, rule: Any) -> Iterator[Changed]:
    """Each channel has the shift of the channel before or after it, and its own multiplier."""
    return _of_neighbours(question, rule, "shift")


def _of_neighbours(question: Sums, rule: Any, part: str) -> Iterator[Changed]:
    """Move one field of Fixed by a channel, where the channels have different ones."""
    fixed = _fixed(question, rule)
    numbers = None if fixed is None else getattr(fixed, part)
    if numbers is None or numbers.ndim != 1 or np.unique(numbers).size < 2:
        return
    for step, which in STEPS:
        moved = Refixed(rule, partial(_moved, part=part, step=step))
        yield Changed(question, f"each from channel {which}", moved, channels=range(numbers.size))


def _moved(own: Fixed, part: str, step: int) -> Fixed:
    return replace(own, **{part: np.roll(getattr(own, part), step)})


@fault_of_question(SHIFT_OFF, Sums)
def off_by_one(question: Sums, rule: Any) -> Iterator[Changed]:
    """Twice or half of what it should be, in all channels or in some."""
    context = question.context
    for factor, text in ((2, "twice as much"), (0.5, "half as much")):
        scale = np.asarray(context.w.scale * np.float32(factor), np.float32)
        changed = replace(question, context=replace(context, w=replace(context.w, scale=scale)))
        yield Changed(changed, text, channels=range(question.shape[-1]))
