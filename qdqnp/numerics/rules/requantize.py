"""Sums to codes: convolution and matrix products. Each rule is one way in which devices do it.

The sum is exact and has no bias in it; adding the bias is part of the rule, because devices differ in when they do it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

import numpy as np

from qdqnp.errors import Problem, ProfileError
from qdqnp.numerics import float32
from qdqnp.numerics.float32 import wrap32
from qdqnp.numerics.multiplier import Fixed, Real, Scheme, real_multiplier
from qdqnp.numerics.rational import RationalSum, fraction
from qdqnp.numerics.rounding import ROUNDINGS
from qdqnp.numerics.stages import Saturate, Stage
from qdqnp.quant import Array, Codes, Float32, Int64, Quant, Signs

ESTABLISHED, INFERRED, UNKNOWN = "established", "inferred", "unknown"


@dataclass(frozen=True, eq=False)
class Layer:
    """What a rule may look at. x, w, y: Quant of input, weights and output; y is None where the output is real (QGemm
    without y_scale). bias: int32 codes, broadcastable to (channels,). alpha: QGemm's factor. weights: weights less
    their zero points, (channels, K). label: the layer's name, for overrides."""

    x: Quant
    w: Quant
    y: Quant | None
    bias: Codes | None = None
    alpha: float = 1.0
    weights: Int64 | None = None
    label: str = ""

    @property
    def wide_bias(self) -> Int64 | None:
        return None if self.bias is None else self.bias.astype(np.int64)

    @property
    def output(self) -> Quant:
        """y; raises ProfileError where the output is real, which only ONNX Runtime's arithmetic defines."""
        if self.y is None:
            problem = Problem(
                "output",
                "integer codes",
                "a real output (Gemm without QuantizeLinear)",
                "Quantize the output, or use the profile 'ort'.",
            )
            raise ProfileError("an output that the profile does not define", [problem])
        return self.y


@dataclass(frozen=True, eq=False)
class FloatExpression:
    """A requantization that *is* one float32 expression of the int32 accumulator acc = sum + bias:
    rint(clamp(f32(acc) * multiplier)) + zero point. A kernel may compute it on a tile of exact sums.

    multiplier: float32, shape () or (channels,); zero_point: an integer scalar; dtype: of the codes, or float32
    where the product itself is the output (zero_point is 0 then).
    """

    multiplier: Float32
    zero_point: int
    dtype: np.dtype[Any]


@dataclass(frozen=True, eq=False)
class Slope:
    """What a cheap expression of the sum may look like: near sum * multiplier + offset, in units of output codes.

    nudges: constants worth trying where a rule rounds twice. first_shift: the sum is first divided by 2^first_shift and
    rounded half up, and multiplier applies to that. low, high: the sums (before bias) between which the rule
    is monotone and defined; outside them only the rule itself may be used.
    """

    multiplier: Real
    offset: Real
    nudges: tuple[Real, ...] = ()
    first_shift: int = 0
    low: int = -(2**31)
    high: int = 2**31 - 1


class Requantizer(Protocol):
    """A bound rule. Calling it maps int64 sums, shape (..., channels), to codes of the same shape."""

    @property
    def parameters(self) -> Mapping[str, Any]: ...

    @property
    def bias(self) -> Int64 | None: ...

    @property
    def y(self) -> Quant | None: ...

    @property
    def expression(self) -> FloatExpression | None:
        """The rule as one float32 expression of the accumulator, if it is one."""
        ...

    @property
    def slope(self) -> Slope | None:
        """Where to look for a cheap expression that may equal the rule; None: nowhere."""
        ...

    def __call__(self, sums: Int64) -> Codes: ...

    def stages(self, sums: Int64) -> list[tuple[str, Array]]:
        """Every value between sum and code by name, in order, for events and explanations: 'acc' first, then the rule's
        own, 'unclipped' (the code before the final clip; absent where the output is real), 'y' last. 'x16' and
        'Saturate' are the saturated forms of the value before them."""
        ...

    def ties(self, sums: Int64) -> Signs:
        """Which sums meet an exact half at a rounding: the sign of the value that is rounded (at the last such
        rounding), int8 -1 or 1; 0 where there is none. Shape of `sums`."""
        ...


class RequantizeRule(Protocol):
    @property
    def status(self) -> str: ...

    def bind(self, layer: Layer) -> Requantizer: ...


