"""Addition of two tensors of 8-bit codes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from qdqnp.errors import Problem, ProfileError
from qdqnp.numerics import float32
from qdqnp.numerics.choices import OVERRIDES, Override, Overrides, choice, given_of
from qdqnp.numerics.float32 import as_f32
from qdqnp.numerics.multiplier import Fixed, largest_shift
from qdqnp.numerics.rational import RationalSum, fraction
from qdqnp.numerics.rounding import NEAREST, ROUNDINGS, Quotient
from qdqnp.numerics.rule import Rule
from qdqnp.numerics.rules.binary import BinaryFunction
from qdqnp.numerics.rules.requantize.rescale import Rescale
from qdqnp.numerics.status import ESTABLISHED, INFERRED, STATUSES
from qdqnp.numerics.values import BoundRule, StageValue, clipped, exact_float, real_ties, shifted, signs
from qdqnp.quant import Codes, Float32, Quant, Signs

# Bits of what AlignedAdd adds and shifts by, so that int64 holds every sum with what rounds it.
WIDEST = 60


# -- ONNX Runtime on x86-64 --------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class FloatAdd(Rule, family="add"):
    """ONNX Runtime's QLinearAdd on x86-64 with FMA3, on raw codes:

        r_a = f32(s_a/s_y)
        r_b = f32(s_b/s_y)
        offset = f32(z_y - fma(r_a, z_a, f32(r_b * z_b)))
        y = clip(cvtps2dq(fma(a, r_a, fma(b, r_b, offset))))

    The zero point takes part in the rounding, so where ties fall depends on it. a is the operand that is not
    broadcast along the innermost axis; the operator swaps the two otherwise.
    Source: core/mlas/lib/intrinsics/avx2/qladd_avx2.cpp.
    """

    status: str = choice(ESTABLISHED, of=STATUSES)

    def bind(self, a: Quant, b: Quant, y: Quant) -> BinaryFunction:
        with np.errstate(all="ignore"):
            ratio_a, ratio_b = as_f32(a.scale / y.scale), as_f32(b.scale / y.scale)
            zeros = float32.fma32(ratio_a, as_f32(a.zero_point), as_f32(ratio_b * as_f32(b.zero_point)))
            return FloatAdded(ratio_a, ratio_b, as_f32(as_f32(y.zero_point) - zeros), y)

    def bind_difference(self, a: Quant, b: Quant, y: Quant) -> BinaryFunction:
        """Bind the rule to a - b: what it would be, as ONNX Runtime has no such operator."""
        return self.bind(a, replace(b, scale=-b.scale), y)


@dataclass(frozen=True, eq=False)
class FloatAdded(BoundRule):
    """The bound FloatAdd."""

    ratio_a: Float32
    ratio_b: Float32
    offset: Float32
    y: Quant

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"ratio_a": self.ratio_a, "ratio_b": self.ratio_b, "offset": self.offset}

    def stages(self, a: Codes, b: Codes) -> list[StageValue]:
        inner = float32.fma32(as_f32(b), self.ratio_b, self.offset)
        total = float32.fma32(as_f32(a), self.ratio_a, inner)
        return [
            StageValue("fma(b, ratio_b, offset)", inner),
            StageValue("fma(a, ratio_a, that)", total),
            *clipped(float32.to_int32_x86(total), self.y, exact_float(total)),
        ]

    def ties(self, a: Codes, b: Codes) -> Signs:
        return real_ties(self.stages(a, b)[1].array)


# -- ONNX Runtime on ARM64 ---------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class FixedAdd(Rule, family="add"):
    """ONNX Runtime's QLinearAdd on ARM64, from its source:

        r_a = f32(s_a/s_y), r_b = f32(s_b/s_y)
        sh = 21 - e, with e the exponent of the larger ratio
        M = rint(r * 2^sh)
        acc = (a - z_a) M_a + (b - z_b) M_b
        r = acc / 2^sh, halves away from zero
        y = sat8(sat16(sat16(r) + z_y))

    The arithmetic is defined where the smaller ratio is at least 2^-14, the larger below 256 and 13 <= sh <= 31;
    elsewhere ARM64 takes a float path that the source leaves to the compiler. Source: core/mlas/lib/qladd.cpp.
    """

    status: str = choice(INFERRED, of=STATUSES)

    def bind(self, a: Quant, b: Quant, y: Quant) -> BinaryFunction:
        with np.errstate(all="ignore"):
            ratios = [float(as_f32(q.scale / y.scale)) for q in (a, b)]
        shift = 22 - math.frexp(max(ratios))[1]  # frexp's exponent is one more than that of 1.f * 2^e
        if not (min(ratios) >= 2.0**-14 and max(ratios) < 256 and 13 <= shift <= 31):
            problem = Problem(
                "scale ratios", "each in [2^-14, 256), for the fixed-point path", f"{ratios[0]} and {ratios[1]}"
            )
            raise ProfileError("an addition whose arithmetic on ARM64 is not known", [problem])
        m_a, m_b = (int(np.rint(as_f32(np.ldexp(np.float32(ratio), shift)))) for ratio in ratios)
        return FixedAdded(a, b, y, m_a, m_b, shift)


@dataclass(frozen=True, eq=False)
class FixedAdded(BoundRule):
    """The bound FixedAdd."""

    a: Quant
    b: Quant
    y: Quant
    m_a: int
    m_b: int
    shift: int

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"multipliers": np.array([self.m_a, self.m_b]), "shift": np.int64(self.shift)}

    def stages(self, a: Codes, b: Codes) -> list[StageValue]:
        left, right = self.a.centered(a) * self.m_a, self.b.centered(b) * self.m_b
        total = Quotient(left + right, self.shift)
        rounded = total.rounded("half-away")
        return [
            StageValue("(a - z_a) * M_a", left),
            StageValue("(b - z_b) * M_b", right),
            StageValue("total", total.value),
            StageValue("rounded", rounded, total.exact),
            # saturates to 16 bits on the way too, which never shows behind the clip to 8
            *shifted(rounded, self.y),
        ]

    def ties(self, a: Codes, b: Codes) -> Signs:
        total = self.stages(a, b)[2].array
        return signs(total, Quotient(total, self.shift).is_tie())


# -- TFLite ------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class ThreeRescaleAdd(Rule, family="add"):
    """TFLite, CMSIS-NN:

        t = 2 * max(s_a, s_b)
        u_a = rescale((a - z_a) * 2^20, s_a / t), u_b likewise
        y = clip(rescale(u_a + u_b, t / (2^20 * s_y)) + z_y)

    Folded, u_a is rescale(a - z_a, s_a / t * 2^20): Ethos-U has the left shift in its multipliers.
    Source: tensorflow/tflite-micro, kernels/add; ethos-u-vela, scaling.py: advanced_elementwise_add_sub_scale.
    """

    rescale: Rescale
    #: The 20 above; codes differ by up to 255, so that beyond 22 the shifted value leaves int32.
    left_shift: int = choice(20, of=range(0, 23), kind="inner shift", text="sum shifted left by {value}")
    status: str = choice(ESTABLISHED, of=STATUSES)
    #: Whether the left shift is part of the operands' multipliers; else it comes before them.
    folded: bool = choice(False, of=(False, True), kind="inner shift", text="left shift folded: {value}")

    def bind(self, a: Quant, b: Quant, y: Quant) -> ThreeRescaled:
        twice = 2.0 * max(float(a.scale), float(b.scale))
        unit = 1 << self.left_shift if self.folded else 1
        fixed_a, fixed_b = (self.rescale.fix(np.asarray(float(q.scale) * unit / twice)) for q in (a, b))
        fixed_y = self.rescale.fix(np.asarray(twice / ((1 << self.left_shift) * float(y.scale))))
        return ThreeRescaled(self, a, b, y, fixed_a, fixed_b, fixed_y)

    def bind_difference(self, a: Quant, b: Quant, y: Quant) -> BinaryFunction:
        """Bind the rule to a - b: y = clip(rescale(u_a - u_b, t / (2^20 * s_y)) + z_y), as TFLite's Sub."""
        return replace(self.bind(a, b, y), sign=-1)


