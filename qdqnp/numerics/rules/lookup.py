"""One tensor of 8-bit codes becomes another through a real function: rescaling (Concat), LeakyRelu, Sigmoid."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, localcontext
from fractions import Fraction
from functools import lru_cache
from typing import Any, Protocol

import numpy as np

from qdqnp.errors import Problem, ProfileError
from qdqnp.lazy import lazy
from qdqnp.numerics import float32, mlas
from qdqnp.numerics.choices import choice, part
from qdqnp.numerics.multiplier import largest_shift
from qdqnp.numerics.rational import fraction
from qdqnp.numerics.rounding import NEAREST, ROUNDINGS, Quotient
from qdqnp.numerics.rule import Rule
from qdqnp.numerics.rules.requantize.protocol import Requantizer, RequantizeRule, SumContext
from qdqnp.numerics.status import ESTABLISHED, INFERRED, STATUSES
from qdqnp.numerics.values import BoundRule, Index, StageValue, clipped, exact_float, real_ties, shifted, signs
from qdqnp.numerics.width import limited
from qdqnp.quant import Codes, Float32, Quant, Signs, code_range

#: A weight that changes nothing.
ONE = Quant(np.dtype(np.int8), np.asarray(1, np.float32), np.asarray(0, np.int8))


class RealFunction(Protocol):
    """A real function in two precisions."""

    def float32(self, x: Float32) -> Float32:
        """Compute the function as ONNX Runtime does."""
        ...

    def libm(self, x: Float32) -> Float32:
        """Compute the function as C does with its float library, each result of which is the nearest float32."""
        ...

    def exact(self, x: Fraction) -> Fraction:
        """Return the real value, or one within 10^-50 of it where it is irrational."""
        ...

    def __hash__(self) -> int:
        """Equal functions have equal values."""
        ...


@dataclass(frozen=True)
class IdentityFunction:
    def float32(self, x: Float32) -> Float32:
        return x

    def libm(self, x: Float32) -> Float32:
        return x

    def exact(self, x: Fraction) -> Fraction:
        return x


@dataclass(frozen=True)
class LeakyReluFunction:
    """x where x >= 0, else alpha * x; alpha is a float32."""

    alpha: float

    def float32(self, x: Float32) -> Float32:
        with np.errstate(all="ignore"):
            return np.where(x >= 0, x, np.float32(self.alpha) * x).astype(np.float32)

    def libm(self, x: Float32) -> Float32:
        return self.float32(x)

    def exact(self, x: Fraction) -> Fraction:
        return x if x >= 0 else fraction(np.float32(self.alpha)) * x


@dataclass(frozen=True)
class SigmoidFunction:
    """1 / (1 + exp(-x)); in float32 by MLAS's approximation."""

    def float32(self, x: Float32) -> Float32:
        return mlas.sigmoid(x)

    def libm(self, x: Float32) -> Float32:
        with np.errstate(all="ignore"):
            exponential = np.exp(-x.astype(np.float64)).astype(np.float32)
            return (np.float32(1) / (np.float32(1) + exponential)).astype(np.float32)

    def exact(self, x: Fraction) -> Fraction:
        limited = max(min(x, Fraction(1000)), Fraction(-1000))  # beyond: nearer to 0 and 1 than any scale can tell
        with localcontext() as context:
            context.prec = 60
            value = 1 / (1 + (-Decimal(limited.numerator) / Decimal(limited.denominator)).exp())
        return Fraction(value)


@dataclass(frozen=True)
class TanhFunction:
    """tanh(x)."""

    def float32(self, x: Float32) -> Float32:
        return self.libm(x)

    def libm(self, x: Float32) -> Float32:
        return np.tanh(x.astype(np.float64)).astype(np.float32)

    def exact(self, x: Fraction) -> Fraction:
        return 2 * SigmoidFunction().exact(2 * x) - 1


