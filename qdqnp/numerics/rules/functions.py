"""Real functions of single codes in TFLite's kernels: tables, and fixed-point arithmetics of one function each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from qdqnp.errors import Problem, ProfileError
from qdqnp.numerics.choices import choice
from qdqnp.numerics.multiplier import Fixed, real_multiplier
from qdqnp.numerics.rounding import round_real
from qdqnp.numerics.rule import Rule
from qdqnp.numerics.rules.fixed_functions import SIGMOID, TANH, FixedKernel, fixed_function, hard_swish
from qdqnp.numerics.rules.lookup import (
    HardSigmoidFunction,
    HardSwishFunction,
    IdentityFunction,
    LeakyReluFunction,
    RealFunction,
    RescaledLookup,
    SigmoidFunction,
    TanhFunction,
    UnaryFunction,
)
from qdqnp.numerics.rules.requantize.rescale import Rescale
from qdqnp.numerics.rules.requantized import Requantized, own_output
from qdqnp.numerics.status import ESTABLISHED, INFERRED, STATUSES
from qdqnp.numerics.values import BoundRule, StageValue, exact_float, real_ties, shifted
from qdqnp.quant import Codes, Float32, Quant, Signs

#: The functions whose fixed-point kernels make codes of one scale.
KERNELS: Mapping[type, FixedKernel] = {SigmoidFunction: SIGMOID, TanhFunction: TANH}


@dataclass(frozen=True)
class TfliteFunctions(Rule, family="lookup"):
    """A kernel for each function: LeakyRelu by two rescales, HardSwish in 16 bits; Sigmoid and Tanh by a float table
    (LiteRT), or in fixed point (TFLite Micro).

    The fixed-point kernels make codes of one scale, 1/256 or 1/128; others are rescaled from these, as by the QUANTIZE
    of a converter. There is no kernel for HardSigmoid: it is a table. Both are inferred.
    """

    #: What rescales, and of fixed-point functions the input.
    rescale: Rescale
    #: Whether functions are computed in fixed point and not looked up in a table.
    fixed: bool = choice(False, of=(False, True), kind="function kernel", text="functions in fixed point: {value}")
    status: str = choice(ESTABLISHED, of=STATUSES)

    def status_of(self, x: Quant, y: Quant, function: RealFunction) -> str:
        """Return how sure the rule is of a function from codes of x to codes of y."""
        if isinstance(function, HardSigmoidFunction):
            return INFERRED
        kernel = KERNELS.get(type(function))
        if kernel is None:
            return self.status
        return self.status if kernel.makes(y) else INFERRED

    def bind(self, x: Quant, y: Quant, function: RealFunction) -> UnaryFunction:
        if isinstance(function, LeakyReluFunction):
            return leaky_relu(self.rescale, x, y, function.alpha)
        if isinstance(function, HardSwishFunction):
            return hard_swish(x, y)
        if isinstance(function, HardSigmoidFunction) or not self.fixed:
            return FloatTabled(x, y, function)
        kernel = KERNELS.get(type(function))
        if kernel is not None:
            return self._in_fixed_point(kernel, x, y)
        name = type(function).__name__.removesuffix("Function")
        problem = Problem(
            "arithmetic", "a rule", f"none for {name}", "Give the profile a rule of your own for `lookup`."
        )
        raise ProfileError("a function that the profile does not define", [problem])

    def _in_fixed_point(self, kernel: FixedKernel, x: Quant, y: Quant) -> UnaryFunction:
        if kernel.makes(y):
            return fixed_function(kernel, self.rescale, x, y)
        own = own_output(kernel.scale, y, kernel.zero_point)
        made = fixed_function(kernel, self.rescale, x, own)
        return Requantized(made, RescaledLookup(self.rescale).bind(own, y, IdentityFunction()))


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
        rounded = round_real(finite, "half-away")
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
