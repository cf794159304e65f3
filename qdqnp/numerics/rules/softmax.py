"""Rows of 8-bit codes to the codes of their softmax."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from qdqnp.numerics.rules.binary import saturate
from qdqnp.quant import Codes, Float32, Quant

SoftmaxFunction = Callable[[Codes], Codes]  # (rows, width) -> (rows, width)


class SoftmaxRule(Protocol):
    @property
    def status(self) -> str: ...

    def bind(self, x: Quant, y: Quant, width: int) -> SoftmaxFunction: ...


@dataclass(frozen=True)
class TableSoftmax:
    """ONNX Runtime's QLinearSoftmax since 1.32: exponentials from a table, their float32 sum, one float64 division.

    table[i] = f32(exp((i - 255 + shift) * s_x)), shift = max(0, f32 log(f32(FLT_MAX / width)) - 5) / s_x, so that a sum
    of `width` entries stays finite; a row is shifted so that its maximum is entry 255. sum = entries added in order, in
    float32. y = clip(rint(table * floor(f32(1 / s_y)) / sum) + z_y), in float64.
    Source: contrib_ops/cpu/quantization/qlinear_softmax.cc; the exponential is the C library's.
    """

    status: str = "established"

    def bind(self, x: Quant, y: Quant, width: int) -> SoftmaxFunction:
        table = self.table(x, width)
        one = float(np.floor(np.float32(1) / y.scale))
        low = x.range[0]

        def softmax(codes: Codes) -> Codes:
            index = codes.astype(np.int64) - low
            entries = table[index + (255 - index.max(axis=1, keepdims=True))]
            total = np.zeros(len(codes), np.float32)
            for column in entries.T:
                total = total + column
            with np.errstate(all="ignore"):
                real = np.rint(entries.astype(np.float64) * one / total.astype(np.float64)[:, None])
            return saturate(real.astype(np.int64) + int(y.zero_point), y)

        return softmax

    @staticmethod
    def table(x: Quant, width: int) -> Float32:
        scale = float(x.scale)
        room = np.log(np.finfo(np.float32).max / np.float32(width), dtype=np.float32)
        shift = max(0.0, float(room) - 5.0) / scale
        return np.array([math.exp((index - 255 + shift) * scale) for index in range(256)], np.float64).astype(
            np.float32
        )
