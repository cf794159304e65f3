"""com.microsoft.QLinearAdd: y = quantize(dequantize(a) + dequantize(b)), as the profile's add rule computes it."""

from __future__ import annotations

import numpy as np

from qdqnp.graph import Shape
from qdqnp.kernels.tables import Affine
from qdqnp.numerics.profile import Profile
from qdqnp.numerics.rules.binary import BinaryRule
from qdqnp.ops.binary import QLinearBinary
from qdqnp.quant import Quant


class QLinearAdd(QLinearBinary):
    op = "QLinearAdd"

    def rule(self, profile: Profile) -> BinaryRule:
        return profile.add

    def candidate(self, a: Quant, b: Quant, y: Quant) -> Affine | None:
        """The sum of the real values in units of y's scale."""
        with np.errstate(all="ignore"):
            left, right = float(a.scale) / float(y.scale), float(b.scale) / float(y.scale)
            offset = int(y.zero_point) - left * int(a.zero_point) - right * int(b.zero_point)
            return Affine(np.float32(left), np.float32(right), np.float32(offset), y.dtype)

    def swaps(self, a: Shape, b: Shape) -> bool:
        """ONNX Runtime hands the kernel (vector, vector) or (vector, scalar): where a is the one that is broadcast
        along the innermost axis that is longer than 1, or where all axes have size 1, it exchanges the operands."""
        rank = max(len(a), len(b))
        padded_a, padded_b = (1,) * (rank - len(a)) + tuple(a), (1,) * (rank - len(b)) + tuple(b)
        for size_a, size_b in zip(reversed(padded_a), reversed(padded_b), strict=True):
            if size_a != 1 or size_b != 1:
                return size_a == 1
        return True
