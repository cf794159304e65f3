"""com.microsoft.QLinearSigmoid: a table of quantize(sigmoid(dequantize(x)))."""

from __future__ import annotations

from typing import Any

from qdqnp.numerics.rules.lookup import RealFunction, SigmoidFunction
from qdqnp.ops.integer.unary import UnaryOperator


class QLinearSigmoid(UnaryOperator):
    op = "QLinearSigmoid"

    def function(self, attributes: Any) -> RealFunction:
        return SigmoidFunction()
