"""Values between elements: linear and cubic interpolation, and filters that do not alias, on plain arrays.

Every product and sum is rounded to float32, in the order of ONNX Runtime 1.32: core/providers/cpu/tensor/upsample.cc,
upsample.h and upsample_antialias.h; compared with it bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from qdqnp.errors import Problem, ProfileError
from qdqnp.quant import Array, Float32, Int64

F = np.float32
ONE, HALF = F(1), F(0.5)
#: Elements that a cubic looks at.
CUBIC = 4
#: Fractional bits of the coordinates of ONNX Runtime's kernel for codes whose channels come last.
BITS = 10


@dataclass(frozen=True, eq=False)
class Places:
    """Where the elements of one output axis lie in the input."""

    axis: int
    #: How many elements the input has along the axis.
    before: int
    #: Positions in the input, which may lie outside of it.
    original: Float32
    #: How much longer the output is.
    scale: np.float32

    @property
    def outside(self) -> Array:
        """Which positions lie outside of the input."""
        return (self.original < 0) | (self.original > F(self.before - 1))


# -- linear ------------------------------------------------------------------------------------------------------------
def neighbours(places: Places) -> tuple[tuple[Int64, Int64], tuple[Float32, Float32]]:
    """Return both neighbours of each position, and the distances to them; on the last element both are a half."""
    at = np.maximum(F(0), np.minimum(places.original, F(places.before - 1)))
    first = np.minimum(at.astype(np.int64), places.before - 1)
    second = np.minimum(first + 1, places.before - 1)
    same = first == second
    to_first, to_second = np.abs(at - first.astype(F)), np.abs(at - second.astype(F))
    return (first, second), (np.where(same, HALF, to_first), np.where(same, HALF, to_second))


def linear(x: Array, axes: Sequence[Places]) -> Float32:
    """Interpolate along two or three axes, the slowest first; the result is float32."""
    found = [neighbours(places) for places in axes]
    total: Any = None
    for corner in product((0, 1), repeat=len(axes)):
        weight: Any = None
        values = x
        # the weight begins with the fastest axis
        for places, (_, distances), side in reversed(list(zip(axes, found, corner, strict=True))):
            factor = _along(distances[1 - side], places.axis, x.ndim)
            weight = factor if weight is None else weight * factor
        for places, (near, _), side in zip(axes, found, corner, strict=True):
            values = np.take(values, near[side], places.axis)
        term = weight * values.astype(F)
        total = term if total is None else total + term
    return np.asarray(total)


def linear_codes(x: Array, axes: Sequence[Places]) -> Array:
    """Interpolate codes whose channels come last, with integers; the quotient is cut off."""
    total: Any = 0
    sides = [_fixed(places) for places in axes]
    for corner in product((0, 1), repeat=len(axes)):
        weight, values = np.ones((), np.int64), x
        for places, (near, distances), side in zip(axes, sides, corner, strict=True):
            weight = weight * _along(distances[1 - side], places.axis, x.ndim)
            values = np.take(values, near[side], places.axis)
        total = total + weight * values.astype(np.int64)
    quotient = np.abs(total) >> 2 * BITS
    found: Array = np.where(total < 0, -quotient, quotient).astype(x.dtype)
    return found


def _fixed(places: Places) -> tuple[tuple[Int64, Int64], tuple[Int64, Int64]]:
    """Return both neighbours of each position, and the distances to them in units of 2^-BITS."""
    at = np.maximum(F(0), np.minimum(places.original, F(places.before - 1)))
    fixed = (at * F(1 << BITS)).astype(np.int64)
    first = np.minimum(at.astype(np.int64), places.before - 1)
    second = np.minimum(first + 1, places.before - 1)
    half, same = 1 << BITS - 1, first == second
    to_first, to_second = (np.where(same, half, np.abs(fixed - (near << BITS))) for near in (first, second))
    return (first, second), (to_first, to_second)


def _along(values: Array, axis: int, rank: int) -> Array:
    """Return (n,) in a shape that broadcasts along one axis of so many."""
    return values.reshape(tuple(-1 if at == axis else 1 for at in range(rank)))


# -- cubic -------------------------------------------------------------------------------------------------------------
def cubic_weights(places: Places, a: float, exclude_outside: bool) -> tuple[Int64, Float32, Float32]:
    """Return each position's four neighbours, clipped to the input, their weights (n, 4), and the sum to divide by."""
    whole = np.floor(places.original)
    near = whole.astype(np.int64)[:, None] + np.arange(-1, 3)
    weights = _keys(places.original - whole, F(a))
    total = np.ones(len(whole), F)
    if exclude_outside:
        weights = np.where((near < 0) | (near >= places.before), F(0), weights)
        total = np.zeros(len(whole), F)
        for at in range(CUBIC):
            total = total + weights[:, at]
    return np.clip(near, 0, places.before - 1), weights, total


def _keys(s: Float32, a: np.float32) -> Float32:
    """Return the weights of Keys' cubic convolution for fractions s, (n, 4)."""
    one, two, three, four, five, eight = (F(number) for number in (1, 2, 3, 4, 5, 8))
    near, far = s + one, two - s
    rest = one - s
    return np.stack(
        [
            ((a * near - five * a) * near + eight * a) * near - four * a,
            ((a + two) * s - (a + three)) * s * s + one,
            ((a + two) * rest - (a + three)) * rest * rest + one,
            ((a * far - five * a) * far + eight * a) * far - four * a,
        ],
        axis=1,
    )


