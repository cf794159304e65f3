"""Windowed averages of codes (AveragePool)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from qdqnp.numerics import float32
from qdqnp.numerics.rules.binary import saturate
from qdqnp.quant import Codes, Float32, Int64, Quant

# (codes of each tap, first axis the window's taps in row-major order, shape (taps, ...);
#  inside: bool, broadcastable to the same shape, False where a tap lies in the padding;
#  count: int64, broadcastable to the result, the divisor) -> codes, shape (...).
AverageFunction = Callable[[Codes, np.ndarray, Int64], Codes]


class AverageRule(Protocol):
    @property
    def status(self) -> str: ...

    def bind(self, x: Quant, y: Quant) -> AverageFunction: ...


@dataclass(frozen=True)
class FloatAverage:
    """ONNX Runtime's QLinearAveragePool: dequantize each tap, sum in float32 in row-major order, divide, quantize.

    y = clip(rint(f32(f32(f32(sum / f32(count)) / s_y) + z_y))): the zero point is inside the rounding.
    Source: contrib_ops/cpu/quantization/qlinear_pool.cc.
    """

    status: str = "established"

    def bind(self, x: Quant, y: Quant) -> AverageFunction:
        def average(taps: Codes, inside: np.ndarray, count: Int64) -> Codes:
            total: Float32 = np.zeros(taps.shape[1:], np.float32)
            with np.errstate(all="ignore"):
                for tap, valid in zip(taps, inside, strict=True):
                    real = float32.dequantize(tap, x.scale, x.zero_point)
                    total = np.where(valid, total + real, total).astype(np.float32)
                mean = total / count.astype(np.float32)
                shifted: Float32 = np.divide(mean, y.scale, dtype=np.float32) + y.zero_point.astype(np.float32)
            return saturate(float32.to_int32_x86(shifted), y)

        return average
