"""One tensor of 8-bit codes to another through a real function: rescaling (Concat), LeakyRelu, Sigmoid."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any, Protocol

import numpy as np

from qdqnp.numerics import float32
from qdqnp.numerics.rational import fraction
from qdqnp.numerics.rounding import ROUNDINGS
from qdqnp.numerics.rules.requantize import Rescale, largest_shift, saturated
from qdqnp.quant import Codes, Float32, Quant


@dataclass(frozen=True, eq=False)
class UnaryFunction:
    """A bound rule: codes of x to codes of y. parameters: the numbers it uses."""

    function: Callable[[Codes], Codes]
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, codes: Codes) -> Codes:
        return self.function(codes)


class RealFunction(Protocol):
    """A real function in two precisions."""

    def float32(self, x: Float32) -> Float32:
        """As ONNX Runtime computes it."""
        ...

    def exact(self, x: Fraction) -> Fraction:
        """The real value, or one within 10^-50 of it where it is irrational."""
        ...


@dataclass(frozen=True)
class Identity:
    def float32(self, x: Float32) -> Float32:
        return x

    def exact(self, x: Fraction) -> Fraction:
        return x


@dataclass(frozen=True)
class LeakyRelu:
    """x where x >= 0, else alpha * x; alpha is a float32."""

    alpha: float

    def float32(self, x: Float32) -> Float32:
        with np.errstate(all="ignore"):
            return np.where(x >= 0, x, np.float32(self.alpha) * x).astype(np.float32)

    def exact(self, x: Fraction) -> Fraction:
        return x if x >= 0 else fraction(np.float32(self.alpha)) * x


@dataclass(frozen=True)
class Sigmoid:
    """1 / (1 + exp(-x)); in float32 by MLAS's approximation."""

    def float32(self, x: Float32) -> Float32:
        return float32.sigmoid(x)

    def exact(self, x: Fraction) -> Fraction:
        limited = max(min(x, Fraction(1000)), Fraction(-1000))  # beyond, nearer to 0 and 1 than any scale can tell
        with localcontext() as context:
            context.prec = 60
            value = 1 / (1 + (-Decimal(limited.numerator) / Decimal(limited.denominator)).exp())
        return Fraction(value)


class LookupRule(Protocol):
    """x, y: per-tensor Quants. The bound function maps codes of x to codes of y."""

    @property
    def status(self) -> str: ...

    def bind(self, x: Quant, y: Quant, function: RealFunction) -> UnaryFunction: ...


@dataclass(frozen=True)
class FloatLookup:
    """ONNX Runtime: dequantize, the float32 function, QUANT.

    Source: contrib_ops/cpu/quantization/qlinear_lookup_table.cc.
    """

    status: str = "established"

    def bind(self, x: Quant, y: Quant, function: RealFunction) -> UnaryFunction:
        def lookup(codes: Codes) -> Codes:
            with np.errstate(all="ignore"):
                real = function.float32(float32.dequantize(codes, x.scale, x.zero_point))
            return float32.quantize(real, y.scale, y.zero_point, y.dtype)

        return UnaryFunction(lookup)


@dataclass(frozen=True)
class RescaledLookup:
    """TFLite, CMSIS-NN: y = clip(rescale(x - z_x, s_x / s_y) + z_y). Only for the identity (Concat)."""

    rescale: Rescale
    status: str = "established"

    def bind(self, x: Quant, y: Quant, function: RealFunction) -> UnaryFunction:
        fixed = self.rescale.fix(np.asarray(float(x.scale) / float(y.scale)))

        def lookup(codes: Codes) -> Codes:
            return saturated(self.rescale.apply(codes.astype(np.int64) - int(x.zero_point), fixed), y)

        return UnaryFunction(lookup, fixed.as_parameters())


@dataclass(frozen=True)
class RationalLookup:
    """The exact real value of the function in units of s_y, half to even."""

    status: str = "established"

    def bind(self, x: Quant, y: Quant, function: RealFunction) -> UnaryFunction:
        def one(code: int) -> int:
            real = function.exact((code - int(x.zero_point)) * fraction(x.scale)) / fraction(y.scale)
            return round(max(min(real, Fraction(2**20)), Fraction(-(2**20))))

        def lookup(codes: Codes) -> Codes:
            values = np.array([one(int(code)) for code in codes.reshape(-1)], np.int64)
            return saturated(values.reshape(codes.shape), y)

        return UnaryFunction(lookup)


@dataclass(frozen=True)
class AffineLookup:
    """ST Neural-ART's rescale of codes: y = sat8(RSR(A * x + BC, S)), A in [2^14, 2^15). Only for the identity."""

    tie: str = "half-up"
    status: str = "inferred"

    def bind(self, x: Quant, y: Quant, function: RealFunction) -> UnaryFunction:
        ratio = float(x.scale) / float(y.scale)
        shift = largest_shift(ratio)
        a = round(math.ldexp(ratio, shift))
        bc = math.floor(math.ldexp(int(y.zero_point) - int(x.zero_point) * ratio, shift))
        low, high = y.range

        def lookup(codes: Codes) -> Codes:
            wide = ROUNDINGS[self.tie](codes.astype(np.int64) * a + bc, shift)
            return np.clip(wide, low, high).astype(y.dtype)

        return UnaryFunction(lookup, {"A": a, "BC": bc, "S": shift})
