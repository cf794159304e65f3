"""Rounding a division by a power of two: value / 2^shift becomes an integer. One function per rule of ties.

Values are int64 arrays and exact; shift is an integer >= 0 or an array that broadcasts. All functions are the
identity for a shift of 0. |value| + 2^(shift - 1) must stay below 2^63, which the products of int32 accumulators and
31-bit multipliers do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from qdqnp.quant import Array, Int64

Shift = int | Int64


def half_up(value: Int64, shift: Shift) -> Int64:
    """Round to nearest; halves go toward plus infinity: (value + 2^(shift-1)) >> shift."""
    return (value + _half(shift)) >> shift


def half_away(value: Int64, shift: Shift) -> Int64:
    """Round to nearest; halves go away from zero: (value + 2^(shift-1) - [value < 0]) >> shift."""
    return (value + (_half(shift) - (value < 0) * (np.asarray(shift) > 0))) >> shift


def half_even(value: Int64, shift: Shift) -> Int64:
    """Round to nearest; halves go to the even neighbour: half_up, less one where a tie went to an odd number."""
    up = half_up(value, shift)
    tie = (value - ((up << shift) - _half(shift)) == 0) & (np.asarray(shift) > 0)
    even: Int64 = up - (tie & ((up & 1) == 1))
    return even


def floor(value: Int64, shift: Shift) -> Int64:
    """Round toward minus infinity: the arithmetic shift."""
    return value >> shift


def truncate(value: Int64, shift: Shift) -> Int64:
    """Round toward zero: the arithmetic shift of the magnitude."""
    return np.where(value < 0, -(-value >> shift), value >> shift)


Rounding = Callable[[Int64, Shift], Int64]
ROUNDINGS: Mapping[str, Rounding] = {
    "half-up": half_up,
    "half-away": half_away,
    "half-even": half_even,
    "floor": floor,
    "truncate": truncate,
}


def divided(value: Int64, divisor: Int64, rounding: str) -> Int64:
    """Return value / divisor, rounded by the rounding of that name in ROUNDINGS; divisor > 0, both int64, broadcast.

    >>> divided(np.array([-5, 5]), np.array(2), "half-away").tolist()
    [-3, 3]
    """
    low = value // divisor
    rest = value - low * divisor
    found: Int64 = low + _goes_up(rounding, low, np.sign(2 * rest - divisor), rest > 0)
    return found


def round_real(real: NDArray[np.float64], rounding: str) -> Int64:
    """Round float64 numbers of less than 2^53 by the rounding of that name in ROUNDINGS.

    >>> round_real(np.array([-2.5, 2.5]), "half-up").tolist()
    [-2, 3]
    """
    below = np.floor(real)
    low, rest = below.astype(np.int64), real - below
    found: Int64 = low + _goes_up(rounding, low, np.sign(rest - 0.5), rest > 0)
    return found


def _goes_up(rounding: str, low: Int64, side: Array, inexact: Array) -> Array:
    """Tell whether a number goes to low + 1. low: its floor. side: the sign of what it exceeds low by, less a half."""
    ties_go_up = {"half-up": True, "half-away": low >= 0, "half-even": low % 2 == 1}
    if rounding in ties_go_up:
        return np.asarray((side > 0) | ((side == 0) & ties_go_up[rounding]))
    return np.asarray(inexact & (low < 0) & (rounding == "truncate"))


# The roundings that go to the nearest integer: they differ in ties only.
NEAREST = ("half-up", "half-away", "half-even")


def is_tie(value: Int64, shift: Shift) -> NDArray[np.bool_]:
    """Mark where value / 2^shift is an exact half, int64 arrays, broadcast; a shift of 0 makes no halves."""
    half = _half(shift)
    return np.asarray(((value & (2 * half - 1)) == half) & (half > 0))


@dataclass(frozen=True, eq=False)
class Quotient:
    """value / 2^shift, before it is rounded."""

    value: Int64
    #: Broadcastable to value.
    shift: Shift

    def rounded(self, tie: str) -> Int64:
        """Round the quotient to an integer by the rounding named `tie` in ROUNDINGS."""
        return ROUNDINGS[tie](self.value, self.shift)

    def is_tie(self) -> NDArray[np.bool_]:
        """Mark where the quotient is an exact half."""
        return is_tie(self.value, self.shift)

    def exact(self, index: tuple[int, ...]) -> Fraction:
        """Return the quotient at one index."""
        value, shift = np.broadcast_arrays(self.value, self.shift)
        return Fraction(int(value[index])) / Fraction(2) ** int(shift[index])


def _half(shift: Shift) -> Int64:
    """Return 2^(shift-1), and 0 for a shift of 0."""
    return (np.int64(1) << np.asarray(shift, np.int64)) >> 1
