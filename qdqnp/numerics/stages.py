"""The steps of a fixed-point requantization, each a small frozen value that computes one shift, product or saturation.

A rule holds a tuple of them. The same tuple computes, counts events and explains. Values are int64 arrays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from qdqnp.numerics.float32 import wrap32
from qdqnp.numerics.multiplier import Fixed
from qdqnp.numerics.rounding import ROUNDINGS
from qdqnp.quant import Int64


class Stage(Protocol):
    def __call__(self, value: Int64, fixed: Fixed) -> Int64: ...

    def tie(self, value: Int64, fixed: Fixed) -> Mask:
        """Where the stage rounds an exact half."""
        ...


Mask = NDArray[np.bool_]


def _is_half(value: Int64, shift: Int64) -> Mask:
    half = (np.int64(1) << shift) >> 1
    return np.asarray((value & ((half << 1) - 1)) == half) & (np.asarray(shift) > 0)


def _none(value: Int64) -> Mask:
    return np.zeros(value.shape, bool)


@dataclass(frozen=True)
class ShiftLeft:
    """value * 2^l in int32, which wraps; l = max(0, 31 - shift): multipliers of 1 and more."""

    def __call__(self, value: Int64, fixed: Fixed) -> Int64:
        return wrap32(value << np.maximum(31 - fixed.shift, 0))

    def tie(self, value: Int64, fixed: Fixed) -> Mask:
        return _none(value)


@dataclass(frozen=True)
class MultiplyHigh:
    """round(value * multiplier / 2^31): gemmlowp's SRDHM with half-up. Its one saturating case, both operands
    -2^31, cannot occur with a multiplier >= 0."""

    rounding: str = "half-up"

    def __call__(self, value: Int64, fixed: Fixed) -> Int64:
        return ROUNDINGS[self.rounding](value * fixed.value, 31)

    def tie(self, value: Int64, fixed: Fixed) -> Mask:
        return _is_half(value * fixed.value, np.asarray(31))


@dataclass(frozen=True)
class ShiftRight:
    """round(value / 2^r), r = max(0, shift - 31): what is left after MultiplyHigh."""

    rounding: str

    def __call__(self, value: Int64, fixed: Fixed) -> Int64:
        return ROUNDINGS[self.rounding](value, np.maximum(fixed.shift - 31, 0))

    def tie(self, value: Int64, fixed: Fixed) -> Mask:
        return _is_half(value, np.maximum(fixed.shift - 31, 0))


@dataclass(frozen=True)
class MultiplyShift:
    """round(value * multiplier / 2^shift), one rounding of the 64-bit product."""

    rounding: str

    def __call__(self, value: Int64, fixed: Fixed) -> Int64:
        return ROUNDINGS[self.rounding](value * fixed.value, fixed.shift)

    def tie(self, value: Int64, fixed: Fixed) -> Mask:
        return _is_half(value * fixed.value, fixed.shift)


@dataclass(frozen=True)
class DoubleRound:
    """TOSA's DOUBLE_ROUND: (value * multiplier + 2^(shift-1) + d) >> shift, with d = 2^30 where shift > 31, else 0.

    signed: d is -2^30 for negative values (TOSA, Ethos-U55 and U65); else +2^30 for all (Ethos-U85).
    """

    signed: bool = True

    def __call__(self, value: Int64, fixed: Fixed) -> Int64:
        bump = np.where(fixed.shift > 31, 1 << 30, 0)
        if self.signed:
            bump = np.where(value >= 0, bump, -bump)
        half = (np.int64(1) << fixed.shift) >> 1
        shifted: Int64 = (value * fixed.value + half + bump) >> fixed.shift
        return shifted

    def tie(self, value: Int64, fixed: Fixed) -> Mask:
        return _is_half(value * fixed.value, fixed.shift)


@dataclass(frozen=True)
class Saturate:
    """Clamp to a signed width in bits."""

    bits: int

    def __call__(self, value: Int64, fixed: Fixed) -> Int64:
        limit = 1 << (self.bits - 1)
        return np.clip(value, -limit, limit - 1)

    def tie(self, value: Int64, fixed: Fixed) -> Mask:
        return _none(value)
