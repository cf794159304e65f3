"""Real functions of single codes in fixed point: gemmlowp's Sigmoid and Tanh, and TFLite's HardSwish."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from qdqnp.errors import Problem, ProfileError
from qdqnp.numerics import gemmlowp
from qdqnp.numerics.multiplier import Fixed, QuantizeMultiplier
from qdqnp.numerics.rounding import Quotient
from qdqnp.numerics.rules.requantize.rescale import Rescale
from qdqnp.numerics.rules.requantized import own_output
from qdqnp.numerics.values import BoundRule, StageValue, shifted, signs
from qdqnp.numerics.width import saturate
from qdqnp.quant import Codes, Int64, Quant, Signs

#: Integer bits of the input of gemmlowp's functions in TFLite Micro's int8 kernels.
INPUT_BITS = 4


@dataclass(frozen=True)
class FixedKernel:
    """What differs between the int8 Logistic and Tanh of TFLite Micro."""

    #: From raw numbers of INPUT_BITS integer bits to raw numbers without any.
    function: Callable[[Int64, int], Int64]
    #: The output's scale and zero point, which are the only ones.
    scale: float
    zero_point: int

    @property
    def shift(self) -> int:
        """By how many bits the function's value is shifted to be a code."""
        return 31 + round(math.log2(self.scale))

    def makes(self, y: Quant) -> bool:
        """Tell whether the kernel makes these codes itself, or uint8 codes 128 above them."""
        return y.same_as(own_output(self.scale, y, self.zero_point))


SIGMOID = FixedKernel(gemmlowp.sigmoid, 1 / 256, -128)
TANH = FixedKernel(gemmlowp.tanh, 1 / 128, 0)


def fixed_function(kernel: FixedKernel, rescale: Rescale, x: Quant, y: Quant) -> FixedFunction:
    """Return TFLite Micro's int8 Logistic or Tanh in gemmlowp's fixed point:

        v = rescale(x - z_x, s_x * 2^27), with 4 integer bits; far from zero y is the lowest or the highest code
        y = sat8(round(f(v) / 2^31 / s_y) + z_y)

    Source: tensorflow/tflite-micro, kernels/logistic_common.cc, tanh.cc and kernels/internal/reference/integer_ops.
    Raises ProfileError for another output, and where the input's scale has no such multiplier.
    """
    if not kernel.makes(y):
        wanted = f"int8 of scale {kernel.scale} and zero point {kernel.zero_point}"
        raise ProfileError("an output that the kernel does not make", [Problem("output", wanted, str(y))])
    fraction, shift = math.frexp(float(x.scale) * 2.0 ** (31 - INPUT_BITS))
    value = math.floor(fraction * 2.0**31 + 0.5)
    radius = math.floor((2**INPUT_BITS - 1) * 2.0 ** (31 - INPUT_BITS) / 2.0**shift)
    if value == 2**31 or not 0 <= shift <= 31:
        problem = Problem("input scale", "one below 16, and no multiplier of 2^31", str(x.scale))
        raise ProfileError("a scale outside the kernel's domain", [problem])
    fixed = Fixed(np.asarray(value, np.int64), np.asarray(31 - shift, np.int64))
    return FixedFunction(kernel, rescale, x, y, fixed, radius)


@dataclass(frozen=True, eq=False)
class FixedFunction(BoundRule):
    """TFLite Micro's Logistic or Tanh of one input scale."""

    kernel: FixedKernel
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
        """Return the centered codes, and the function in units of 2^-31, whose quotient is the code."""
        centered = self.x.centered(codes)
        inside = np.where(np.abs(centered) < self.radius, centered, 0)
        value = self.kernel.function(self.rescale.apply(inside, self.fixed), INPUT_BITS)
        low, high = ((code - self.kernel.zero_point) << self.kernel.shift for code in (-128, 127))
        value = np.where(centered <= -self.radius, low, np.where(centered >= self.radius, high, value))
        return centered, Quotient(value, self.kernel.shift)

    def stages(self, codes: Codes) -> list[StageValue]:
        centered, quotient = self._last(codes)
        rounded = quotient.rounded("half-away")
        return [
            StageValue("x - z_x", centered),
            StageValue("function", quotient.value),
            StageValue("rounded", rounded, quotient.exact),
            *shifted(rounded, self.y),
        ]

    def ties(self, codes: Codes) -> Signs:
        _, quotient = self._last(codes)
        return signs(quotient.value, quotient.is_tie())


