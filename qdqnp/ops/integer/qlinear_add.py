"""com.microsoft.QLinearAdd: y = quantize(dequantize(a) + dequantize(b)), as the profile's add rule computes it."""

from __future__ import annotations

from qdqnp.graph import Shape
from qdqnp.ops.geometry.broadcast import first_is_scalar
from qdqnp.ops.integer.pairwise import PairwiseOperator


class QLinearAdd(PairwiseOperator):
    op = "QLinearAdd"
    rule = "add"

    def swaps(self, a: Shape, b: Shape) -> bool:
        return first_is_scalar(a, b)
