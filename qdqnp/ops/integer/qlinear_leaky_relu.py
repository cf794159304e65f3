"""com.microsoft.QLinearLeakyRelu: a table of quantize(leaky_relu(dequantize(x)))."""

from __future__ import annotations

from dataclasses import dataclass

from qdqnp.numerics.rules.lookup import LeakyReluFunction, RealFunction
from qdqnp.ops.integer.unary import UnaryOperator


@dataclass(frozen=True)
class LeakyReluAttributes:
    alpha: float = 0.01


class QLinearLeakyRelu(UnaryOperator):
    op = "QLinearLeakyRelu"
    Attributes = LeakyReluAttributes

    def function(self, attributes: LeakyReluAttributes) -> RealFunction:
        return LeakyReluFunction(attributes.alpha)
