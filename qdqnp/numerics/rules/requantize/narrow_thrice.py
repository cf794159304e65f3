"""ST Neural-ART, older compilers: a narrowing to a power-of-two scale stands between the two of narrow.py."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdqnp.errors import Problem, ProfileError
from qdqnp.numerics.choices import OVERRIDES, Override, Overrides, choice, resolved
from qdqnp.numerics.multiplier import ceil_log2, largest_shift, real_multiplier
from qdqnp.numerics.rounding import NEAREST, ROUNDINGS, Quotient
from qdqnp.numerics.rule import Rule
from qdqnp.numerics.rules.requantize.narrow import (
    SHIFTS,
    accumulated,
    accumulator_choice,
    bias_values,
    check_sizes,
    checked_shift,
    constant_weights,
    first_narrowing,
    first_shift,
    in_32_bits,
    in_output_codes,
    monotone_to,
    tie_before_the_last,
)
from qdqnp.numerics.rules.requantize.protocol import Requantizer, Slope, SumContext
from qdqnp.numerics.status import INFERRED, STATUSES
from qdqnp.numerics.values import BoundRule, StageValue, clipped, signs
from qdqnp.numerics.width import saturate
from qdqnp.quant import Float32, Int64, Quant, Signs

#: S2 where the bias does not ask for a smaller one.
LAST_SHIFT = 20
# The middle scale lies this many bits below the power of two above the output's.
MIDDLE_BITS = 6
# The numbers of one layer that may be known.
NUMBERS: Mapping[str, Override] = {
    "S1": Override(range(0, 32)),
    "sh1": Override(SHIFTS),
    "A1": Override(range(-(2**15), 2**15), per_channel=True),
    "A2": Override(range(-(2**15), 2**15)),
    "BC": Override(range(-(2**31), 2**31), per_channel=True),
    "S2": Override(range(0, LAST_SHIFT + 1)),
}


@dataclass(frozen=True)
class NarrowThrice(Rule, family="requantize"):
    """ST Neural-ART, compilers 1.1.0 and 1.1.1, as read in the C that they generated for twelve networks:

        S1 = max(0, ceil(log2(max_c |sum_k w|)) - 7)
        s_mid = 2^(ceil(log2 s_y) - 6 + n), n >= 0 as small as lets every b fit 16 bits of s_mid
        sh1: puts the largest A1 in [2^14, 2^15)
        A1 = floor(f32(s_x * s_w) / s_mid * 2^(S1+sh1) + 1/2)
        S2 = 20 - n
        A2 = rint(s_mid / s_y * 2^S2)
        BC = rint((z_y + b / s_y) * 2^(S2+k)) >> k, k as large as lets the largest of them fit 32 bits before the shift

    b is the float32 value of the bias. All but one A1 and one BC of 139 convolutions and 10 dense layers, of 18,217
    channels each. `NarrowedThrice` computes with these numbers.
    """

    #: How all roundings round ties, or those that the fields below do not give.
    tie: str = choice(
        of=ROUNDINGS,
        kind="tie rule",
        text="last rounding {value}",
        together="all roundings {value}",
        unknown=NEAREST,
    )
    #: The accumulator's arithmetic: 'exact' is int32, the others have 24 bits.
    accumulator: str = accumulator_choice()
    #: (layer label, (('S1', value), ...)) for layers whose S1, A1, sh1, A2, BC or S2 are known.
    overrides: Overrides = field(default=(), metadata={OVERRIDES: NUMBERS})
    status: str = choice(INFERRED, of=STATUSES)
    #: How the first rounding rounds ties; 'same' is `tie`.
    first_tie: str = tie_before_the_last("first")
    #: How the middle rounding rounds ties; 'same' is `tie`.
    middle_tie: str = tie_before_the_last("middle")

    def bind(self, context: SumContext) -> Requantizer:
        y, weights = context.output, constant_weights(context)
        given = dict(dict(self.overrides).get(context.label, ()))
        s2 = int(given.get("S2", last_shift(y.scale, bias_values(context))))
        middle = middle_scale(y.scale, s2)
        scale = np.asarray(np.float32(context.alpha) * context.x.scale, np.float32)
        real = real_multiplier(scale, context.w.scale, middle, "float32-products")
        if not np.isfinite(real).all():
            problem = Problem("multiplier", "a finite number", f"{float(np.max(real))!r}")
            raise ProfileError("a multiplier outside the profile's domain", [problem])
        s1 = int(given.get("S1", first_shift(weights)))
        sh1 = checked_shift("sh1", int(given.get("sh1", largest_shift(float(real.max(initial=0.0)) * 2.0**s1))))
        a1 = np.asarray(given.get("A1", np.floor(np.ldexp(real, s1 + sh1) + 0.5)), np.int64)
        a2 = np.int64(given.get("A2", round(math.ldexp(float(middle) / float(y.scale), s2))))
        bc = np.asarray(given.get("BC", rounded_addend(in_output_codes(context), s2)), np.int64)
        check_sizes({"A1": a1, "BC": bc}, real.size, len(weights))
        return NarrowedThrice(self, s1, sh1, a1, a2, bc, s2, y, context.wide_bias)


def middle_scale(scale: Float32, s2: int = LAST_SHIFT) -> Float32:
    """Return 2^(ceil(log2 scale) - 6 + 20 - s2), the scale between the second narrowing and the third.

    >>> [float(middle_scale(np.float32(scale))) for scale in (0.3, 0.25)], float(middle_scale(np.float32(1), 19))
    ([0.0078125, 0.00390625], 0.03125)
    """
    return np.asarray(math.ldexp(1.0, ceil_log2(float(scale)) - MIDDLE_BITS + LAST_SHIFT - s2), np.float32)


def last_shift(scale: Float32, bias: NDArray[np.float64]) -> int:
    """Return S2: 20, or less where a bias does not fit 16 bits of the middle scale that goes with it.

    >>> last_shift(np.float32(0.25), np.array([100.0])), last_shift(np.float32(0.25), np.array([300.0]))
    (20, 18)
    """
    largest = float(np.abs(bias).max(initial=0.0))
    limit = float(middle_scale(scale)) * 2**15
    outside = not largest <= limit * 2.0**LAST_SHIFT
    more = ceil_log2(largest / limit) if not outside and largest > limit else 0
    if outside:
        problem = Problem("bias", f"at most {limit * 2.0**LAST_SHIFT:.6g}, 16 bits with a shift of 0", f"{largest:.6g}")
        raise ProfileError("a bias that the profile's last narrowing cannot hold", [problem])
    return LAST_SHIFT - more


def rounded_addend(codes: NDArray[np.float64], shift: int) -> Int64:
    """Return BC of each channel: codes * 2^(shift+k), rounded half to even and shifted right by k.

        codes: z_y + b / s_y.

    k is the largest that lets all of them fit 32 bits before the shift.
    """
    largest = float(np.abs(codes).max(initial=0.0))
    more = max(0, 31 - math.frexp(largest)[1] - shift) if largest else 0
    return in_32_bits(np.rint(np.ldexp(codes, shift + more))) >> more


@dataclass(frozen=True, eq=False)
class NarrowedThrice(BoundRule):
    """x16 = sat16(RSR(sum, S1)); m16 = sat16(RSR(A1 * x16, sh1)); y = sat8(RSR(A2 * m16 + BC, S2))."""

    rule: NarrowThrice
    #: The shift of the first narrowing.
    s1: int
    #: The shift of the second narrowing.
    sh1: int
    #: The multiplier of the second narrowing: one for all channels or one per channel.
    a1: Int64
    #: The multiplier of the third narrowing.
    a2: np.int64
    #: The addend, zero point and bias included; one for all channels or one per channel.
    bc: Int64
    #: The shift of the third narrowing.
    s2: int
    y: Quant
    bias: Int64 | None
    expression: None = None

    @property
    def parameters(self) -> Mapping[str, Any]:
        shifts = {"S1": np.int64(self.s1), "sh1": np.int64(self.sh1)}
        return {**shifts, "A1": self.a1, "A2": self.a2, "BC": self.bc, "S2": np.int64(self.s2)}

    def first(self, sums: Int64) -> list[StageValue]:
        """Return 'acc', 'narrowed' and 'x16'."""
        acc = accumulated(sums, self.rule.accumulator)
        return first_narrowing(acc, self.s1, str(resolved(self.rule, "first_tie")))

    def _scaled(self, x16: Int64) -> Quotient:
        return Quotient(self.a1 * x16, self.sh1)

    def _middle(self, scaled: Quotient) -> Int64:
        return scaled.rounded(str(resolved(self.rule, "middle_tie")))

    def _affine(self, m16: Int64) -> Quotient:
        return Quotient(self.a2 * m16 + self.bc, self.s2)

    def second(self, x16: Int64) -> list[StageValue]:
        """Return 'scaled', 'middle', 'm16', 'affine', 'unclipped' and 'y' of what the first narrowing leaves."""
        scaled = self._scaled(x16)
        middle = self._middle(scaled)
        m16 = saturate(middle, 16)
        affine = self._affine(m16)
        return [
            StageValue("scaled", scaled.value),
            StageValue("middle", middle, scaled.exact),
            StageValue("m16", m16, saturated=True),
            StageValue("affine", affine.value),
            *clipped(affine.rounded(self.rule.tie), self.y, affine.exact),
        ]

    def stages(self, sums: Int64) -> list[StageValue]:
        first = self.first(sums)
        return [*first, *self.second(first[-1].array)]

    def ties(self, sums: Int64) -> Signs:
        first = self.first(sums)
        acc, scaled = first[0].array, self._scaled(first[-1].array)
        affine = self._affine(saturate(self._middle(scaled), 16))
        inner = signs(scaled.value, scaled.is_tie(), signs(acc, Quotient(acc, self.s1).is_tie()))
        return signs(affine.value, affine.is_tie(), inner)

    @property
    def slope(self) -> Slope:
        unit = np.ldexp(1.0, -self.s2)
        multiplier = self.a1 * (float(self.a2) * unit) * np.ldexp(1.0, -self.sh1)
        limit = monotone_to(self.rule.accumulator)
        return Slope(multiplier, self.bc * unit, (), self.s1, -limit, limit)
