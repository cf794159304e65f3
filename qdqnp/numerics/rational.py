"""Exact rational values rounded half to even, vectorized: float64 decides wherever it can, fractions where it can't."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from qdqnp.quant import Array, Int64, Signs

LIMIT = 2.0**40  # far outside every code; values beyond are cut here, so that their rounding fits int64


@dataclass(frozen=True, eq=False)
class RationalSum:
    """The sum over i of value_i * factor_i + constant, value_i an int64 array, as an exact rational.

    factors: one fraction per value, or one per entry of the value's last axis.
    """

    values: Sequence[Int64]
    factors: Sequence[Sequence[Fraction]]
    constant: Fraction = Fraction(0)

    def real(self) -> Array:
        """float64, within `error()` of the truth."""
        total: Array = np.asarray(sum((v * _floats(f) for v, f in self._terms()), np.float64(float(self.constant))))
        return total

    def _terms(self) -> zip[tuple[Int64, Sequence[Fraction]]]:
        return zip(self.values, self.factors, strict=True)

    def _error(self) -> Array:
        """A bound on |real() - truth|: every term is rounded thrice, every addition once, each by 2^-53 relative."""
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
        result: Int64 = np.rint(np.clip(np.broadcast_to(self.real(), self.shape), -LIMIT, LIMIT)).astype(np.int64)
        for index in zip(*np.nonzero(self._doubtful()), strict=True):
            result[index] = round(self.at(index))  # Python rounds a Fraction half to even
        return result

    def ties(self) -> Signs:
        """The sign of each value that is an exact half, 0 for the others."""
        found: Signs = np.zeros(self.shape, np.int8)
        for index in zip(*np.nonzero(self._doubtful()), strict=True):
            value = self.at(index)
            if value.denominator == 2:
                found[index] = 1 if value > 0 else -1
        return found


def _floats(factors: Sequence[Fraction]) -> Array:
    return np.array([float(factor) for factor in factors]) if len(factors) > 1 else np.array(float(factors[0]))


def fraction(value: Any) -> Fraction:
    """The exact rational of a float32 scalar, or of an integer."""
    return Fraction(float(value))