# -- HardSwish ---------------------------------------------------------------------------------------------------------
def hard_swish(x: Quant, y: Quant) -> FixedHardSwish:
    """Return TFLite's int8 HardSwish in 16 bits:

        h = (x - z_x) * 2^7, in units of s_x / 128
        a = h in units of s_y, by a 16-bit multiplier of s_x / 128 / s_y, not yet shifted
        g = (h * (s_x / 128 / (3/32768)) + 2^15) / 2, saturated at each step: Relu6(x + 3) / 6 of 15 fractional bits
        y = sat8(a * g, shifted + z_y)

    The scales are divided in float32. Source: google-ai-edge/LiteRT, tflite/kernels/internal/reference/hard_swish.h and
    activations.cc.
    """
    fine = np.float32(np.float32(1 / 128) * x.scale)
    out, gate = (_sixteen(np.float32(fine / unit)) for unit in (np.float32(y.scale), np.float32(3 / 32768)))
    if out[1] > 0:
        problem = Problem("scale ratio", "an input scale below 128 times the output's", f"{x.scale} and {y.scale}")
        raise ProfileError("a HardSwish outside the kernel's domain", [problem])
    return FixedHardSwish(x, y, *out, *gate)


def _sixteen(real: np.float32) -> tuple[int, int]:
    """Return TFLite's 16-bit multiplier and left shift."""
    fixed = QuantizeMultiplier()(np.asarray(float(real)))
    value = int(fixed.value)
    return (2**15 - 1 if value >= 2**31 - (1 << 15) else (value + (1 << 15)) >> 16), 31 - int(fixed.shift)


def _high16(a: Int64, b: int) -> Int64:
    """Compute a * b / 2^15 in int16, rounded as gemmlowp does."""
    product = a * b
    nudged = product + np.where(product >= 0, 1 << 14, 1 - (1 << 14))
    return saturate(np.where(nudged >= 0, nudged >> 15, -((-nudged) >> 15)), 16)


@dataclass(frozen=True, eq=False)
class FixedHardSwish(BoundRule):
    """TFLite's HardSwish between two quantizations."""

    x: Quant
    y: Quant
    out_multiplier: int
    #: 0 or less: to the right.
    out_shift: int
    gate_multiplier: int
    gate_shift: int

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {
            "multipliers": np.array([self.out_multiplier, self.gate_multiplier]),
            "shifts": np.array([self.out_shift, self.gate_shift]),
        }

    def stages(self, codes: Codes) -> list[StageValue]:
        fine = self.x.centered(codes) << 7
        out = _high16(fine, self.out_multiplier)
        gate = fine
        if self.gate_shift > 0:
            gate = saturate(gate << (self.gate_shift - 1), 16)
        gate = _high16(gate, self.gate_multiplier)
        if self.gate_shift > 0:
            gate = saturate(gate << 1, 16)
        elif self.gate_shift < 0:
            gate = gemmlowp.over_power(gate, -self.gate_shift)
        gate = (gate + (1 << 15)) >> 1
        product = self._product(gate, out)
        quotient = Quotient(product, -self.out_shift)
        rounded = quotient.rounded("half-away")
        return [
            StageValue("on the output's scale", out),
            StageValue("gate", gate),
            StageValue("product", product),
            StageValue("rounded", rounded, quotient.exact),
            *shifted(rounded, self.y),
        ]

    @staticmethod
    def _product(gate: Int64, out: Int64) -> Int64:
        product = gate * out
        return saturate(np.where(product >= 0, product >> 15, -((-product) >> 15)), 16)

    def ties(self, codes: Codes) -> Signs:
        product = self.stages(codes)[2].array
        return signs(product, Quotient(product, -self.out_shift).is_tie())