def saturated(value: Int64, y: Quant) -> Codes:
    """value + zero point, clipped to y's codes."""
    low, high = y.range
    return np.clip(value + y.zero_point.astype(np.int64), low, high).astype(y.dtype)


def signs(value: Array, tie: Array, others: Signs) -> Signs:
    """The sign of each value that is a tie, `others` where it is none."""
    return np.where(tie, np.sign(value), others).astype(np.int8)


def real_ties(real: Array) -> Signs:
    """`signs` of the floating-point values that are exact halves."""
    with np.errstate(all="ignore"):
        return signs(real, np.abs(real - np.trunc(real)) == 0.5, np.zeros(real.shape, np.int8))


# -- ONNX Runtime --------------------------------------------------------------------------------------------------
@dataclass(frozen=True, eq=False)
class FloatScaled:
    """acc = wrap32(sum + bias), then REQUANT by a float32 multiplier (or its product as the real output)."""

    multiplier: Float32
    bias: Int64 | None
    y: Quant | None
    slope: None = None

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"multiplier": self.multiplier}

    @property
    def expression(self) -> FloatExpression:
        if self.y is None:
            return FloatExpression(self.multiplier, 0, np.dtype(np.float32))
        return FloatExpression(self.multiplier, int(self.y.zero_point), self.y.dtype)

    def __call__(self, sums: Int64) -> Codes:
        return self.stages(sums)[-1][1]

    def stages(self, sums: Int64) -> list[tuple[str, Array]]:
        acc = wrap32(sums if self.bias is None else sums + self.bias)
        with np.errstate(all="ignore"):
            real = acc.astype(np.float32) * self.multiplier
        if self.y is None:
            return [("acc", acc), ("y", real)]
        code = float32.requantize(acc, self.multiplier, self.y.zero_point, self.y.dtype)
        return [("acc", acc), ("real", real), ("unclipped", np.rint(real) + int(self.y.zero_point)), ("y", code)]

    def ties(self, sums: Int64) -> Signs:
        # a real output is not rounded to an integer
        return real_ties(self.stages(sums)[1][1]) if self.y else np.zeros(sums.shape, np.int8)


@dataclass(frozen=True)
class FloatScale:
    """ONNX Runtime: multiplier = f32(f32(f32(alpha * s_x) * s_w) / s_y), every step rounded to float32.

    Source: core/providers/cpu/quantization/qlinearconv.cc, contrib_ops/cpu/quantization/quant_gemm.cc.
    """

    status: str = ESTABLISHED

    def bind(self, layer: Layer) -> Requantizer:
        with np.errstate(all="ignore"):
            multiplier = np.multiply(np.float32(layer.alpha) * layer.x.scale, layer.w.scale, dtype=np.float32)
            if layer.y is not None:
                multiplier = np.divide(multiplier, layer.y.scale, dtype=np.float32)
        return FloatScaled(multiplier, layer.wide_bias, layer.y)


# -- integer multiplier and shift ------------------------------------------------------------------------------------
@dataclass(frozen=True, eq=False)
class Rescaled:
    """acc = wrap32(sum + bias), the stages, zero point and clip."""

    rule: Rescale
    fixed: Fixed
    bias: Int64 | None
    y: Quant
    expression: None = None

    @property
    def parameters(self) -> Mapping[str, Any]:
        return self.fixed.as_parameters()

    def __call__(self, sums: Int64) -> Codes:
        return saturated(self.rule.apply(self._acc(sums), self.fixed), self.y)

    def _acc(self, sums: Int64) -> Int64:
        total = sums if self.bias is None else sums + self.bias
        return wrap32(total) if self.rule.accumulator == 32 else total

    def stages(self, sums: Int64) -> list[tuple[str, Array]]:
        value = self._acc(sums)
        found: list[tuple[str, Array]] = [("acc", value)]
        for stage in self.rule.stages:
            value = stage(value, self.fixed)
            found.append((type(stage).__name__, value))
        unclipped = value + int(self.y.zero_point)
        return [*found, ("unclipped", unclipped), ("y", saturated(value, self.y))]

    def ties(self, sums: Int64) -> Signs:
        value, met = self._acc(sums), np.zeros(sums.shape, np.int8)
        for stage in self.rule.stages:
            met = signs(value, stage.tie(value, self.fixed), met)
            value = stage(value, self.fixed)
        return met

    @property
    def slope(self) -> Slope:
        real, z = self.fixed.real, int(self.y.zero_point)
        bias = np.zeros(1, np.int64) if self.bias is None else self.bias
        # a first rounding to units of 2^-r moves the second's steps by half such a unit
        first = np.ldexp(1.0, -(np.maximum(self.fixed.shift - 31, 0) + 1).astype(np.int32))
        left = int(np.maximum(31 - self.fixed.shift, 0).max())
        reach = (
            2**31 - 1
            if not any(type(stage).__name__ == "ShiftLeft" for stage in self.rule.stages)
            else 2 ** (31 - left) - 1
        )
        if self.rule.bounded:
            reach = min(reach, 2 ** (int(self.fixed.shift.min()) - 1) - 1)
        slack = int(np.abs(bias).max())
        return Slope(real, bias * real + z, (first,), 0, slack - reach, reach - slack)


