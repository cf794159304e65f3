"""One integer multiplier, one addend and one shift: PULP's RequantShift and TI's TINPU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from qdqnp.errors import Problem, ProfileError
from qdqnp.numerics.choices import OVERRIDES, Override, Overrides, choice
from qdqnp.numerics.float32 import as_f32
from qdqnp.numerics.multiplier import real_multiplier
from qdqnp.numerics.rounding import Quotient
from qdqnp.numerics.rule import Rule
from qdqnp.numerics.rules.requantize.overrides import given_for
from qdqnp.numerics.rules.requantize.protocol import Requantizer, Slope, SumContext
from qdqnp.numerics.status import INFERRED, STATUSES
from qdqnp.numerics.values import BoundRule, StageValue, shifted, signs
from qdqnp.numerics.width import wrap
from qdqnp.quant import Int64, Quant, Signs

INT32 = range(-(2**31), 2**31)


@dataclass(frozen=True)
class RequantShift(Rule, family="requantize"):
    """PULP's RequantShift (Siracusa, GAP9, Snitch), every step in int32, which wraps:

        y = clip(((sum * mul + add + 2^(shift-1)) >> shift) + z_y)

    A compiled network states mul, add and shift; give them as overrides. Otherwise they are derived, which is inferred:
    mul = rint(M * 2^shift), add = bias * mul.
    Source: pulp-platform/Deeploy, TargetLibraries/Generic/src/RequantShift_s8.c.
    """

    #: The shift where no override gives one; PULP's own networks have 16.
    shift: int = choice(16, of=range(1, 32))
    #: (layer label, (('mul', value), ...)) for layers whose mul, add or shift are known.
    overrides: Overrides = field(
        default=(),
        metadata={
            OVERRIDES: {"mul": Override(INT32, True), "add": Override(INT32, True), "shift": Override(range(1, 32))}
        },
    )
    status: str = choice(INFERRED, of=STATUSES)

    def bind(self, context: SumContext) -> Requantizer:
        y = context.output
        given = given_for(self.overrides, context)
        shift = int(given.get("shift", self.shift))
        real = real_multiplier(np.float32(context.alpha) * context.x.scale, context.w.scale, y.scale)
        mul = np.asarray(given.get("mul", np.rint(np.ldexp(real, shift))), np.int64)
        if not ((mul >= -(2**31)) & (mul < 2**31)).all():
            problem = Problem("multiplier", f"M * 2^{shift} in int32", f"{float(np.max(real))!r}")
            raise ProfileError("a multiplier outside the profile's domain", [problem])
        bias = np.zeros(1, np.int64) if context.wide_bias is None else context.wide_bias
        add = np.asarray(given.get("add", wrap(bias * mul, 32)), np.int64)
        return Shifted(mul, add, shift, y, context.wide_bias)


@dataclass(frozen=True, eq=False)
class Shifted(BoundRule):
    """The bound RequantShift."""

    #: The multiplier and the addend, one for all channels or one per channel.
    mul: Int64
    add: Int64
    shift: int
    y: Quant
    bias: Int64 | None
    expression: None = None

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"mul": self.mul, "add": self.add, "shift": np.int64(self.shift)}

    def _total(self, sums: Int64) -> Int64:
        return wrap(wrap(sums, 32) * self.mul + self.add, 32)

    def stages(self, sums: Int64) -> list[StageValue]:
        acc, total = wrap(sums, 32), self._total(sums)
        rounded = wrap(total + (1 << (self.shift - 1)), 32) >> self.shift
        return [
            StageValue("acc", acc),
            StageValue("acc * mul + add", total),
            StageValue("rounded", rounded, Quotient(total, self.shift).exact),
            *shifted(rounded, self.y),
        ]

    def ties(self, sums: Int64) -> Signs:
        total = self._total(sums)
        return signs(total, Quotient(total, self.shift).is_tie())

    @property
    def slope(self) -> Slope:
        unit = np.ldexp(1.0, -self.shift)
        room = 2**31 - 1 - (1 << (self.shift - 1)) - int(np.abs(self.add).max(initial=0))
        reach = room // max(1, int(np.abs(self.mul).max(initial=0)))
        return Slope(self.mul * unit, self.add * unit + int(self.y.zero_point), (), 0, -reach, reach)


@dataclass(frozen=True)
class OffsetScaleShift(Rule, family="requantize"):
    """TI TINPU (C2000, MSPM0): an offset before an 8-bit multiplier, then a shift that rounds down.

        shift  = floor(log2((2^bits - 1) / M)), from 0 to 31;  scale = rint(M * 2^shift)
        offset = rint(bias + 2^(shift-1) / scale), M and these in float32
        y      = clip(floor((sum + offset) * scale / 2^shift))

    The offset holds the half that rounds to nearest, itself rounded to an integer. Outputs have no zero point: another
    one is refused. Source: TexasInstruments/tinyml-tensorlab, quantization/tinpu: compute_offset_scale_shift.
    """

    #: Bits of the multiplier: 8, or 1 for powers of two.
    bits: int = choice(8, of=range(1, 16))
    #: (layer label, (('scale', value), ...)) for layers whose offset, scale or shift are known.
    overrides: Overrides = field(
        default=(),
        metadata={
            OVERRIDES: {
                "offset": Override(INT32, True),
                "scale": Override(range(-(2**15), 2**15), True),
                "shift": Override(range(0, 32), True),
            }
        },
    )
    status: str = choice("established", of=STATUSES)

    def bind(self, context: SumContext) -> Requantizer:
        y = context.output
        if int(y.zero_point):
            problem = Problem("zero point of the output", "0", str(int(y.zero_point)))
            raise ProfileError("an output that the profile does not define", [problem])
        given, most = given_for(self.overrides, context), 2**self.bits - 1
        alpha = np.float32(context.alpha) * context.x.scale
        with np.errstate(all="ignore"):
            real = np.atleast_1d(as_f32(as_f32(alpha * context.w.scale) / y.scale))
            shift = np.clip(np.floor(np.log2(np.float32(most) / real)), 0, 31)
        shift = np.asarray(given.get("shift", shift), np.int64)
        scale = np.asarray(given.get("scale", np.rint(np.ldexp(real, shift.astype(np.int32)))), np.int64)
        if "scale" not in given and not ((scale > 0) & (scale <= most)).all():
            problem = Problem(
                "multiplier", f"M * 2^shift in [1, {most}], with shift in [0, 31]", f"{float(real.max())!r}"
            )
            raise ProfileError("a multiplier outside the profile's domain", [problem])
        bias = np.zeros(1, np.float32) if context.bias is None else as_f32(context.bias)
        with np.errstate(all="ignore"):
            half = as_f32(np.ldexp(np.float32(1), (shift - 1).astype(np.int32)) / as_f32(scale))
        offset = np.asarray(given.get("offset", np.rint(as_f32(bias + half))), np.int64)
        return OffsetScaled(offset, scale, shift, y, context.wide_bias)


@dataclass(frozen=True, eq=False)
class OffsetScaled(BoundRule):
    """The bound OffsetScaleShift."""

    #: One for all channels or one per channel, like `scale` and `shift`.
    offset: Int64
    scale: Int64
    shift: Int64
    y: Quant
    bias: Int64 | None
    expression: None = None

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"offset": self.offset, "scale": self.scale, "shift": self.shift}

    def _product(self, sums: Int64) -> Quotient:
        return Quotient((sums + self.offset) * self.scale, self.shift)

    def stages(self, sums: Int64) -> list[StageValue]:
        product = self._product(sums)
        rounded = product.rounded("floor")
        return [
            StageValue("acc", sums + self.offset),
            StageValue("acc * scale", product.value),
            StageValue("rounded", rounded, product.exact),
            *shifted(rounded, self.y),
        ]

    def ties(self, sums: Int64) -> Signs:
        product = self._product(sums)
        return signs(product.value, product.is_tie())

    @property
    def slope(self) -> Slope:
        real = np.asarray(np.ldexp(self.scale.astype(np.float64), -self.shift.astype(np.int32)), np.float64)
        # a floor is a rounding half a unit lower
        return Slope(real, self.offset * real - 0.5, (), 0, -(2**40), 2**40)
