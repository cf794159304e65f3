"""com.microsoft.QLinearAdd: y = quantize(dequantize(a) + dequantize(b)), as the profile's add rule computes it."""

from __future__ import annotations

import numpy as np

from qdqnp.graph import Shape
from qdqnp.kernels.tables import PairLine
from qdqnp.numerics.profile import Profile
from qdqnp.numerics.rules.binary import BinaryRule
from qdqnp.ops.integer.binary import QLinearBinary
from qdqnp.quant import Quant


class QLinearAdd(QLinearBinary):
    op = "QLinearAdd"

    def rule(self, profile: Profile) -> BinaryRule:
        return profile.add

    def candidate(self, a: Quant, b: Quant, y: Quant) -> PairLine | None:
        """The sum of the real values in units of y's scale."""
        with np.errstate(all="ignore"):
            left, right = float(a.scale) / float(y.scale), float(b.scale) / float(y.scale)
            offset = int(y.zero_point) - left * int(a.zero_point) - right * int(b.zero_point)
            return PairLine(np.float32(left), np.float32(right), np.float32(offset), y.dtype)

    def swaps(self, a: Shape, b: Shape) -> bool:
        """Which operand ONNX Runtime's broadcasting takes for the scalar one of the innermost span: it looks at the
        axes that both shapes have, from the last on, for one longer than 1 (rank 0 counts as one axis of size 1). If a
        is 1 there, or there is no such axis, it exchanges the operands. Compared on all pairs of small shapes."""
        for size_a, size_b in zip(reversed(a or (1,)), reversed(b or (1,)), strict=False):
            if size_a != 1 or size_b != 1:
                return size_a == 1
        return True
