"""com.microsoft.QLinearMul: y = quantize(dequantize(a) * dequantize(b)), as the profile's mul rule computes it."""

from __future__ import annotations

from qdqnp.numerics.profile import Profile
from qdqnp.numerics.rules.binary import BinaryRule
from qdqnp.ops.integer.binary import QLinearBinary


class QLinearMul(QLinearBinary):
    op = "QLinearMul"

    def rule(self, profile: Profile) -> BinaryRule:
        return profile.mul
