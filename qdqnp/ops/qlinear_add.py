"""com.microsoft.QLinearAdd: y = quantize(dequantize(a) + dequantize(b)), as the profile's add rule computes it."""

from __future__ import annotations

from qdqnp.graph import Shape
from qdqnp.numerics.profile import Profile
from qdqnp.numerics.rules.binary import BinaryRule
from qdqnp.ops.binary import QLinearBinary


class QLinearAdd(QLinearBinary):
    op = "QLinearAdd"

    def rule(self, profile: Profile) -> BinaryRule:
        return profile.add

    def swaps(self, a: Shape, b: Shape) -> bool:
        """ONNX Runtime hands the kernel (vector, vector) or (vector, scalar): where a is the one that is broadcast
        along the innermost axis that is longer than 1, or where all axes have size 1, it exchanges the operands."""
        rank = max(len(a), len(b))
        padded_a, padded_b = (1,) * (rank - len(a)) + tuple(a), (1,) * (rank - len(b)) + tuple(b)
        for size_a, size_b in zip(reversed(padded_a), reversed(padded_b), strict=True):
            if size_a != 1 or size_b != 1:
                return size_a == 1
        return True
