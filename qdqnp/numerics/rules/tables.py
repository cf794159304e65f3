"""Tables of 256 codes that a compiler computes in float64 and a device looks up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from qdqnp.errors import Problem, ProfileError
from qdqnp.lazy import lazy
from qdqnp.numerics.choices import choice, part
from qdqnp.numerics.multiplier import QuantizeMultiplier
from qdqnp.numerics.rounding import ROUNDINGS, round_real
from qdqnp.numerics.rule import Rule
from qdqnp.numerics.rules.fixed_functions import hard_swish
from qdqnp.numerics.rules.functions import leaky_relu
from qdqnp.numerics.rules.lookup import (
    HardSigmoidFunction,
    HardSwishFunction,
    IdentityFunction,
    LeakyReluFunction,
    LookupRule,
    RealFunction,
    SigmoidFunction,
    TanhFunction,
    UnaryFunction,
)
from qdqnp.numerics.rules.requantize.rescale import Rescale
from qdqnp.numerics.stages import MultiplyHigh, ShiftLeft, ShiftRight
from qdqnp.numerics.status import ESTABLISHED, INFERRED, STATUSES
from qdqnp.numerics.values import BoundRule, StageValue, clipped, exact_float, real_ties, shifted
from qdqnp.quant import Codes, Float32, Quant, Signs, code_range

Real = NDArray[np.float64]
#: gemmlowp's rescale, by which Vela fills the table of a LeakyRelu.
TWO_ROUNDINGS = Rescale(QuantizeMultiplier(), (ShiftLeft(), MultiplyHigh(), ShiftRight("half-away")))
#: Reals are cut here, in units of y's codes: far outside every code, and exact in float64.
FAR = 2.0**30


@dataclass(frozen=True)
class RoundedTable(Rule, family="lookup"):
    """y = clip(round(f(s_x * (x - z_x)) / s_y) + z_y), each step in float64, f rounded correctly.

    With half-away that is how TensorFlow's converter fills a TOSA TABLE for a Sigmoid; its own exp may be off by a unit
    of float64, which shows only within 10^-15 of a tie. What a compiler does for other functions is inferred.
    """

    rounding: str = choice("half-away", of=ROUNDINGS, kind="tie rule", text="table {value}")
    status: str = choice(INFERRED, of=STATUSES)

    def bind(self, x: Quant, y: Quant, function: RealFunction) -> UnaryFunction:
        return RoundedCodes(self, x, y, function)


@dataclass(frozen=True, eq=False)
class RoundedCodes(BoundRule):
    """The bound RoundedTable."""

    rule: RoundedTable
    x: Quant
    y: Quant
    function: RealFunction

    @lazy
    def reals(self) -> Real:
        """The value for each of x's codes from the lowest on, in units of s_y."""
        return real_values(self.function, self.x) / float(self.y.scale)

    def stages(self, codes: Codes) -> list[StageValue]:
        real = np.clip(self.reals, -FAR, FAR)[codes.astype(np.int64) - code_range(self.x.dtype)[0]]
        rounded = round_real(real, self.rule.rounding)
        return [StageValue("real", real), StageValue("rounded", rounded, exact_float(real)), *shifted(rounded, self.y)]

    def ties(self, codes: Codes) -> Signs:
        return real_ties(self.stages(codes)[0].array)


def real_values(function: RealFunction, x: Quant) -> Real:
    """Return f(s_x * (x - z_x)) for each of x's codes from the lowest on, in float64."""
    return _values_of_codes(function, float(x.scale), int(x.zero_point), *code_range(x.dtype))


@lru_cache(maxsize=32)
def _values_of_codes(function: RealFunction, scale: float, zero: int, low: int, high: int) -> Real:
    exact = [function.exact(Fraction(scale * (code - zero))) for code in range(low, high + 1)]
    values = np.array([float(value) for value in exact])
    values.flags.writeable = False  # it is shared
    return values


# -- XNNPACK -----------------------------------------------------------------------------------------------------------
IN_FLOAT64: Mapping[type, Callable[[Real], Real]] = {
    SigmoidFunction: lambda x: 1 / (1 + np.exp(-x)),
    TanhFunction: np.tanh,
}


@dataclass(frozen=True)
class XnnpackFunctions(Rule, family="lookup"):
    """XNNPACK: LeakyRelu by its conversion of codes, Sigmoid and Tanh by a table in float32:

        real = f((x - z_x) * s_x) in float64, then rounded to float32
        y = clip(rint(real * (1 / s_y) + z_y)), the sum rounded to float32

    The tables were found by comparison with LiteRT 2.3.0; their source was not read.
    """

    #: What rescales the codes of a LeakyRelu.
    conversion: Rescale
    status: str = choice(ESTABLISHED, of=STATUSES)

    def bind(self, x: Quant, y: Quant, function: RealFunction) -> UnaryFunction:
        if isinstance(function, LeakyReluFunction):
            return leaky_relu(self.conversion, x, y, function.alpha)
        if type(function) in IN_FLOAT64:
            return XnnpackTabled(x, y, function)
        problem = Problem("function", "LeakyRelu, Sigmoid or Tanh", type(function).__name__.removesuffix("Function"))
        raise ProfileError("a function that XNNPACK does not have", [problem])


