"""Events are what happened inside a layer's arithmetic on one set of inputs, counted by running its stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from qdqnp.numerics.profile import Profile
from qdqnp.numerics.questions import Question, Summed
from qdqnp.numerics.rules.requantize.protocol import Requantizer
from qdqnp.numerics.values import StageValue, named
from qdqnp.ops.integer.asking import Part
from qdqnp.quant import Array, Int64, Signs


@dataclass(frozen=True)
class Events:
    """What happened in one layer that requantizes sums, during one run."""

    #: The smallest and largest sum with its bias, not wrapped.
    accumulator_min: int
    accumulator_max: int
    #: Outputs that met an exact half at a rounding.
    ties: int
    #: Outputs that the final clip changed.
    saturated_low: int
    saturated_high: int
    #: Values that an inner stage saturated.
    inner_saturated: int
    #: Accumulators outside signed 24 and 32 bits.
    past_2_23: int
    past_2_31: int
    #: Significant bits of the integer multiplier of the weakest channel; 24 where the multiplier is a float32, 53
    #: where it is a float64.
    multiplier_bits: int


@dataclass(frozen=True, eq=False)
class Marks:
    """What happened to each element of one question about sums; all arrays have the shape of its codes."""

    #: Sum plus bias, not wrapped.
    accumulator: Int64
    #: The sign of a value that met an exact half at a rounding, else 0.
    ties: Signs
    #: Whether the final clip changed the element.
    low: Array
    high: Array
    #: How many inner stages saturated the element.
    inner: Int64
    #: The bound rule whose stages these are.
    requantizer: Requantizer


def marks(question: Question, profile: Profile) -> Marks | None:
    """Return the marks of one question under a profile; None where the question is not about sums."""
    asked = question.under(profile)
    if not isinstance(asked, Summed):
        return None
    requantizer = asked.bind(getattr(profile, asked.rule))
    stages = requantizer.stages(asked.sums)
    low = high = np.zeros(asked.sums.shape, bool)
    if requantizer.y is not None:
        first, last = requantizer.y.range
        unclipped = named(stages, "unclipped")
        low, high = unclipped < first, unclipped > last
    ties = requantizer.ties(asked.sums)
    return Marks(asked.total, ties, low, high, _inner(stages, asked.sums.shape), requantizer)


def events(parts: Sequence[Part], profile: Profile) -> Events | None:
    """Return the events of one evaluation of a step; None where the step does not requantize sums."""
    found = [mark for part in parts if (mark := marks(part.question, profile)) is not None]
    if not found:
        return None
    totals = np.concatenate([mark.accumulator.reshape(-1) for mark in found])
    return Events(
        accumulator_min=int(totals.min()) if totals.size else 0,
        accumulator_max=int(totals.max()) if totals.size else 0,
        ties=sum(int(np.count_nonzero(mark.ties)) for mark in found),
        saturated_low=sum(int(np.count_nonzero(mark.low)) for mark in found),
        saturated_high=sum(int(np.count_nonzero(mark.high)) for mark in found),
        inner_saturated=sum(int(mark.inner.sum()) for mark in found),
        past_2_23=_outside(totals, 24),
        past_2_31=_outside(totals, 32),
        multiplier_bits=min(_multiplier_bits(mark.requantizer.parameters) for mark in found),
    )


def _inner(stages: list[StageValue], shape: tuple[int, ...]) -> Int64:
    found = np.zeros(shape, np.int64)
    for before, after in pairwise(stages):
        if after.saturated:
            found += before.array != after.array
    return found


def _outside(total: Int64, bits: int) -> int:
    limit = 1 << (bits - 1)
    return int(np.count_nonzero((total < -limit) | (total >= limit)))


def _multiplier_bits(parameters: Mapping[str, Any]) -> int:
    value = np.asarray(parameters.get("A", parameters.get("multiplier", 0)))
    if value.dtype.kind == "f":
        return 24 if value.dtype == np.float32 else 53
    return min((int(item).bit_length() for item in np.abs(value).reshape(-1)), default=0)
