"""LeakyRelu in float32."""

from __future__ import annotations

from qdqnp.numerics.rules.lookup import LeakyRelu as Function
from qdqnp.ops.float.elementwise import Elementwise
from qdqnp.ops.integer.qlinear_leaky_relu import LeakyReluAttributes
from qdqnp.quant import Array


class LeakyRelu(Elementwise):
    op = "LeakyRelu"
    Attributes = LeakyReluAttributes

    def apply(self, attributes: LeakyReluAttributes, x: Array) -> Array:
        return Function(attributes.alpha).float32(x)
