"""Fixed point: an integer multiplier and a shift, then stages of integer arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from qdqnp.errors import Problem, ProfileError
from qdqnp.numerics.choices import OVERRIDES, Override, Overrides, choice, part
from qdqnp.numerics.multiplier import PRECISIONS, Fixed, Real, Scheme, real_multiplier
from qdqnp.numerics.rule import Rule
from qdqnp.numerics.rules.requantize.overrides import given_for
from qdqnp.numerics.rules.requantize.protocol import Requantizer, Slope, SumContext
from qdqnp.numerics.stages import FixedLeftShift, ShiftLeft, Stage
from qdqnp.numerics.status import ESTABLISHED, STATUSES
from qdqnp.numerics.values import BoundRule, StageValue, shifted, signs
from qdqnp.numerics.width import wrap
from qdqnp.quant import Int64, Quant, Signs

#: An accumulator of so many bits holds every sum.
WIDE = 63
# The numbers of one layer that may be known.
NUMBERS: Mapping[str, Override] = {
    "multiplier": Override(range(0, 2**31 + 1), per_channel=True),
    "shift": Override(range(0, 63), per_channel=True),
}


@dataclass(frozen=True)
class Rescale(Rule, family="requantize"):
    """Turns the real multiplier into an integer and a shift, then applies the stages in order."""

    #: How the integers are made.
    scheme: Scheme = part("scheme")
    stages: tuple[Stage, ...] = part("stage")
    #: The type in which s_x * s_w / s_y is formed, and s_a * s_b / s_y of a Mul; see multiplier.real_multiplier.
    precision: str = choice("float64", of=PRECISIONS, kind="scale order", text="scale product in {value}")
    #: The accumulator's width in bits, bias included: it wraps, but from 63 bits on, which hold every sum.
    accumulator: int = choice(
        32, of=range(8, 65), kind="accumulator wrap", text="a {value}-bit accumulator", tried=(24, 32, 64)
    )
    #: The least and the largest total shift for which the arithmetic is defined.
    shifts: tuple[int, int] = choice((0, 62), of=range(0, 63))
    #: Whether only values in [-2^(shift-1), 2^(shift-1)) are defined, as TOSA requires of SINGLE_ROUND.
    bounded: bool = False
    status: str = choice(ESTABLISHED, of=STATUSES)
    #: (layer label, (('multiplier', value), ...)) for layers whose multiplier or shift are known.
    overrides: Overrides = field(default=(), metadata={OVERRIDES: NUMBERS})

    def fix(self, real: Real) -> Fixed:
        """Return the integers for real multipliers. Raises ProfileError outside the domain."""
        if not np.isfinite(real).all():  # a product of scales that float32 does not hold
            problem = Problem("multiplier", "a finite number", f"{float(np.max(real))!r}")
            raise ProfileError("a multiplier outside the profile's domain", [problem])
        fixed = self.scheme(np.asarray(real, np.float64))
        self._check(fixed)
        return fixed

    def _check(self, fixed: Fixed) -> None:
        low, high = self.shifts
        bad = (fixed.value != 0) & ((fixed.shift < low) | (fixed.shift > high))
        if bad.any():
            at = float(np.ravel(fixed.real)[int(np.argmax(bad))])
            raise ProfileError(
                "a multiplier outside the profile's domain",
                [Problem("multiplier", f"a total shift in [{low}, {high}]", f"{at!r}")],
            )

    def values(self, value: Int64, fixed: Fixed) -> list[StageValue]:
        """Return what each stage makes of int64 values.

        Raises ProfileError outside the domain, and where a result leaves int32: the arithmetic is not defined there.
        """
        if self.bounded:
            limit = (np.int64(1) << fixed.shift) >> 1
            if ((value < -limit) | (value >= limit)).any():
                _refuse("sum", "within 2^(shift - 1)", value)
        found: list[StageValue] = []
        for stage in self.stages:
            found.append(stage(value, fixed))
            value = found[-1].array
        if value.size and (value.max() > 2**31 - 1 or value.min() < -(2**31)):
            _refuse("requantized sum", "an int32", value)
        return found

    def apply(self, value: Int64, fixed: Fixed) -> Int64:
        """Return what the last stage makes of int64 values. Raises ProfileError as `values` does."""
        return self.values(value, fixed)[-1].array

    def ties(self, value: Int64, fixed: Fixed) -> Signs:
        """Return the sign of each value that met an exact half at a stage (at the last such stage), else 0."""
        met = np.zeros(value.shape, np.int8)
        for stage in self.stages:
            quotient = stage.quotient(value, fixed)
            if quotient is not None:
                met = signs(value, quotient.is_tie(), met)
            value = stage(value, fixed).array
        return met

    def bind(self, context: SumContext) -> Requantizer:
        y = context.output
        given = given_for(self.overrides, context)
        if {"multiplier", "shift"} <= given.keys():
            fixed = Fixed(np.asarray(given["multiplier"], np.int64), np.asarray(given["shift"], np.int64))
        else:
            real = real_multiplier(
                np.float32(context.alpha) * context.x.scale, context.w.scale, y.scale, self.precision
            )
            made = self.fix(real)
            stated = {name: np.asarray(value, np.int64) for name, value in given.items()}
            fixed = Fixed(stated.get("multiplier", made.value), stated.get("shift", made.shift))
        self._check(fixed)
        return Rescaled(self, fixed, context.wide_bias, y)


def _refuse(what: str, expected: str, value: Int64) -> None:
    found = str(int(np.abs(value).max()))
    raise ProfileError("a value outside the profile's domain", [Problem(what, expected, found)])


@dataclass(frozen=True, eq=False)
class Rescaled(BoundRule):
    """acc = wrap32(sum + bias), the stages, zero point and clip."""

    rule: Rescale
    fixed: Fixed
    bias: Int64 | None
    y: Quant
    expression: None = None

    @property
    def parameters(self) -> Mapping[str, Any]:
        return self.fixed.as_parameters()

    def _acc(self, sums: Int64) -> Int64:
        total = sums if self.bias is None else sums + self.bias
        return wrap(total, self.rule.accumulator) if self.rule.accumulator < WIDE else total

    def stages(self, sums: Int64) -> list[StageValue]:
        acc = self._acc(sums)
        values = self.rule.values(acc, self.fixed)
        return [StageValue("acc", acc), *values, *shifted(values[-1].array, self.y)]

    def ties(self, sums: Int64) -> Signs:
        return self.rule.ties(self._acc(sums), self.fixed)

    @property
    def slope(self) -> Slope | None:
        if any(isinstance(stage, FixedLeftShift) for stage in self.rule.stages):
            return None
        real, z = self.fixed.real, int(self.y.zero_point)
        bias = np.zeros(1, np.int64) if self.bias is None else self.bias
        # a first rounding to units of 2^-r moves the second's steps by half such a unit
        first = np.ldexp(1.0, -(np.maximum(self.fixed.shift - 31, 0) + 1).astype(np.int32))
        left = int(np.maximum(31 - self.fixed.shift, 0).max())
        shifts_left = any(isinstance(stage, ShiftLeft) for stage in self.rule.stages)
        reach = 2 ** (31 - left) - 1 if shifts_left else 2**31 - 1
        if self.rule.bounded:
            reach = min(reach, 2 ** (int(self.fixed.shift.min()) - 1) - 1)
        if self.rule.accumulator < WIDE:
            reach = min(reach, 2 ** (self.rule.accumulator - 1) - 1)
        slack = int(np.abs(bias).max())
        return Slope(real, bias * real + z, (first,), 0, slack - reach, reach - slack)