@dataclass(frozen=True)
class HardSigmoidFunction:
    """max(0, min(1, alpha * x + beta)); alpha and beta are float32."""

    alpha: float
    beta: float

    def float32(self, x: Float32) -> Float32:
        line = np.float32(self.alpha) * x + np.float32(self.beta)
        found: Float32 = np.maximum(np.minimum(line, np.float32(1)), np.float32(0)).astype(np.float32)
        return found

    def libm(self, x: Float32) -> Float32:
        return self.float32(x)

    def exact(self, x: Fraction) -> Fraction:
        line = fraction(np.float32(self.alpha)) * x + fraction(np.float32(self.beta))
        return max(min(line, Fraction(1)), Fraction(0))


@dataclass(frozen=True)
class HardSwishFunction:
    """x * max(0, min(1, x / 6 + 1/2))."""

    def float32(self, x: Float32) -> Float32:
        return np.multiply(x, HardSigmoidFunction(float(np.float32(1 / 6)), 0.5).float32(x))

    def libm(self, x: Float32) -> Float32:
        return self.float32(x)

    def exact(self, x: Fraction) -> Fraction:
        return x * max(min(x / 6 + Fraction(1, 2), Fraction(1)), Fraction(0))


class UnaryFunction(Protocol):
    """A bound rule of codes. Calling it maps codes of x to codes of y."""

    @property
    def parameters(self) -> Mapping[str, Any]: ...

    def __call__(self, codes: Codes) -> Codes: ...

    def stages(self, codes: Codes) -> list[StageValue]:
        """Return every value between code and result, in order; 'unclipped' and 'y' last."""
        ...

    def ties(self, codes: Codes) -> Signs:
        """Return the sign of each value that met an exact half at the rounding, else 0."""
        ...


class LookupRule(Protocol):
    """A rule of single codes."""

    @property
    def status(self) -> str: ...

    def bind(self, x: Quant, y: Quant, function: RealFunction) -> UnaryFunction:
        """Bind the rule to two quantizations per tensor. Raises ProfileError outside its domain."""
        ...


# -- ONNX Runtime ------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class FloatLookup(Rule, family="lookup"):
    """ONNX Runtime: dequantize, apply the float32 function, quantize (`float32.quantize`).

    Source: contrib_ops/cpu/quantization/qlinear_lookup_table.cc.
    """

    status: str = choice(ESTABLISHED, of=STATUSES)

    def bind(self, x: Quant, y: Quant, function: RealFunction) -> UnaryFunction:
        return FloatTable(x, y, function)


@dataclass(frozen=True, eq=False)
class FloatTable(BoundRule):
    """The bound FloatLookup."""

    x: Quant
    y: Quant
    function: RealFunction

    def stages(self, codes: Codes) -> list[StageValue]:
        y = self.y
        with np.errstate(all="ignore"):
            real = self.function.float32(float32.dequantize(codes, self.x.scale, self.x.zero_point))
            scaled = np.divide(real, y.scale, dtype=np.float32)
            rounded = np.rint(scaled)
            return [
                StageValue("real", real),
                StageValue("real / s_y", scaled),
                StageValue("rounded", rounded, exact_float(scaled)),
                StageValue("unclipped", rounded + int(y.zero_point)),
                StageValue("y", limited(float32.round_clamped(scaled, y.zero_point, y.dtype), y)),
            ]

    def ties(self, codes: Codes) -> Signs:
        return real_ties(self.stages(codes)[1].array)


# -- TFLite ------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class RescaledLookup(Rule, family="rescaling"):
    """TFLite, CMSIS-NN, TOSA: y = clip(rescale(x - z_x, s_x / s_y) + z_y). The rule serves only the identity (Concat).

    The ratio is formed as `rescale` forms the multiplier of a convolution whose weight has the scale 1.
    """

    rescale: RequantizeRule = part("requantize")
    status: str = choice(ESTABLISHED, of=STATUSES)

    def bind(self, x: Quant, y: Quant, function: RealFunction) -> UnaryFunction:
        return RescaledCodes(x, self.rescale.bind(SumContext(x, ONE, y)))


@dataclass(frozen=True, eq=False)
class RescaledCodes(BoundRule):
    """The bound RescaledLookup: a code less its zero point takes the place of a convolution's sum."""

    x: Quant
    rescaled: Requantizer

    @property
    def parameters(self) -> Mapping[str, Any]:
        return self.rescaled.parameters

    def stages(self, codes: Codes) -> list[StageValue]:
        centered = self.x.centered(codes)
        return [StageValue("x - z_x", centered), *self.rescaled.stages(centered)[1:]]

    def ties(self, codes: Codes) -> Signs:
        return self.rescaled.ties(self.x.centered(codes))