@dataclass(frozen=True)
class Rescale:
    """Fixed point: the real multiplier as an integer and a shift, then stages of integer arithmetic.

    precision: in which s_x * s_w / s_y is formed (see multiplier.real_multiplier). accumulator: 32 wraps; 64 does not.
    shifts: the total shifts for which the arithmetic is defined. bounded: only values in [-2^(shift-1), 2^(shift-1))
    are, as TOSA requires of SINGLE_ROUND.
    """

    scheme: Scheme
    stages: tuple[Stage, ...]
    precision: str = "float64"
    accumulator: int = 32
    shifts: tuple[int, int] = (0, 62)
    bounded: bool = False
    status: str = ESTABLISHED

    def fix(self, real: Real) -> Fixed:
        """The integers for real multipliers. Raises ProfileError outside the domain."""
        fixed = self.scheme(np.asarray(real, np.float64))
        low, high = self.shifts
        bad = (fixed.value != 0) & ((fixed.shift < low) | (fixed.shift > high))
        if bad.any():
            at = float(np.asarray(real).reshape(-1)[int(np.argmax(bad))])
            raise ProfileError(
                "a multiplier outside the profile's domain",
                [Problem("multiplier", f"a total shift in [{low}, {high}]", f"{at!r}")],
            )
        return fixed

    def apply(self, value: Int64, fixed: Fixed) -> Int64:
        """The stages in order. Raises ProfileError where a result leaves int32: the arithmetic is not defined there."""
        if self.bounded:
            limit = (np.int64(1) << fixed.shift) >> 1
            if ((value < -limit) | (value >= limit)).any():
                raise ProfileError(
                    "a value outside the profile's domain",
                    [Problem("sum", "within 2^(shift - 1)", str(int(np.abs(value).max())))],
                )
        for stage in self.stages:
            value = stage(value, fixed)
        if value.size and (value.max() > 2**31 - 1 or value.min() < -(2**31)):
            raise ProfileError(
                "a value outside the profile's domain",
                [Problem("requantized sum", "an int32", str(int(np.abs(value).max())))],
            )
        return value

    def bind(self, layer: Layer) -> Requantizer:
        y = layer.output
        real = real_multiplier(np.float32(layer.alpha) * layer.x.scale, layer.w.scale, y.scale, self.precision)
        return Rescaled(self, self.fix(real), layer.wide_bias, y)


# -- floating point of other runtimes --------------------------------------------------------------------------------
@dataclass(frozen=True, eq=False)
class Rounded:
    """acc = wrap32(sum + bias); q = round(acc * M) in the rule's precision; y = clip(q + z)."""

    rule: FloatRound
    multiplier: Real
    bias: Int64 | None
    y: Quant
    expression: None = None

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"multiplier": self.multiplier}

    def __call__(self, sums: Int64) -> Codes:
        return self.stages(sums)[-1][1]

    def stages(self, sums: Int64) -> list[tuple[str, Array]]:
        acc = wrap32(sums if self.bias is None else sums + self.bias)
        kind = np.float32 if self.rule.precision == "float32" else np.float64
        real = acc.astype(kind) * self.multiplier.astype(kind)
        rounded = np.rint(real) if self.rule.ties_to == "half-even" else _half_away(real)
        # a float beyond int32 saturates; it is far outside the codes either way
        limited = np.clip(rounded.astype(np.float64), -(2.0**31), 2.0**31 - 1).astype(np.int64)
        unclipped = limited + int(self.y.zero_point)
        return [("acc", acc), ("real", real), ("unclipped", unclipped), ("y", saturated(limited, self.y))]

    def ties(self, sums: Int64) -> Signs:
        return real_ties(self.stages(sums)[1][1])

    @property
    def slope(self) -> Slope:
        bias = np.zeros(1, np.int64) if self.bias is None else self.bias
        slack = int(np.abs(bias).max())
        return Slope(
            self.multiplier, bias * self.multiplier + int(self.y.zero_point), (), 0, slack - 2**31, 2**31 - 1 - slack
        )


