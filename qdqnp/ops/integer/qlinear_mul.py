"""com.microsoft.QLinearMul: y = quantize(dequantize(a) * dequantize(b)), as the profile's mul rule computes it."""

from __future__ import annotations

from qdqnp.ops.integer.pairwise import PairwiseOperator


class QLinearMul(PairwiseOperator):
    op = "QLinearMul"
    rule = "mul"
