"""com.microsoft.QLinearAdd: y = quantize(dequantize(a) + dequantize(b)), as the profile's add rule computes it."""

from __future__ import annotations

from qdqnp.graph import Shape
from qdqnp.ops.integer.pairwise import PairwiseOperator


class QLinearAdd(PairwiseOperator):
    op = "QLinearAdd"
    rule = "add"

    def swaps(self, a: Shape, b: Shape) -> bool:
        """Tell whether ONNX Runtime's broadcasting takes a for the scalar operand of the innermost span.

        ONNX Runtime looks at the axes that both shapes have, from the last on, for one longer than 1 (rank 0 counts as
        one axis of size 1). If a is 1 there, or such an axis does not exist, it exchanges the operands. Compared on all
        pairs of small shapes.
        """
        for size_a, size_b in zip(reversed(a or (1,)), reversed(b or (1,)), strict=False):
            if size_a != 1 or size_b != 1:
                return size_a == 1
        return True