def _half_away(real: Array) -> Array:
    """round() of C. Adding 0.5 would carry the largest float below 0.5 up to 1; the fraction itself is exact."""
    whole = np.trunc(real)
    return np.where(np.abs(real - whole) >= 0.5, whole + np.copysign(1, real), whole)


@dataclass(frozen=True)
class FloatRound:
    """round(acc * M) in floating point. scale: how M is formed (multiplier.real_multiplier); precision: of the product;
    ties_to: 'half-even' or 'half-away'."""

    scale: str
    precision: str
    ties_to: str
    status: str = ESTABLISHED

    def bind(self, layer: Layer) -> Requantizer:
        y = layer.output
        real = real_multiplier(np.float32(layer.alpha) * layer.x.scale, layer.w.scale, y.scale, self.scale)
        return Rounded(self, real, layer.wide_bias, y)


# -- the ideal -------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, eq=False)
class RationalScaled:
    """y = clip(rint((sum + bias) * M) + z) with M an exact rational per channel; the accumulator does not wrap."""

    exact: tuple[Fraction, ...]
    bias: Int64 | None
    y: Quant
    expression: None = None

    @property
    def multiplier(self) -> Real:
        return np.array([float(value) for value in self.exact])

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"multiplier": self.multiplier}

    def _sum(self, sums: Int64) -> RationalSum:
        return RationalSum([sums if self.bias is None else sums + self.bias], [self.exact])

    def __call__(self, sums: Int64) -> Codes:
        return saturated(self._sum(sums).rounded(), self.y)

    def stages(self, sums: Int64) -> list[tuple[str, Array]]:
        exact = self._sum(sums)
        rounded = exact.rounded()
        unclipped = rounded + int(self.y.zero_point)
        return [
            ("acc", exact.values[0]),
            ("real", exact.real()),
            ("unclipped", unclipped),
            ("y", saturated(rounded, self.y)),
        ]

    def ties(self, sums: Int64) -> Signs:
        return self._sum(sums).ties()

    @property
    def slope(self) -> Slope:
        bias = np.zeros(1, np.int64) if self.bias is None else self.bias
        return Slope(self.multiplier, bias * self.multiplier + int(self.y.zero_point), (), 0, -(2**40), 2**40)


@dataclass(frozen=True)
class RationalScale:
    """The real value acc * s_x * s_w / s_y as a rational of the float32 scales, rounded half to even."""

    status: str = ESTABLISHED

    def bind(self, layer: Layer) -> Requantizer:
        y = layer.output
        left = fraction(np.float32(layer.alpha)) * fraction(layer.x.scale) / fraction(y.scale)
        exact = tuple(left * fraction(scale) for scale in layer.w.scale.reshape(-1))
        return RationalScaled(exact, layer.wide_bias, y)


# -- ST Neural-ART -----------------------------------------------------------------------------------------------------
@dataclass(frozen=True, eq=False)
class Narrowed:
    """x16 = sat16(RSR(sum, S1)); y = sat8(RSR(A * x16 + BC, S2)): two narrowings, the bias after the first."""

    rule: NarrowThenAffine
    s1: int
    s2: int
    a: Int64
    bc: Int64
    y: Quant
    bias: Int64 | None
    expression: None = None

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"S1": np.int64(self.s1), "S2": np.int64(self.s2), "A": self.a, "BC": self.bc}

    def __call__(self, sums: Int64) -> Codes:
        return self.stages(sums)[-1][1]

    def _accumulated(self, sums: Int64) -> Int64:
        if self.rule.accumulator == "exact":
            return wrap32(sums)
        limit = 1 << 23
        if self.rule.accumulator == "saturate-24":
            return np.clip(sums, -limit, limit - 1)
        return ((sums + limit) & (2 * limit - 1)) - limit

    def stages(self, sums: Int64) -> list[tuple[str, Array]]:
        acc = self._accumulated(sums)
        narrow = ROUNDINGS[self.rule.inner_tie](acc, self.s1)
        x16 = Saturate(16)(narrow, _NO_FIXED)
        affine = self.a * x16 + self.bc
        low, high = self.y.range
        wide = ROUNDINGS[self.rule.tie](affine, self.s2)
        code = np.clip(wide, low, high).astype(self.y.dtype)
        return [("acc", acc), ("narrowed", narrow), ("x16", x16), ("affine", affine), ("unclipped", wide), ("y", code)]

    def ties(self, sums: Int64) -> Signs:
        found = dict(self.stages(sums))
        first = signs(found["acc"], is_tie(found["acc"], self.s1), np.zeros(sums.shape, np.int8))
        return signs(found["affine"], is_tie(found["affine"], self.s2), first)

    @property
    def slope(self) -> Slope:
        unit = np.ldexp(1.0, -self.s2)
        # both saturations are monotone; only a wrap is not
        limit = 2**23 - 1 if self.rule.accumulator == "wrap-24" else 2**31 - 1
        return Slope(self.a * unit, self.bc * unit, (), self.s1, -limit, limit)


