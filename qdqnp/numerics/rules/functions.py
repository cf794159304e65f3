"""Real functions of single codes in TFLite's kernels: tables, and fixed-point arithmetics of one function each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from qdqnp.errors import Problem, ProfileError
from qdqnp.numerics import gemmlowp
from qdqnp.numerics.choices import choice
from qdqnp.numerics.multiplier import Fixed, real_multiplier
from qdqnp.numerics.rounding import Quotient
from qdqnp.numerics.rule import Rule
from qdqnp.numerics.rules.lookup import LeakyReluFunction, RealFunction, SigmoidFunction, UnaryFunction
from qdqnp.numerics.rules.requantize.rescale import Rescale
from qdqnp.numerics.status import ESTABLISHED, STATUSES
from qdqnp.numerics.values import BoundRule, StageValue, exact_float, real_ties, shifted, signs
from qdqnp.quant import Codes, Float32, Int64, Quant, Signs


@dataclass(frozen=True)
class TfliteFunctions(Rule, family="lookup"):
    """A kernel for each function: LeakyRelu by two rescales, others by a float table (LiteRT) or in fixed point.

    TFLite Micro has fixed-point kernels; of those there is Sigmoid.
    """

    #: What rescales, and of fixed-point functions the input.
    rescale: Rescale
    #: Whether functions are computed in fixed point and not looked up in a table.
    fixed: bool = choice(False, of=(False, True), kind="function kernel", text="functions in fixed point: {value}")
    status: str = choice(ESTABLISHED, of=STATUSES)

    def bind(self, x: Quant, y: Quant, function: RealFunction) -> UnaryFunction:
        if isinstance(function, LeakyReluFunction):
            return leaky_relu(self.rescale, x, y, function.alpha)
        if not self.fixed:
            return FloatTabled(x, y, function)
        if isinstance(function, SigmoidFunction):
            return fixed_sigmoid(self.rescale, x, y)
        name = type(function).__name__.removesuffix("Function")
        problem = Problem(
            "arithmetic", "a rule", f"none for {name}", "Give the profile a rule of your own for `lookup`."
        )
        raise ProfileError("a function that the profile does not define", [problem])


# -- tables ------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class FloatTableLookup(Rule, family="lookup"):
    """LiteRT's table of a function f, every operation rounded to float32:

        real = f((x - z_x) * s_x), as C's float library computes it
        y = clip(round(real * (1 / s_y)) + z_y), halves away from zero

    Source: google-ai-edge/LiteRT, tflite/kernels/internal/common.h (LUTPopulate).
    """

    status: str = choice(ESTABLISHED, of=STATUSES)

    def bind(self, x: Quant, y: Quant, function: RealFunction) -> UnaryFunction:
        return FloatTabled(x, y, function)


@dataclass(frozen=True, eq=False)
class FloatTabled(BoundRule):
    """The bound FloatTableLookup."""

    x: Quant
    y: Quant
    function: RealFunction

    def _scaled(self, codes: Codes) -> tuple[Float32, Float32]:
        with np.errstate(all="ignore"):
            real = self.function.libm((self.x.centered(codes).astype(np.float32) * self.x.scale).astype(np.float32))
            return real, (real * (np.float32(1) / self.y.scale)).astype(np.float32)

    def stages(self, codes: Codes) -> list[StageValue]:
        real, scaled = self._scaled(codes)
        limit = np.float64(2**40)  # far outside every code, so that an infinity has one
        finite = np.clip(np.nan_to_num(scaled.astype(np.float64), nan=0.0), -limit, limit)
        rounded = (np.sign(finite) * np.floor(np.abs(finite) + 0.5)).astype(np.int64)
        return [
            StageValue("real", real),
            StageValue("real / s_y", scaled),
            StageValue("rounded", rounded, exact_float(scaled)),
            *shifted(rounded, self.y),
        ]

    def ties(self, codes: Codes) -> Signs:
        return real_ties(self._scaled(codes)[1])


# -- LeakyRelu ---------------------------------------------------------------------------------------------------------
def leaky_relu(rescale: Rescale, x: Quant, y: Quant, slope: float) -> LeakyRescaled:
    """Return TFLite's LeakyRelu: (x - z_x) rescaled by s_x / s_y, or by s_x * slope / s_y below zero, in float32.

    Source: google-ai-edge/LiteRT, tflite/kernels/activations.cc (LeakyReluPrepare). Raises ProfileError for a slope
    below 0.
    """
    if slope < 0:
        raise ProfileError("a slope outside the profile's domain", [Problem("alpha", "0 or more", str(slope))])
    factors = (np.asarray(factor, np.float32) for factor in (1, slope))
    above, below = (rescale.fix(real_multiplier(x.scale, factor, y.scale, "float32")) for factor in factors)
    return LeakyRescaled(rescale, x, y, above, below)


@dataclass(frozen=True, eq=False)
class LeakyRescaled(BoundRule):
    """TFLite's LeakyRelu between two quantizations."""

    rescale: Rescale
    x: Quant
    y: Quant
    above: Fixed
    below: Fixed

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {
            "multipliers": np.array([self.above.value, self.below.value]),
            "shifts": np.array([self.above.shift, self.below.shift]),
        }

    def stages(self, codes: Codes) -> list[StageValue]:
        centered = self.x.centered(codes)
        made = [self.rescale.values(part, fixed) for part, fixed in self._parts(codes)]
        rounded = np.where(centered >= 0, made[0][-1].array, made[1][-1].array)
        exact = made[0][-1].exact, made[1][-1].exact

        def at(index: tuple[int, ...]) -> Any:
            found = exact[int(centered[index] < 0)]
            return None if found is None else found(index)

        return [StageValue("x - z_x", centered), StageValue("rescaled", rounded, at), *shifted(rounded, self.y)]

    def _parts(self, codes: Codes) -> list[tuple[Any, Fixed]]:
        centered = self.x.centered(codes)
        return [(np.maximum(centered, 0), self.above), (np.minimum(centered, 0), self.below)]

    def ties(self, codes: Codes) -> Signs:
        found = [self.rescale.ties(part, fixed) for part, fixed in self._parts(codes)]
        met: Signs = np.where(self.x.centered(codes) >= 0, found[0], found[1]).astype(np.int8)
        return met


