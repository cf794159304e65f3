"""The steps of a fixed-point requantization, each a small frozen value that computes one shift, product or saturation.

A rule holds a tuple of steps. The same tuple computes, counts events and explains. Values are int64 arrays.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from qdqnp.numerics.choices import choice
from qdqnp.numerics.multiplier import Fixed
from qdqnp.numerics.rounding import ROUNDINGS, Quotient
from qdqnp.numerics.rule import Rule
from qdqnp.numerics.values import StageValue
from qdqnp.numerics.width import saturate, wrap
from qdqnp.quant import Int64


class Stage(Rule, ABC):
    """One step from an accumulator toward its code."""

    @abstractmethod
    def __call__(self, value: Int64, fixed: Fixed) -> StageValue:
        """Return what the stage makes of the value before it; its name is the stage's class."""

    def quotient(self, value: Int64, fixed: Fixed) -> Quotient | None:
        """Return what the stage rounds; None where it rounds nothing."""
        return None


@dataclass(frozen=True)
class Rounding(Stage):
    """A stage that rounds a quotient in one of ROUNDINGS."""

    rounding: str = choice(of=ROUNDINGS, kind="tie rule", text="{rule} {value}")

    @abstractmethod
    def quotient(self, value: Int64, fixed: Fixed) -> Quotient: ...

    def __call__(self, value: Int64, fixed: Fixed) -> StageValue:
        quotient = self.quotient(value, fixed)
        return StageValue(type(self).__name__, quotient.rounded(self.rounding), quotient.exact)


@dataclass(frozen=True)
class ShiftLeft(Stage, family="stage"):
    """value * 2^l in int32, which wraps; l = max(0, 31 - shift) serves multipliers of 1 and more."""

    def __call__(self, value: Int64, fixed: Fixed) -> StageValue:
        return StageValue("ShiftLeft", wrap(value << np.maximum(31 - fixed.shift, 0), 32))


@dataclass(frozen=True)
class FixedLeftShift(Stage, family="stage"):
    """value * 2^by in a register of `bits` bits, which wraps or saturates: a shift that is the same for every layer."""

    by: int = choice(of=range(0, 32))
    bits: int = choice(32, of=range(8, 63))
    overflow: str = choice("wrap", of=("wrap", "saturate"), kind="accumulator wrap", text="left shift {value}")

    def __call__(self, value: Int64, fixed: Fixed) -> StageValue:
        wide = saturate(value, 32) << self.by
        kept = wrap(wide, self.bits) if self.overflow == "wrap" else saturate(wide, self.bits)
        return StageValue("FixedLeftShift", kept)


@dataclass(frozen=True)
class MultiplyHigh(Rounding, family="stage"):
    """round(value * multiplier / 2^31): gemmlowp's SRDHM with half-up.

    Its one saturating case, both operands -2^31, cannot occur with a multiplier >= 0.
    """

    rounding: str = choice("half-up", of=ROUNDINGS, kind="tie rule", text="{rule} {value}")

    def quotient(self, value: Int64, fixed: Fixed) -> Quotient:
        return Quotient(value * fixed.value, 31)


@dataclass(frozen=True)
class ShiftRight(Rounding, family="stage"):
    """round(value / 2^r), r = max(0, shift - 31): what is left after MultiplyHigh."""

    def quotient(self, value: Int64, fixed: Fixed) -> Quotient:
        return Quotient(value, np.maximum(fixed.shift - 31, 0))


@dataclass(frozen=True)
class MultiplyShift(Rounding, family="stage"):
    """round(value * multiplier / 2^shift), one rounding of the 64-bit product."""

    def quotient(self, value: Int64, fixed: Fixed) -> Quotient:
        return Quotient(value * fixed.value, fixed.shift)


@dataclass(frozen=True)
class DoubleRound(Stage, family="stage"):
    """TOSA's DOUBLE_ROUND: (value * multiplier + 2^(shift-1) + d) >> shift, with d = 2^30 where shift > 31, else 0."""

    #: Whether d is -2^30 for negative values (TOSA, Ethos-U55 and U65); else d is 2^30 for all (Ethos-U85).
    signed: bool = True

    def quotient(self, value: Int64, fixed: Fixed) -> Quotient:
        return Quotient(value * fixed.value, fixed.shift)

    def __call__(self, value: Int64, fixed: Fixed) -> StageValue:
        bump = np.where(fixed.shift > 31, 1 << 30, 0)
        if self.signed:
            bump = np.where(value >= 0, bump, -bump)
        half = (np.int64(1) << fixed.shift) >> 1
        quotient = self.quotient(value, fixed)
        shifted: Int64 = (quotient.value + half + bump) >> fixed.shift
        return StageValue("DoubleRound", shifted, quotient.exact)


@dataclass(frozen=True)
class Saturate(Stage, family="stage"):
    """Clamps to a signed width in bits."""

    bits: int = choice(of=range(2, 33))

    def __call__(self, value: Int64, fixed: Fixed) -> StageValue:
        return StageValue("Saturate", saturate(value, self.bits), saturated=True)