_NO_FIXED = Fixed(np.int64(0), np.int64(0))  # type: ignore[arg-type]


def is_tie(value: Int64, shift: int) -> Array:
    return (value & ((1 << shift) - 1)) == (1 << shift) >> 1 if shift else np.zeros(value.shape, bool)


@dataclass(frozen=True)
class NarrowThenAffine:
    """ST Neural-ART, compiler 1.1.3, as inferred from compiled networks: S1 = max(0, ceil(log2(max_c |sum_k w|)) - 7);
    S2 puts the largest A in [2^14, 2^15); A = rint(M * 2^(S1+S2)), BC = floor((z_y + bias * M) * 2^S2).

    tie: of both roundings, unknown, half-up by default. accumulator: 'exact' (int32), 'saturate-24' or 'wrap-24'.
    overrides: (layer label, (('S1', value), ...)) for layers whose S1, S2, A or BC are known.
    first_tie: of the first rounding, where it is not `tie` as well ('same').
    """

    tie: str = "half-up"
    accumulator: str = "exact"
    overrides: tuple[tuple[str, tuple[tuple[str, Any], ...]], ...] = ()
    status: str = INFERRED
    first_tie: str = "same"

    @property
    def inner_tie(self) -> str:
        """The tie rule of the first rounding."""
        return self.tie if self.first_tie == "same" else self.first_tie

    def bind(self, layer: Layer) -> Requantizer:
        y = layer.output
        given = dict(dict(self.overrides).get(layer.label, ()))
        real = real_multiplier(np.float32(layer.alpha) * layer.x.scale, layer.w.scale, y.scale)
        if layer.weights is None:
            raise ProfileError("weights that the profile needs", [Problem("weights", "constants", "a computed tensor")])
        s1 = int(given.get("S1", self.first_shift(layer.weights)))
        s2 = int(given.get("S2", largest_shift(float(real.max(initial=0.0)) * 2.0**s1)))
        bias = 0 if layer.bias is None else layer.bias.astype(np.int64)
        a = np.asarray(given.get("A", np.rint(np.ldexp(real, s1 + s2))), np.int64)
        constant = np.floor(np.ldexp(int(y.zero_point) + bias * real, s2))
        bc = np.asarray(given.get("BC", np.clip(constant, -(2.0**31), 2.0**31 - 1)), np.int64)
        for name, value in (("A", a), ("BC", bc)):
            if value.size not in (1, real.size, len(layer.weights)):
                problem = Problem(f"override {name}", f"1 or {len(layer.weights)} values", str(value.size))
                raise ProfileError("an override that does not fit its layer", [problem])
        return Narrowed(self, s1, s2, a, bc, y, layer.wide_bias)

    @staticmethod
    def first_shift(weights: Int64) -> int:
        largest = int(np.abs(weights.sum(axis=-1)).max(initial=0))
        return max(0, math.ceil(math.log2(largest)) - 7) if largest else 0


def largest_shift(real: float) -> int:
    """The shift that puts rint(real * 2^shift) in [2^14, 2^15)."""
    if not real > 0 or not math.isfinite(real):
        return 14
    shift = 15 - math.frexp(real)[1]
    return shift if round(math.ldexp(real, shift)) < 2**15 else shift - 1


# -- what nobody has defined -----------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Undefined:
    """An operator whose arithmetic under the profile is not known. Binding it lists the layer as a problem."""

    reason: str
    status: str = UNKNOWN

    def bind(self, *arguments: Any, **keywords: Any) -> Any:
        problem = Problem("arithmetic", "a rule", self.reason, "Give the profile a rule of your own for this operator.")
        raise ProfileError("an operator that the profile does not define", [problem])
