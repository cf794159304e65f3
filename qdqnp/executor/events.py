"""Events: what happened inside a layer's arithmetic on one set of inputs, counted by running the stages themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from qdqnp.numerics.rules.requantize.protocol import Requantizer
from qdqnp.numerics.values import Value, named
from qdqnp.ops.base import Bound
from qdqnp.quant import Array, Int64, Signs


@dataclass(frozen=True)
class Events:
    """Of one layer that requantizes sums.

    accumulator_min, accumulator_max: of sum plus bias, not wrapped. ties: outputs that met an exact half at a rounding.
    saturated_low, saturated_high: outputs that the final clip changed. inner_saturated: values that an inner stage
    saturated. past_2_23, past_2_31: accumulators outside signed 24 and 32 bits. multiplier_bits: significant bits of
    the integer multiplier of the weakest channel; 24 where the multiplier is a float32, 53 where it is a float64.
    """

    accumulator_min: int
    accumulator_max: int
    ties: int
    saturated_low: int
    saturated_high: int
    inner_saturated: int
    past_2_23: int
    past_2_31: int
    multiplier_bits: int


@dataclass(frozen=True, eq=False)
class Marks:
    """The same element by element; all arrays have the output's shape with the channels last.

    accumulator: sum plus bias, not wrapped. ties: the sign of a value that met an exact half at a rounding, else 0.
    low, high: whether the final clip changed it. inner: how many inner stages saturated it. requantizer: the stages'.
    """

    accumulator: Int64
    ties: Signs
    low: Array
    high: Array
    inner: Int64
    requantizer: Requantizer


def marks(bound: Bound, arrays: Sequence[Array | None]) -> Marks | None:
    """The marks of one bound step on its inputs; None for operators that requantize no sums."""
    if bound.detail is None:
        return None
    sums, requantizer = bound.detail(arrays)
    stages = requantizer.stages(sums)
    low = high = np.zeros(sums.shape, bool)
    if requantizer.y is not None:
        first, last = requantizer.y.range
        unclipped = named(stages, "unclipped")
        low, high = unclipped < first, unclipped > last
    total = sums if requantizer.bias is None else sums + requantizer.bias
    return Marks(total, requantizer.ties(sums), low, high, _inner(stages, sums.shape), requantizer)


def events(bound: Bound, arrays: Sequence[Array | None]) -> Events | None:
    """The events of one bound step on its inputs; None for operators that requantize no sums."""
    found = marks(bound, arrays)
    if found is None:
        return None
    total = found.accumulator
    return Events(
        accumulator_min=int(total.min()) if total.size else 0,
        accumulator_max=int(total.max()) if total.size else 0,
        ties=int(np.count_nonzero(found.ties)),
        saturated_low=int(np.count_nonzero(found.low)),
        saturated_high=int(np.count_nonzero(found.high)),
        inner_saturated=int(found.inner.sum()),
        past_2_23=_outside(total, 24),
        past_2_31=_outside(total, 32),
        multiplier_bits=_multiplier_bits(found.requantizer.parameters),
    )


def _inner(stages: list[Value], shape: tuple[int, ...]) -> Int64:
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
