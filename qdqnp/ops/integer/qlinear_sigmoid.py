"""com.microsoft.QLinearSigmoid: a table of quantize(sigmoid(dequantize(x)))."""

from __future__ import annotations

from typing import Any

from qdqnp.numerics.rules.lookup import RealFunction, Sigmoid
from qdqnp.ops.integer.lookup import QLinearUnary


class QLinearSigmoid(QLinearUnary):
    op = "QLinearSigmoid"

    def function(self, attributes: Any) -> RealFunction:
        return Sigmoid()