@dataclass(frozen=True, eq=False)
class ThreeRescaled(BoundRule):
    """The bound ThreeRescaleAdd."""

    rule: ThreeRescaleAdd
    a: Quant
    b: Quant
    y: Quant
    fixed_a: Fixed
    fixed_b: Fixed
    fixed_y: Fixed
    #: 1, or -1 where b is subtracted.
    sign: int = 1

    @property
    def parameters(self) -> Mapping[str, Any]:
        fixed = (self.fixed_a, self.fixed_b, self.fixed_y)
        return {
            "left_shift": self.rule.left_shift,
            "multipliers": np.array([f.value for f in fixed]),
            "shifts": np.array([f.shift for f in fixed]),
        }

    def _operand(self, letter: str, codes: Codes, quant: Quant, fixed: Fixed) -> list[StageValue]:
        wide = quant.centered(codes) << (0 if self.rule.folded else self.rule.left_shift)
        values = self.rule.rescale.values(wide, fixed)
        return [
            StageValue(f"wide {letter}", wide),
            *_of(letter, values),
            StageValue(f"rescaled {letter}", values[-1].array),
        ]

    def stages(self, a: Codes, b: Codes) -> list[StageValue]:
        left = self._operand("a", a, self.a, self.fixed_a)
        right = self._operand("b", b, self.b, self.fixed_b)
        total = left[-1].array + self.sign * right[-1].array
        values = self.rule.rescale.values(total, self.fixed_y)
        return [*left, *right, StageValue("total", total), *_of("total", values), *shifted(values[-1].array, self.y)]

    def ties(self, a: Codes, b: Codes) -> Signs:
        left = self._operand("a", a, self.a, self.fixed_a)
        right = self._operand("b", b, self.b, self.fixed_b)
        return self.rule.rescale.ties(left[-1].array + self.sign * right[-1].array, self.fixed_y)


