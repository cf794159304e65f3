"""Sums to codes: convolution, matrix products, global average.

The sum is exact and has no bias in it; adding the bias is part of the rule, because devices differ in when they do it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from qdqnp.numerics import float32
from qdqnp.quant import Codes, Float32, Int64, Quant


@dataclass(frozen=True, eq=False)
class FloatExpression:
    """A requantization that is one float32 expression of the int32 accumulator acc = sum + bias:
    rint(clamp(f32(acc) * multiplier)) + zero point. A kernel may compute it on a tile of exact sums.

    multiplier: float32, shape () or (channels,); zero_point: an integer scalar; dtype: of the codes, or float32
    where the product itself is the output (zero_point is 0 then).
    """

    multiplier: Float32
    zero_point: int
    dtype: np.dtype[Any]


class Requantizer(Protocol):
    """A bound rule. Calling it maps int64 sums, shape (..., channels), to codes of the same shape."""

    @property
    def parameters(self) -> Mapping[str, Any]: ...

    @property
    def bias(self) -> Int64 | None: ...

    @property
    def expression(self) -> FloatExpression | None:
        """The rule as one float32 expression of the accumulator, if it is one."""
        ...

    def __call__(self, sums: Int64) -> Codes: ...


class RequantizeRule(Protocol):
    """x, w, y: Quant of input, weights and output; y is None where the output is real (QGemm without y_scale).
    bias: int32 codes, broadcastable to (channels,); alpha: QGemm's factor."""

    @property
    def status(self) -> str: ...

    def bind(self, x: Quant, w: Quant, y: Quant | None, bias: Codes | None, alpha: float = 1.0) -> Requantizer: ...


@dataclass(frozen=True, eq=False)
class FloatScaled:
    """acc = wrap32(sum + bias), then REQUANT by a float32 multiplier (or its product as the real output)."""

    multiplier: Float32
    bias: Int64 | None
    y: Quant | None
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def expression(self) -> FloatExpression:
        if self.y is None:
            return FloatExpression(self.multiplier, 0, np.dtype(np.float32))
        return FloatExpression(self.multiplier, int(self.y.zero_point), self.y.dtype)

    def __call__(self, sums: Int64) -> Codes:
        acc = float32.wrap32(sums if self.bias is None else sums + self.bias)
        if self.y is None:
            with np.errstate(over="ignore"):
                return acc.astype(np.float32) * self.multiplier
        return float32.requantize(acc, self.multiplier, self.y.zero_point, self.y.dtype)


@dataclass(frozen=True)
class FloatScale:
    """ONNX Runtime: multiplier = f32(f32(f32(alpha * s_x) * s_w) / s_y), every step rounded to float32.

    Source: core/providers/cpu/quantization/qlinearconv.cc, contrib_ops/cpu/quantization/quant_gemm.cc.
    """

    status: str = "established"

    def bind(self, x: Quant, w: Quant, y: Quant | None, bias: Codes | None, alpha: float = 1.0) -> Requantizer:
        with np.errstate(all="ignore"):
            multiplier = np.multiply(np.float32(alpha) * x.scale, w.scale, dtype=np.float32)
            if y is not None:
                multiplier = np.divide(multiplier, y.scale, dtype=np.float32)
        wide = None if bias is None else bias.astype(np.int64)
        return FloatScaled(multiplier, wide, y, {"multiplier": multiplier})


class MeanRule(Protocol):
    """Global average: the sum of (code - zero point) over `count` elements to the codes of their mean."""

    @property
    def status(self) -> str: ...

    def bind(self, x: Quant, y: Quant, count: int) -> Requantizer: ...


@dataclass(frozen=True)
class FloatMean:
    """ONNX Runtime's QLinearGlobalAveragePool: multiplier = f32(s_x / f32(s_y * f32(count))), then REQUANT.

    Source: core/mlas/lib/qlgavgpool.cpp, which refuses a multiplier outside [2^-32, 256).
    """

    status: str = "established"

    def bind(self, x: Quant, y: Quant, count: int) -> Requantizer:
        with np.errstate(all="ignore"):
            multiplier = np.asarray(x.scale / (y.scale * np.float32(count)), np.float32)
        return FloatScaled(multiplier, None, y, {"multiplier": multiplier})

    @staticmethod
    def in_domain(multiplier: Float32) -> bool:
        return bool(multiplier >= np.float32(2.0**-32) and multiplier < np.float32(256))
