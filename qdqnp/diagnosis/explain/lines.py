"""One output element step by step: every value of its rule, before and after each rounding.

The values are the rule's own: a requantizer lists its stages, and where a rule has none, what it computes is written
out here from its parameters and then held against the rule's code, which decides.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import singledispatch
from typing import Any

import numpy as np

from qdqnp.diagnosis.rebind import PlainRequantizer
from qdqnp.numerics import float32
from qdqnp.numerics.rational import fraction
from qdqnp.numerics.rounding import ROUNDINGS
from qdqnp.numerics.rules.binary import AlignedAdd, FloatAdd, FloatMul, RationalAdd, ThreeRescaleAdd, as_f32
from qdqnp.numerics.rules.mean import ReciprocalMean
from qdqnp.numerics.rules.requantize import (
    FloatScaled,
    Narrowed,
    RationalScaled,
    Requantizer,
    Rescaled,
    Rounded,
)
from qdqnp.numerics.stages import DoubleRound, MultiplyHigh, MultiplyShift, ShiftRight
from qdqnp.quant import Array, Int64, Quant

# An exact number, or one that only a float32 expression has.
Number = int | float | Fraction


@dataclass(frozen=True)
class Line:
    """One value. before: the exact value that was rounded to it, None where nothing was rounded to an integer."""

    name: str
    value: Number
    before: Fraction | None = None

    @property
    def tie_distance(self) -> Fraction | None:
        """How far the value before rounding is from the nearest exact half, in units of what it was rounded to."""
        if self.before is None:
            return None
        return abs(self.before - math.floor(self.before) - Fraction(1, 2))


# -- sums to codes -----------------------------------------------------------------------------------------------------
def requantizer_lines(requantizer: Requantizer, sums: Int64, index: tuple[int, ...]) -> list[Line]:
    """The stages of the sum at `index` of sums (..., channels)."""
    stages = {name: _number(np.broadcast_to(values, sums.shape)[index]) for name, values in requantizer.stages(sums)}
    before = exact_before(requantizer, stages, index[-1])
    return [Line(name, value, before.get(name)) for name, value in stages.items()]


def _number(value: Any) -> Number:
    return int(value) if value.dtype.kind in "iu" else float(value)


@singledispatch
def exact_before(requantizer: Any, stages: Mapping[str, Number], channel: int) -> dict[str, Fraction]:
    """By stage, the exact value that the stage rounded. Requantizers that are not known here have none."""
    return {}


@exact_before.register
def _(requantizer: PlainRequantizer, stages: Mapping[str, Number], channel: int) -> dict[str, Fraction]:
    return exact_before(requantizer.inner, stages, channel)


@exact_before.register(FloatScaled)
@exact_before.register(Rounded)
def _(requantizer: FloatScaled | Rounded, stages: Mapping[str, Number], channel: int) -> dict[str, Fraction]:
    real = stages.get("real")
    return {"unclipped": Fraction(real)} if real is not None and math.isfinite(real) else {}


@exact_before.register
def _(requantizer: RationalScaled, stages: Mapping[str, Number], channel: int) -> dict[str, Fraction]:
    exact = requantizer.exact[channel if len(requantizer.exact) > 1 else 0]
    return {"unclipped": int(stages["acc"]) * exact}


@exact_before.register
def _(requantizer: Rescaled, stages: Mapping[str, Number], channel: int) -> dict[str, Fraction]:
    fixed = requantizer.fixed
    multiplier, shift = (int(v.reshape(-1)[channel if v.size > 1 else 0]) for v in (fixed.value, fixed.shift))
    value, found = int(stages["acc"]), {}
    for stage in requantizer.rule.stages:
        name = type(stage).__name__
        if isinstance(stage, MultiplyHigh):
            found[name] = Fraction(value * multiplier, 2**31)
        elif isinstance(stage, MultiplyShift | DoubleRound):
            found[name] = Fraction(value * multiplier) / Fraction(2) ** shift
        elif isinstance(stage, ShiftRight):
            found[name] = Fraction(value, 2 ** max(shift - 31, 0))
        value = int(stages[name])
    return found


@exact_before.register
def _(requantizer: Narrowed, stages: Mapping[str, Number], channel: int) -> dict[str, Fraction]:
    first, second = Fraction(2) ** requantizer.s1, Fraction(2) ** requantizer.s2
    return {"narrowed": int(stages["acc"]) / first, "unclipped": int(stages["affine"]) / second}


@exact_before.register
def _(requantizer: ReciprocalMean, stages: Mapping[str, Number], channel: int) -> dict[str, Fraction]:
    parameters = {name: int(value) for name, value in requantizer.parameters.items()}
    mean = Fraction(int(stages["acc"]) * parameters["R"], 2 ** parameters["shift"])
    return {"mean": mean, "unclipped": Fraction(int(stages["affine"])) / Fraction(2) ** parameters["S2"]}


# -- pairs of codes ----------------------------------------------------------------------------------------------------
@singledispatch
def pair_lines(rule: Any, quants: tuple[Quant, Quant, Quant], a: int, b: int) -> list[Line]:
    """What an Add or Mul rule computes of two codes, up to the value that is clipped; none for other rules."""
    return []


@pair_lines.register
def _(rule: AlignedAdd, quants: tuple[Quant, Quant, Quant], a: int, b: int) -> list[Line]:
    p = rule.parameters(*quants)
    inner, outer = ROUNDINGS[rule.inner], ROUNDINGS[rule.tie]
    exact = [Fraction(a * p["A"], 2 ** p["A_shift"]), Fraction(b * p["B"], 2 ** p["B_shift"])]
    left, right = int(inner(_i64(a * p["A"]), p["A_shift"])), int(inner(_i64(b * p["B"]), p["B_shift"]))
    total = left + right + (p["C"] << p["C_shift"])
    return [
        Line("A * a", a * p["A"]),
        Line("(A * a) >> A_shift", left, exact[0]),
        Line("B * b", b * p["B"]),
        Line("(B * b) >> B_shift", right, exact[1]),
        Line("C << C_shift", p["C"] << p["C_shift"]),
        Line("total", total),
        Line("unclipped", int(outer(_i64(total), p["S"])), Fraction(total) / Fraction(2) ** p["S"]),
    ]


@pair_lines.register
def _(rule: ThreeRescaleAdd, quants: tuple[Quant, Quant, Quant], a: int, b: int) -> list[Line]:
    parameters = rule.bind(*quants).parameters
    lines: list[Line] = []
    wide = [(code - int(quant.zero_point)) << rule.left_shift for code, quant in zip((a, b), quants, strict=False)]
    values = [*wide, 0]
    for index, name in enumerate(("rescaled a", "rescaled b", "rescaled total")):
        if index == 2:
            values[2] = int(lines[0].value) + int(lines[1].value)
        multiplier, shift = int(parameters["multipliers"][index]), int(parameters["shifts"][index])
        fixed = rule.rescale.fix(np.asarray(_ratio(rule, quants, index)))
        value = int(rule.rescale.apply(_i64(values[index]), fixed))
        lines.append(Line(name, value, Fraction(values[index] * multiplier) / Fraction(2) ** shift))
    return [*lines, Line("unclipped", int(lines[2].value) + int(quants[2].zero_point))]


def _ratio(rule: ThreeRescaleAdd, quants: tuple[Quant, Quant, Quant], index: int) -> float:
    """The real multiplier of each of the three rescalings."""
    twice = 2.0 * max(float(quants[0].scale), float(quants[1].scale))
    if index < 2:
        return float(quants[index].scale) / twice
    return twice / ((1 << rule.left_shift) * float(quants[2].scale))


@pair_lines.register
def _(rule: FloatAdd, quants: tuple[Quant, Quant, Quant], a: int, b: int) -> list[Line]:
    p = rule.bind(*quants).parameters
    inner = float32.fma32(as_f32(_i64(b)), p["ratio_b"], p["offset"])
    total = float(float32.fma32(as_f32(_i64(a)), p["ratio_a"], inner))
    lines = [Line("fma(b, ratio_b, offset)", float(inner)), Line("fma(a, ratio_a, that)", total)]
    return [*lines, Line("unclipped", round(total), Fraction(total))] if math.isfinite(total) else lines


@pair_lines.register
def _(rule: FloatMul, quants: tuple[Quant, Quant, Quant], a: int, b: int) -> list[Line]:
    ratio, zero = rule.bind(*quants).parameters["ratio"], int(quants[2].zero_point)
    product = (a - int(quants[0].zero_point)) * (b - int(quants[1].zero_point))
    with np.errstate(all="ignore"):
        real = as_f32(_i64(product)) * ratio
        total = float(real + np.float32(zero))
    lines = [Line("(a - z_a) * (b - z_b)", product), Line("product * ratio", float(real)), Line("+ z_y", total)]
    return [*lines, Line("unclipped", round(total), Fraction(total))] if math.isfinite(total) else lines


@pair_lines.register
def _(rule: RationalAdd, quants: tuple[Quant, Quant, Quant], a: int, b: int) -> list[Line]:
    real = real_pair("add", quants, a, b)
    return [Line("unclipped", round(real) + int(quants[2].zero_point), real)]


# -- the ideal, for every operator on codes ----------------------------------------------------------------------------
def real_pair(field: str, quants: tuple[Quant, Quant, Quant], a: int, b: int) -> Fraction:
    """The real sum or product of two codes, in units of y's scale, without its zero point."""
    x, y = (real_of(code, quant) for code, quant in zip((a, b), quants, strict=False))
    return (x + y if field == "add" else x * y) / fraction(quants[2].scale)


def real_of(code: int, quant: Quant) -> Fraction:
    return (code - int(quant.zero_point)) * fraction(quant.scale)


def mean_of(codes: Sequence[int], divisor: int, x: Quant, y: Quant) -> Fraction:
    """The real mean in units of y's scale, without its zero point."""
    return sum((real_of(code, x) for code in codes), Fraction(0)) / divisor / fraction(y.scale)


def _i64(value: int) -> Array:
    return np.asarray(value, np.int64)