@dataclass(frozen=True, eq=False)
class XnnpackTabled(BoundRule):
    """The bound XnnpackFunctions of a Sigmoid or Tanh."""

    x: Quant
    y: Quant
    function: RealFunction

    @lazy
    def values(self) -> Float32:
        """The value before rounding for each of x's codes from the lowest on, zero point included."""
        low, high = code_range(self.x.dtype)
        inner = (np.arange(low, high + 1) - int(self.x.zero_point)).astype(np.float32) * np.float32(self.x.scale)
        with np.errstate(all="ignore"):
            real = IN_FLOAT64[type(self.function)](inner.astype(np.float64)).astype(np.float32)
            found: Float32 = real * (np.float32(1) / self.y.scale) + np.float32(self.y.zero_point)
            return found

    def stages(self, codes: Codes) -> list[StageValue]:
        value = self.values[codes.astype(np.int64) - code_range(self.x.dtype)[0]]
        rounded = np.rint(np.clip(value.astype(np.float64), -FAR, FAR)).astype(np.int64)
        return [StageValue("real / s_y + z_y", value), *clipped(rounded, self.y, exact_float(value))]

    def ties(self, codes: Codes) -> Signs:
        return real_ties(self.stages(codes)[0].array)


# -- a delegate --------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class DelegatedLookup(Rule, family="lookup"):
    """A delegate's rule where its domain allows, else the rule of the library that calls it: LiteRT with XNNPACK."""

    delegate: LookupRule = part("lookup", "undefined")
    other: LookupRule = part("lookup", "undefined")
    status: str = choice(ESTABLISHED, of=STATUSES)

    def status_of(self, x: Quant, y: Quant, function: RealFunction) -> str:
        """Return how sure the rule is of a function from codes of x to codes of y."""
        found: str = getattr(self.other, "status_of", lambda *_: self.status)(x, y, function)
        return found

    def bind(self, x: Quant, y: Quant, function: RealFunction) -> UnaryFunction:
        try:
            return self.delegate.bind(x, y, function)
        except ProfileError:
            return self.other.bind(x, y, function)


# -- Ethos-U -----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class VelaTable(Rule, family="lookup"):
    """Ethos-U: the tables that Vela computes.

        Sigmoid     y = clip(trunc(v +- 0.5)), v = z_y + f(s_x * (x - z_x)) / s_y in float64; f is 0 below -8, 1 above 8
        Tanh        likewise, not cut; HardSigmoid too, which TFLite does not have: Vela gets it as other operators
        HardSwish   TFLite's, in 16 bits
        LeakyRelu   y = clip(MBQM(x - z_x, M) + z_y), M = f32(s_x / s_y), below z_x f32(f32(s_x * alpha) / s_y); MBQM is
                    TFLite's two roundings

    Source: ethos-u-vela 5.2.0, tflite_graph_optimiser.py: convert_to_lut8, convert_lrelu_to_lut,
    convert_hardswish_to_lut. Inferred, because
    Vela's own float64 may round an exponential otherwise.
    """

    status: str = choice(INFERRED, of=STATUSES)

    def bind(self, x: Quant, y: Quant, function: RealFunction) -> UnaryFunction:
        if isinstance(function, LeakyReluFunction):
            return leaky_relu(TWO_ROUNDINGS, x, y, function.alpha)
        if isinstance(function, HardSwishFunction):
            return hard_swish(x, y)
        if isinstance(function, HardSigmoidFunction | SigmoidFunction | TanhFunction | IdentityFunction):
            return VelaRounded(x, y, function)
        problem = Problem(
            "function",
            "Sigmoid, Tanh, HardSwish, HardSigmoid or LeakyRelu",
            type(function).__name__.removesuffix("Function"),
        )
        raise ProfileError("a table that is not known of Vela", [problem])


@dataclass(frozen=True, eq=False)
class VelaRounded(BoundRule):
    """The bound VelaTable of a real function."""

    x: Quant
    y: Quant
    function: RealFunction

    @lazy
    def values(self) -> Real:
        """The value before rounding for each of x's codes from the lowest on, zero point included."""
        low, high = code_range(self.x.dtype)
        real = real_values(self.function, self.x)
        if isinstance(self.function, SigmoidFunction):
            inner = float(self.x.scale) * (np.arange(low, high + 1) - int(self.x.zero_point))
            real = np.where(inner <= -8, 0.0, np.where(inner >= 8, 1.0, real))
        return np.clip(int(self.y.zero_point) + real / float(self.y.scale), -FAR, FAR)

    def stages(self, codes: Codes) -> list[StageValue]:
        value = self.values[codes.astype(np.int64) - code_range(self.x.dtype)[0]]
        rounded = np.trunc(value + np.copysign(0.5, value)).astype(np.int64)
        return [StageValue("z_y + real", value), *clipped(rounded, self.y, exact_float(value))]

    def ties(self, codes: Codes) -> Signs:
        return real_ties(self.stages(codes)[0].array)