# -- the ideal ---------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class RationalLookup(Rule, family="lookup"):
    """The exact real value of the function in units of s_y, rounded half to even."""

    status: str = choice(ESTABLISHED, of=STATUSES)

    def bind(self, x: Quant, y: Quant, function: RealFunction) -> UnaryFunction:
        return RationalTable(x, y, function)


@dataclass(frozen=True, eq=False)
class RationalTable(BoundRule):
    """The bound RationalLookup."""

    x: Quant
    y: Quant
    function: RealFunction

    @lazy
    def reals(self) -> tuple[Fraction, ...]:
        """The value of each of x's codes from the lowest on, in units of s_y, cut far outside every code."""
        low, high = code_range(self.x.dtype)
        zero = int(self.x.zero_point)
        return _reals(self.function, low - zero, high - zero, fraction(self.x.scale), fraction(self.y.scale))

    def stages(self, codes: Codes) -> list[StageValue]:
        place = codes.astype(np.int64) - code_range(self.x.dtype)[0]

        def exact(index: Index) -> Fraction:
            return self.reals[int(place[index])]

        real = np.array([float(real) for real in self.reals])[place]
        rounded = np.array([round(real) for real in self.reals], np.int64)[place]
        return [StageValue("real", real), StageValue("rounded", rounded, exact), *shifted(rounded, self.y)]

    def ties(self, codes: Codes) -> Signs:
        table = [(real > 0) - (real < 0) if real.denominator == 2 else 0 for real in self.reals]
        return np.take(np.array(table, np.int8), codes.astype(np.int64) - code_range(self.x.dtype)[0])


@lru_cache(maxsize=256)  # a rule is bound anew for each question, and each value may take 60 digits
def _reals(function: RealFunction, low: int, high: int, scale_x: Fraction, scale_y: Fraction) -> tuple[Fraction, ...]:
    """Return function(x * scale_x) / scale_y for x from low to high, cut far outside every code."""
    limit = Fraction(2**20)
    return tuple(max(min(function.exact(x * scale_x) / scale_y, limit), -limit) for x in range(low, high + 1))


#: Up to here A * x + BC stays far inside int64, whatever the zero points.
MOST_SHIFT = 46


# -- ST Neural-ART -----------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class AffineLookup(Rule, family="rescaling"):
    """ST Neural-ART's rescale of codes, only for the identity: y = sat8(RSR(A * x + BC, S)), A in [2^14, 2^15)."""

    tie: str = choice(of=ROUNDINGS, kind="tie rule", unknown=NEAREST)
    status: str = choice(INFERRED, of=STATUSES)

    def bind(self, x: Quant, y: Quant, function: RealFunction) -> UnaryFunction:
        ratio = float(x.scale) / float(y.scale)
        shift = largest_shift(ratio)
        if not 0 <= shift <= MOST_SHIFT:
            problem = Problem("scale ratio", f"a shift of 0 to {MOST_SHIFT}", f"{shift}, for {ratio!r}")
            raise ProfileError("a rescale outside the profile's domain", [problem])
        a = round(math.ldexp(ratio, shift))
        bc = math.floor(math.ldexp(int(y.zero_point) - int(x.zero_point) * ratio, shift))
        return AffineCodes(self, y, a, bc, shift)


@dataclass(frozen=True, eq=False)
class AffineCodes(BoundRule):
    """The bound AffineLookup."""

    rule: AffineLookup
    y: Quant
    a: int
    bc: int
    shift: int

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"A": self.a, "BC": self.bc, "S": self.shift}

    def _affine(self, codes: Codes) -> Quotient:
        return Quotient(codes.astype(np.int64) * self.a + self.bc, self.shift)

    def stages(self, codes: Codes) -> list[StageValue]:
        affine = self._affine(codes)
        return [StageValue("affine", affine.value), *clipped(affine.rounded(self.rule.tie), self.y, affine.exact)]

    def ties(self, codes: Codes) -> Signs:
        affine = self._affine(codes)
        return signs(affine.value, affine.is_tie())