def _of(letter: str, values: list[StageValue]) -> list[StageValue]:
    """Name the values of one of several rescalings after its operand."""
    return [StageValue(f"{value.name} of {letter}", value.array, value.exact, value.saturated) for value in values]


# -- the ideal ---------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class RationalAdd(Rule, family="add"):
    """The exact sum of the real values in units of s_y, rounded half to even."""

    status: str = choice(ESTABLISHED, of=STATUSES)

    def bind(self, a: Quant, b: Quant, y: Quant) -> BinaryFunction:
        return RationalAdded(a, b, y)

    def bind_difference(self, a: Quant, b: Quant, y: Quant) -> BinaryFunction:
        """Bind the rule to a - b."""
        return RationalAdded(a, b, y, -1)


@dataclass(frozen=True, eq=False)
class RationalAdded(BoundRule):
    """The bound RationalAdd."""

    a: Quant
    b: Quant
    y: Quant
    #: 1, or -1 where b is subtracted.
    sign: int = 1

    def _sum(self, a: Codes, b: Codes) -> RationalSum:
        units = (fraction(self.a.scale), self.sign * fraction(self.b.scale))
        factors = [[unit / fraction(self.y.scale)] for unit in units]
        return RationalSum([self.a.centered(a), self.b.centered(b)], factors)

    def stages(self, a: Codes, b: Codes) -> list[StageValue]:
        total = self._sum(a, b)
        rounded = total.rounded()
        return [StageValue("real", total.real()), StageValue("rounded", rounded, total.at), *shifted(rounded, self.y)]

    def ties(self, a: Codes, b: Codes) -> Signs:
        return self._sum(a, b).ties()


# -- ST Neural-ART -----------------------------------------------------------------------------------------------------
# The numbers of one layer that may be known.
ALIGNED: Mapping[str, Override] = {
    **{letter: Override(range(-(2**15), 2**15)) for letter in "ABC"},
    **{f"{letter}_shift": Override(range(0, 32)) for letter in "ABC"},
    "S": Override(range(0, 47)),
}


