"""One tensor of 8-bit codes to another through a real function: rescaling (Concat), LeakyRelu, Sigmoid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from qdqnp.numerics import float32
from qdqnp.quant import Codes, Float32, Quant

RealFunction = Callable[[Float32], Float32]
UnaryFunction = Callable[[Codes], Codes]


def identity(x: Float32) -> Float32:
    return x


def leaky_relu(alpha: float) -> RealFunction:
    """x where x >= 0, else f32(alpha * x)."""
    slope = np.float32(alpha)

    def function(x: Float32) -> Float32:
        with np.errstate(all="ignore"):
            return np.where(x >= 0, x, slope * x).astype(np.float32)

    return function


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
                real = function(float32.dequantize(codes, x.scale, x.zero_point))
            return float32.quantize(real, y.scale, y.zero_point, y.dtype)

        return lookup
