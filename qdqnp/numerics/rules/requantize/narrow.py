"""ST Neural-ART narrows twice and adds the bias between the two narrowings; older compilers narrow three times."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdqnp.errors import Problem, ProfileError
from qdqnp.numerics.choices import OVERRIDES, Override, Overrides, choice, resolved
from qdqnp.numerics.multiplier import largest_shift, real_multiplier
from qdqnp.numerics.rounding import NEAREST, ROUNDINGS, Quotient
from qdqnp.numerics.rule import Rule
from qdqnp.numerics.rules.requantize.protocol import Requantizer, Slope, SumContext
from qdqnp.numerics.status import INFERRED, STATUSES
from qdqnp.numerics.values import BoundRule, StageValue, clipped, signs
from qdqnp.numerics.width import saturate, wrap
from qdqnp.quant import Int64, Quant, Signs

ACCUMULATORS = ("exact", "saturate-24", "wrap-24")
# The shifts of the later narrowings for which the arithmetic is defined.
SHIFTS = range(0, 47)
# The numbers of one layer that may be known.
NUMBERS: Mapping[str, Override] = {
    "S1": Override(range(0, 32)),
    "S2": Override(SHIFTS),
    "A": Override(range(-(2**15), 2**15), per_channel=True),
    "BC": Override(range(-(2**31), 2**31), per_channel=True),
}


def tie_before_the_last(which: str) -> Any:
    """Declare how a rounding before the last rounds ties: 'same' is the field `tie`."""
    return choice(
        "same",
        of=("same", *ROUNDINGS),
        kind="tie rule",
        text=f"{which} rounding {{value}}",
        unknown=NEAREST,
        follows="tie",
    )


def accumulator_choice() -> Any:
    """Declare which of ACCUMULATORS holds the sums."""
    return choice("exact", of=ACCUMULATORS, kind="accumulator wrap", text="accumulator {value}", unknown=ACCUMULATORS)


@dataclass(frozen=True)
class NarrowThenAffine(Rule, family="requantize"):
    """ST Neural-ART, compiler 1.1.3, as inferred from compiled networks:

        S1 = max(0, ceil(log2(max_c |sum_k w|)) - 7)
        S2: puts the largest A in [2^14, 2^15)
        A = rint(M * 2^(S1+S2))
        BC = floor((z_y + b / s_y) * 2^S2), b the float32 value of the bias

    `Narrowed` computes with these numbers.
    """

    #: How both roundings round ties, or how the second does where first_tie gives another rule.
    tie: str = choice(
        of=ROUNDINGS,
        kind="tie rule",
        text="second rounding {value}",
        together="both roundings {value}",
        unknown=NEAREST,
    )
    #: The accumulator's arithmetic: 'exact' is int32, the others have 24 bits.
    accumulator: str = accumulator_choice()
    #: (layer label, (('S1', value), ...)) for layers whose S1, S2, A or BC are known.
    overrides: Overrides = field(default=(), metadata={OVERRIDES: NUMBERS})
    status: str = choice(INFERRED, of=STATUSES)
    #: How the first rounding rounds ties; 'same' is `tie`.
    first_tie: str = tie_before_the_last("first")

    @property
    def inner_tie(self) -> str:
        """The tie rule of the first rounding."""
        return str(resolved(self, "first_tie"))

    def bind(self, context: SumContext) -> Requantizer:
        y = context.output
        given = dict(dict(self.overrides).get(context.label, ()))
        real = real_multiplier(np.float32(context.alpha) * context.x.scale, context.w.scale, y.scale)
        weights = constant_weights(context)
        s1 = int(given.get("S1", first_shift(weights)))
        s2 = checked_shift("S2", int(given.get("S2", largest_shift(float(real.max(initial=0.0)) * 2.0**s1))))
        a = np.asarray(given.get("A", np.rint(np.ldexp(real, s1 + s2))), np.int64)
        bc = np.asarray(given.get("BC", addend(context, s2)), np.int64)
        check_sizes({"A": a, "BC": bc}, real.size, len(weights))
        return Narrowed(self, s1, s2, a, bc, y, context.wide_bias)


def constant_weights(context: SumContext) -> Int64:
    """Return the weights less their zero points. Raises ProfileError where they are computed."""
    if context.weights is None:
        raise ProfileError("weights that the profile needs", [Problem("weights", "constants", "a computed tensor")])
    return context.weights


def first_shift(weights: Int64) -> int:
    """Return S1 of a layer's weights (channels, K): max(0, ceil(log2(max_c |sum_k w|)) - 7)."""
    largest = int(np.abs(weights.sum(axis=-1)).max(initial=0))
    return max(0, (largest - 1).bit_length() - 7) if largest else 0


