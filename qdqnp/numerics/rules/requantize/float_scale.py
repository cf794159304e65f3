"""ONNX Runtime: one float32 multiplication of the int32 accumulator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from qdqnp.numerics import float32
from qdqnp.numerics.choices import choice
from qdqnp.numerics.rule import Rule
from qdqnp.numerics.rules.requantize.protocol import FloatExpression, Requantizer, SumContext
from qdqnp.numerics.status import ESTABLISHED, STATUSES
from qdqnp.numerics.values import BoundRule, StageValue, exact_float, real_ties
from qdqnp.numerics.width import limited, wrap
from qdqnp.quant import Float32, Int64, Quant, Signs


@dataclass(frozen=True)
class FloatScale(Rule, family="requantize"):
    """ONNX Runtime: multiplier = f32(f32(f32(alpha * s_x) * s_w) / s_y), every step rounded to float32.

    Source: core/providers/cpu/quantization/qlinearconv.cc, contrib_ops/cpu/quantization/quant_gemm.cc.
    """

    status: str = choice(ESTABLISHED, of=STATUSES)

    def bind(self, context: SumContext) -> Requantizer:
        with np.errstate(all="ignore"):
            multiplier = np.multiply(np.float32(context.alpha) * context.x.scale, context.w.scale, dtype=np.float32)
            if context.y is not None:
                multiplier = np.divide(multiplier, context.y.scale, dtype=np.float32)
        return FloatScaled(multiplier, context.wide_bias, context.y)


@dataclass(frozen=True, eq=False)
class FloatScaled(BoundRule):
    """acc = wrap32(sum + bias), then `float32.requantize`; the product itself where the output is real.

    The conversion of the accumulator to float32 rounds to nearest-even, which shows when |acc| > 2^24.
    """

    #: float32, shape () or (channels,).
    multiplier: Float32
    bias: Int64 | None
    #: How the codes are read; None where the output is real.
    y: Quant | None
    slope: None = None

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"multiplier": self.multiplier}

    @property
    def expression(self) -> FloatExpression | None:
        if self.y is None:
            return FloatExpression(self.multiplier, 0, np.dtype(np.float32))
        if self.y.limits is not None:  # the expression clamps to the range of the dtype
            return None
        return FloatExpression(self.multiplier, int(self.y.zero_point), self.y.dtype)

    def stages(self, sums: Int64) -> list[StageValue]:
        acc = wrap(sums if self.bias is None else sums + self.bias, 32)
        with np.errstate(all="ignore"):
            real = acc.astype(np.float32) * self.multiplier
            if self.y is None:
                return [StageValue("acc", acc), StageValue("y", real)]
            rounded = np.rint(real)
            return [
                StageValue("acc", acc),
                StageValue("real", real),
                StageValue("rounded", rounded, exact_float(real)),
                StageValue("unclipped", rounded + int(self.y.zero_point)),
                StageValue("y", limited(float32.round_clamped(real, self.y.zero_point, self.y.dtype), self.y)),
            ]

    def ties(self, sums: Int64) -> Signs:
        # a real output is not rounded to an integer
        return real_ties(self.stages(sums)[1].array) if self.y else np.zeros(sums.shape, np.int8)