@dataclass(frozen=True)
class AlignedAdd(Rule, family="add"):
    """ST Neural-ART: y = sat8(RSR(((A * a) >> Aa) + ((B * b) >> Bb) + (C << Cs), S)) on raw codes.

        S: puts the larger of s_a/s_y and s_b/s_y in [2^14, 2^15) with inner shift 0
        Aa, Bb: 0 for the larger ratio; the smaller one gets the inner shift that puts it in [2^14, 2^15) too
        C, Cs: C << Cs stands for z_y - z_a * s_a/s_y - z_b * s_b/s_y, C in int16 and Cs as small as that allows

    The form is established; these choices and the inner rounding are inferred. A ratio that asks for a left shift, or
    for more than 60 bits, is refused.
    """

    #: How RSR, the rounding shift right, rounds ties.
    tie: str = choice(of=ROUNDINGS, kind="tie rule", unknown=NEAREST)
    #: How the two inner shifts round.
    inner: str = choice("floor", of=ROUNDINGS, kind="tie rule", unknown=("floor", "half-up"))
    status: str = choice(INFERRED, of=STATUSES)
    #: (layer label, (('A', value), ...)) for layers whose numbers are known.
    overrides: Overrides = field(default=(), metadata={OVERRIDES: ALIGNED})

    def bind(self, a: Quant, b: Quant, y: Quant) -> BinaryFunction:
        return AlignedAdded(self, y, {**self.parameters(a, b, y), **given_of(self)})

    def parameters(self, a: Quant, b: Quant, y: Quant) -> dict[str, int]:
        """Return A, B, C, their shifts and S."""
        ratio_a, ratio_b = float(a.scale) / float(y.scale), float(b.scale) / float(y.scale)
        shift = largest_shift(max(ratio_a, ratio_b))
        shift_a, shift_b = (largest_shift(ratio) - shift for ratio in (ratio_a, ratio_b))
        constant = int(y.zero_point) - ratio_a * int(a.zero_point) - ratio_b * int(b.zero_point)
        exact = math.frexp(constant)[1] + shift <= WIDEST  # C << C_shift, before it is computed
        if not (exact and all(0 <= each <= WIDEST for each in (shift, shift_a, shift_b))):
            problem = Problem(
                "scale ratios", f"shifts and a constant of at most {WIDEST} bits", f"{ratio_a} and {ratio_b}"
            )
            raise ProfileError("an addition outside the profile's domain", [problem])
        c_shift = 0
        while abs(round(math.ldexp(constant, shift - c_shift))) > 2**15 - 1:
            c_shift += 1
        return {
            "A": round(math.ldexp(ratio_a, shift + shift_a)),
            "B": round(math.ldexp(ratio_b, shift + shift_b)),
            "C": round(math.ldexp(constant, shift - c_shift)),
            "A_shift": shift_a,
            "B_shift": shift_b,
            "C_shift": c_shift,
            "S": shift,
        }


@dataclass(frozen=True, eq=False)
class AlignedAdded(BoundRule):
    """The bound AlignedAdd."""

    rule: AlignedAdd
    y: Quant
    #: A, B, C, their shifts and S.
    numbers: Mapping[str, int]

    @property
    def parameters(self) -> Mapping[str, Any]:
        return self.numbers

    def _operand(self, letter: str, codes: Codes) -> list[StageValue]:
        upper = letter.upper()
        product = Quotient(codes.astype(np.int64) * self.numbers[upper], self.numbers[f"{upper}_shift"])
        return [
            StageValue(f"{upper} * {letter}", product.value),
            StageValue(f"({upper} * {letter}) >> {upper}_shift", product.rounded(self.rule.inner), product.exact),
        ]

    def stages(self, a: Codes, b: Codes) -> list[StageValue]:
        left, right = self._operand("a", a), self._operand("b", b)
        constant = self.numbers["C"] << self.numbers["C_shift"]
        total = Quotient(left[-1].array + right[-1].array + constant, self.numbers["S"])
        return [
            *left,
            *right,
            StageValue("C << C_shift", np.asarray(constant)),
            StageValue("total", total.value),
            *clipped(total.rounded(self.rule.tie), self.y, total.exact),
        ]

    def ties(self, a: Codes, b: Codes) -> Signs:
        total = self.stages(a, b)[-3].array
        return signs(total, Quotient(total, self.numbers["S"]).is_tie())