def addend(context: SumContext, shift: int) -> Int64:
    """Return BC of each channel: floor((z_y + b / s_y) * 2^shift), in 32 bits.

    b is the float32 value of the bias, as DequantizeLinear makes it of the codes with the scale f32(s_x * s_w).
    """
    return in_32_bits(np.floor(np.ldexp(in_output_codes(context), shift)))


def in_32_bits(integers: NDArray[np.float64]) -> Int64:
    """Return integers that are floats, saturated to 32 bits."""
    found: Int64 = np.clip(integers, -(2.0**31), 2.0**31 - 1).astype(np.int64)
    return found


def checked_shift(name: str, shift: int) -> int:
    """Return a shift of a later narrowing. Raises ProfileError where the scales ask for one outside SHIFTS."""
    if shift not in SHIFTS:
        problem = Problem(name, f"a shift in [{SHIFTS[0]}, {SHIFTS[-1]}]", f"{shift}")
        raise ProfileError("a multiplier outside the profile's domain", [problem])
    return shift


def bias_values(context: SumContext) -> NDArray[np.float64]:
    """Return b of each channel: the float32 value of its bias, as float64; 0 without a bias."""
    codes = np.asarray(0 if context.bias is None else context.bias)
    value = codes.astype(np.float32) * (np.float32(context.alpha) * context.x.scale * context.w.scale)
    return np.asarray(value, np.float64)


def in_output_codes(context: SumContext) -> NDArray[np.float64]:
    """Return z_y + b / s_y of each channel."""
    y = context.output
    return np.asarray(int(y.zero_point) + bias_values(context) / float(y.scale), np.float64)


def check_sizes(numbers: Mapping[str, Int64], scales: int, channels: int) -> None:
    """Raise ProfileError where a number has neither one value nor one for each channel."""
    for name, value in numbers.items():
        if value.size not in (1, scales, channels):
            problem = Problem(f"override {name}", f"1 or {channels} values", str(value.size))
            raise ProfileError("an override that does not fit its layer", [problem])


def accumulated(sums: Int64, accumulator: str) -> Int64:
    """Return what an accumulator, one of ACCUMULATORS, holds of sums."""
    if accumulator == "exact":
        return wrap(sums, 32)
    return saturate(sums, 24) if accumulator == "saturate-24" else wrap(sums, 24)


def monotone_to(accumulator: str) -> int:
    """Return the size of sums up to which an accumulator is monotone: saturation is, only a wrap is not."""
    return 2**23 - 1 if accumulator == "wrap-24" else 2**31 - 1


def first_narrowing(acc: Int64, shift: int, tie: str) -> list[StageValue]:
    """Return 'acc', 'narrowed' and 'x16' = sat16(RSR(acc, shift))."""
    quotient = Quotient(acc, shift)
    narrowed = quotient.rounded(tie)
    return [
        StageValue("acc", acc),
        StageValue("narrowed", narrowed, quotient.exact),
        StageValue("x16", saturate(narrowed, 16), saturated=True),
    ]


@dataclass(frozen=True, eq=False)
class Narrowed(BoundRule):
    """x16 = sat16(RSR(sum, S1)); y = sat8(RSR(A * x16 + BC, S2)): two narrowings, the bias after the first."""

    rule: NarrowThenAffine
    #: The shift of the first narrowing.
    s1: int
    #: The shift of the second narrowing.
    s2: int
    #: One multiplier for all channels or one per channel.
    a: Int64
    #: The addend, zero point and bias included; one for all channels or one per channel.
    bc: Int64
    y: Quant
    bias: Int64 | None
    expression: None = None

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"S1": np.int64(self.s1), "S2": np.int64(self.s2), "A": self.a, "BC": self.bc}

    def first(self, sums: Int64) -> list[StageValue]:
        """Return 'acc', 'narrowed' and 'x16'."""
        return first_narrowing(accumulated(sums, self.rule.accumulator), self.s1, self.rule.inner_tie)

    def second(self, x16: Int64) -> list[StageValue]:
        """Return 'affine', 'unclipped' and 'y' of what the first narrowing leaves."""
        quotient = self._affine(x16)
        return [
            StageValue("affine", quotient.value),
            *clipped(quotient.rounded(self.rule.tie), self.y, quotient.exact),
        ]

    def _affine(self, x16: Int64) -> Quotient:
        return Quotient(self.a * x16 + self.bc, self.s2)

    def stages(self, sums: Int64) -> list[StageValue]:
        first = self.first(sums)
        return [*first, *self.second(first[-1].array)]

    def ties(self, sums: Int64) -> Signs:
        first = self.first(sums)
        acc, affine = first[0].array, self._affine(first[-1].array)
        return signs(affine.value, affine.is_tie(), signs(acc, Quotient(acc, self.s1).is_tie()))

    @property
    def slope(self) -> Slope:
        unit = np.ldexp(1.0, -self.s2)
        limit = monotone_to(self.rule.accumulator)
        return Slope(self.a * unit, self.bc * unit, (), self.s1, -limit, limit)