# -- gemmlowp ----------------------------------------------------------------------------------------------------------
#: Integer bits of the input of gemmlowp's functions in TFLite Micro's int8 kernels.
INPUT_BITS = 4


def fixed_sigmoid(rescale: Rescale, x: Quant, y: Quant) -> FixedSigmoid:
    """Return TFLite Micro's int8 Logistic in gemmlowp's fixed point; y has scale 1/256 and zero point -128:

        v = rescale(x - z_x, s_x * 2^27), with 4 integer bits; far from zero y is the lowest or the highest code
        y = sat8(round(sigmoid(v) / 2^23) - 128)

    Source: tensorflow/tflite-micro, kernels/logistic_common.cc and kernels/internal/reference/integer_ops/logistic.h.
    Raises ProfileError for another output, and where the input's scale has no such multiplier.
    """
    if y.dtype != np.int8 or float(y.scale) != 1 / 256 or int(y.zero_point) != -128:
        problem = Problem("output", "int8 of scale 1/256 and zero point -128", str(y))
        raise ProfileError("an output that the kernel does not make", [problem])
    fraction, shift = math.frexp(float(x.scale) * 2.0 ** (31 - INPUT_BITS))
    value = math.floor(fraction * 2.0**31 + 0.5)
    radius = math.floor((2**INPUT_BITS - 1) * 2.0 ** (31 - INPUT_BITS) / 2.0**shift)
    if value == 2**31 or not 0 <= shift <= 31:
        problem = Problem("input scale", "one below 16, and no multiplier of 2^31", str(x.scale))
        raise ProfileError("a scale outside the kernel's domain", [problem])
    fixed = Fixed(np.asarray(value, np.int64), np.asarray(31 - shift, np.int64))
    return FixedSigmoid(rescale, x, y, fixed, radius)


@dataclass(frozen=True, eq=False)
class FixedSigmoid(BoundRule):
    """TFLite Micro's Logistic of one input scale."""

    rescale: Rescale
    x: Quant
    y: Quant
    fixed: Fixed
    #: From this distance to the zero point on, y is one of the ends.
    radius: int

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {**self.fixed.as_parameters(), "radius": np.int64(self.radius)}

    def _last(self, codes: Codes) -> tuple[Int64, Quotient]:
        """Return the centered codes, and sigmoid in units of 2^-31, whose quotient is the code."""
        centered = self.x.centered(codes)
        inside = np.where(np.abs(centered) < self.radius, centered, 0)
        value = gemmlowp.sigmoid(self.rescale.apply(inside, self.fixed), INPUT_BITS)
        value = np.where(centered <= -self.radius, 0, np.where(centered >= self.radius, 255 << 23, value))
        return centered, Quotient(value, 23)

    def stages(self, codes: Codes) -> list[StageValue]:
        centered, quotient = self._last(codes)
        rounded = quotient.rounded("half-away")
        return [
            StageValue("x - z_x", centered),
            StageValue("sigmoid", quotient.value),
            StageValue("rounded", rounded, quotient.exact),
            *shifted(rounded, self.y),
        ]

    def ties(self, codes: Codes) -> Signs:
        _, quotient = self._last(codes)
        return signs(quotient.value, quotient.is_tie())
