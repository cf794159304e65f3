"""Exact rational values rounded half to even, vectorized: float64 decides wherever it can, fractions where it can't."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import lcm
from typing import Any

import numpy as np

from qdqnp.quant import Array, Int64, Signs

LIMIT = 2.0**40  # far outside every code; values beyond are cut here, so that their rounding fits int64


@dataclass(frozen=True, eq=False)
class RationalSum:
    """The exact rational sum over i of value_i * factor_i + constant."""

    #: int64 arrays that broadcast together.
    values: Sequence[Int64]
    #: One fraction per value, or one per entry of the value's last axis.
    factors: Sequence[Sequence[Fraction]]
    constant: Fraction = Fraction(0)

    def real(self) -> Array:
        """Compute the sum in float64; it is within `_error()` of the exact one."""
        total: Array = np.asarray(sum((v * _floats(f) for v, f in self._terms()), np.float64(float(self.constant))))
        return total

    def _terms(self) -> zip[tuple[Int64, Sequence[Fraction]]]:
        return zip(self.values, self.factors, strict=True)

    def _error(self) -> Array:
        """Bound |real() - exact sum|: every term is rounded thrice, every addition once, each by 2^-53 relative."""
        magnitude = sum((np.abs(v * _floats(f)) for v, f in self._terms()), np.float64(abs(float(self.constant))))
        return np.asarray(magnitude) * (2.0**-53 * (4 + 2 * len(self.values)))

    def _doubtful(self) -> Array:
        real = np.broadcast_to(self.real(), self.shape)
        near = np.abs(np.abs(real - np.trunc(real)) - 0.5) <= self._error()
        doubtful: Array = np.logical_and(near, np.abs(real) < LIMIT)
        return doubtful

    @property
    def shape(self) -> tuple[int, ...]:
        return np.broadcast_shapes(*(value.shape for value in self.values))

    def at(self, index: tuple[Any, ...]) -> Fraction:
        total = self.constant
        for value, factor in self._terms():
            number = int(np.broadcast_to(value, self.shape)[index])
            total += number * factor[index[-1] if len(factor) > 1 else 0]
        return total

    def rounded(self) -> Int64:
        real = np.clip(np.broadcast_to(self.real(), self.shape), -LIMIT, LIMIT)
        ties, doubtful = self.ties() != 0, self._doubtful()
        halves = np.rint(2 * real) / 2  # what a tie is exactly
        result: Int64 = np.asarray(np.rint(np.where(ties, halves, real)), np.int64)
        unclear = np.flatnonzero(doubtful & ~ties)
        above, below = self._ratios(unclear)
        np.put(result, unclear, (2 * above + below) // (2 * below))  # no ties are left: the floor of value + 1/2
        return result

    def ties(self) -> Signs:
        """Return the sign of each value that is an exact half, 0 for the others."""
        doubtful = self._doubtful()
        if len(self.values) == 1 and not self.constant:
            tie = doubtful & _product_ties(self.values[0], self.factors[0])
        else:
            unclear = np.flatnonzero(doubtful)
            above, below = self._ratios(unclear)
            tie = np.zeros(self.shape, bool)
            np.put(tie, unclear, 2 * above % (2 * below) == below)
        return np.where(tie, np.sign(np.broadcast_to(self.real(), self.shape)), 0).astype(np.int8)

    def _ratios(self, places: Array) -> tuple[Array, Array]:
        """Return the exact sums at some places as numerators and denominators, both of Python's integers.

        places: positions in the sum, flattened; (n,).
        """
        columns = max(len(factor) for factor in self.factors)
        wide = [factor if len(factor) > 1 else [factor[0]] * columns for factor in self.factors]
        below = [lcm(self.constant.denominator, *(f.denominator for f in at)) for at in zip(*wide, strict=True)]
        column = places % self.shape[-1] if columns > 1 else np.zeros_like(places)
        above = _whole([self.constant] * columns, below)[column]
        for value, factor in zip(self.values, wide, strict=True):
            above = (
                above + np.broadcast_to(value, self.shape).flat[places].astype(object) * _whole(factor, below)[column]
            )
        return above, np.array(below, object)[column]


def _whole(factors: Sequence[Fraction], below: Sequence[int]) -> Array:
    """Return the fractions as multiples of 1 / below."""
    pairs = zip(factors, below, strict=True)
    return np.array([factor.numerator * (most // factor.denominator) for factor, most in pairs], object)


def _product_ties(value: Int64, factors: Sequence[Fraction]) -> Array:
    """Mark where value * factor is an exact half.

    With factor = p / (2 h) in lowest terms, p is odd, and a half occurs where value is an odd multiple of h. A factor
    whose denominator is odd makes no halves.
    """
    even = [factor.denominator % 2 == 0 and factor.denominator < 2**62 for factor in factors]
    half = np.array([f.denominator // 2 if is_even else 1 for f, is_even in zip(factors, even, strict=True)], np.int64)
    count, rest = np.divmod(value, half)
    return np.asarray((rest == 0) & (count % 2 == 1) & np.array(even))


def _floats(factors: Sequence[Fraction]) -> Array:
    return np.array([float(factor) for factor in factors]) if len(factors) > 1 else np.array(float(factors[0]))


def fraction(value: Any) -> Fraction:
    """Return the exact rational of a float32 scalar, or of an integer."""
    return Fraction(float(value))