def cubic(x: Float32, axes: Sequence[Places], a: float, exclude_outside: bool) -> Float32:
    """Interpolate along two axes: along the rows first, with weights divided by their sum, then down the columns."""
    down, along = axes
    near, weights, total = cubic_weights(along, a, exclude_outside)
    rows = np.zeros((), F)
    for at in range(CUBIC):
        weight = _along(weights[:, at] / total, along.axis, x.ndim)
        rows = rows + weight * np.take(x, near[:, at], along.axis)
    near, weights, total = cubic_weights(down, a, exclude_outside)
    result: Any = np.zeros((), F)
    for at in range(CUBIC):
        weight, divisor = (_along(values, down.axis, x.ndim) for values in (weights[:, at], total))
        result = result + np.take(rows, near[:, at], down.axis) * weight / divisor
    return np.asarray(result)


# -- filters that do not alias -----------------------------------------------------------------------------------------
@dataclass(frozen=True, eq=False)
class Filter:
    """What each element of one output axis adds up: elements from a first one on, with weights; 0 beyond its count."""

    first: Int64
    count: Int64
    #: (n, window).
    weights: Float32


def without_aliasing(x: Float32, axes: Sequence[Places], cubic_a: float | None, exclude_outside: bool) -> Float32:
    """Filter along the fastest axis first. cubic_a: the cubic's coefficient, None for the linear filter."""
    for places in reversed(axes):
        if len(places.original) != places.before:
            made = filter_for(places, cubic_a, exclude_outside)
            total: Any = np.zeros((), F)
            for at in range(made.weights.shape[1]):
                inside = at < made.count
                values = np.take(x, np.where(inside, made.first + at, 0), places.axis)
                term = _along(made.weights[:, at], places.axis, x.ndim) * values
                total = np.where(_along(inside, places.axis, x.ndim), total + term, total)
            x = total
    return x


def filter_for(places: Places, cubic_a: float | None, exclude_outside: bool) -> Filter:
    """Return the filter of one axis, as wide as what an output element stands for.

    Raises ProfileError where a filter that lies outside of the input as a whole spoils another one's weights.
    """
    scale, before, count = ONE / places.scale, places.before, len(places.original)
    reach = F(1 if cubic_a is None else 2)
    support = reach * scale if scale >= 1 else reach
    inverse = ONE / scale if scale >= 1 else ONE
    center = HALF + (np.arange(count).astype(F) if scale == 1 else places.original)
    low, high = (np.floor(center + side * support + HALF).astype(np.int64) for side in (F(-1), F(1)))
    low_cut, high_cut = np.maximum(low, 0), np.minimum(high, before)
    if exclude_outside:
        low, high = low_cut, high_cut
    window = math.ceil(float(support)) * 2 + 1
    alone = low_cut >= high_cut
    if alone.any() and not exclude_outside:
        _check_spoiled(places, alone, before - 1 - low, np.maximum(high_cut - low_cut, 0), window)
    at = np.arange(window)
    distance = ((low[:, None] + at).astype(F) - center[:, None] + HALF) * inverse
    raw: Any = np.where(at < (high - low)[:, None], _weight(np.abs(distance), cubic_a), F(0))
    total = np.zeros(count, F)
    for column in raw.T:
        total = total + column
    if not exclude_outside:
        # what reaches no element adds nothing up
        in_front, behind = (np.where(alone, 0, np.maximum(end, 0)) for end in (-low, high - before))
        raw = _folded(raw, in_front, behind, high - low)
    inverse_total = ONE / np.where(total == 0, ONE, total)
    return Filter(low_cut, high_cut - low_cut, raw * inverse_total[:, None])


def _check_spoiled(places: Places, alone: Array, last: Int64, count: Int64, window: int) -> None:
    """Refuse filters that reach no element where ONNX Runtime adds their weights to a weight of a filter before.

    Such a filter adds what lies behind the input up at place `last`, which is negative, of its own row of weights; only
    `count` of each row's `window` places are read. What a filter writes behind its row is written anew.
    """
    rows = np.flatnonzero(alone & (last < 0))
    spoiled = rows * window + last[rows]
    row, column = np.divmod(spoiled, window)
    bad = (spoiled >= 0) & (column < count[np.maximum(row, 0)])
    if bad.any():
        element = int(rows[bad][0])
        expected = "filters that reach an element, or exclude_outside = 1; ONNX Runtime spoils the weights of another"
        got = (
            f"place {float(places.original[element])} for element {element} of the output, of {places.before} elements"
        )
        raise ProfileError("a filter lies outside of its input", [Problem(f"axis {places.axis}", expected, got)])


def _weight(x: Float32, cubic_a: float | None) -> Float32:
    if cubic_a is None:
        return np.where(x < 1, ONE - x, F(0))
    a, one, two, three, four, five, eight = (F(number) for number in (cubic_a, 1, 2, 3, 4, 5, 8))
    inner = ((a + two) * x - (a + three)) * x * x + one
    outer = (((x - five) * x + eight) * x - four) * a
    return np.where(x < 1, inner, np.where(x < two, outer, F(0)))


def _folded(raw: Float32, before: Int64, behind: Int64, width: Int64) -> Float32:
    """Add the weights of what lies outside to the first and the last element inside, one after the other."""
    raw, rows = raw.copy(), np.arange(len(raw))
    for at in range(int(before.max(initial=0))):
        now = rows[at < before]
        raw[now, before[now]] += raw[now, at]
    for at in range(raw.shape[1]):
        now = rows[(at >= width - behind) & (at < width)]
        raw[now, (width - behind)[now] - 1] += raw[now, at]
    moved = np.arange(raw.shape[1]) + before[:, None]
    return np.take_along_axis(raw, np.minimum(moved, raw.shape[1] - 1), 1)
