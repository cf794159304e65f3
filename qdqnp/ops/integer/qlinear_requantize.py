"""qdqnp.QLinearRequantize: codes of one 8-bit type to the other's, by the profile's rule for a rescale of codes."""

from __future__ import annotations

from typing import Any

from qdqnp.graph import DEVICES, Shape
from qdqnp.numerics.rules.lookup import IdentityFunction, RealFunction
from qdqnp.ops.integer.device_functions import NOT_OF_ORT
from qdqnp.ops.integer.unary import FromOneInput, SinglesOperator
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import Binding, Inferred
from qdqnp.program import Operand, Step
from qdqnp.quant import EIGHT_BIT, Quant


class QLinearRequantize(FromOneInput, SinglesOperator):
    """As TFLite's QUANTIZE of codes: (x, x_scale, x_zero_point, y_scale, y_zero_point); y has the last one's type."""

    op = "QLinearRequantize"
    domain = DEVICES
    arity = (5, 5)
    rule = "concat"

    def _quants(self, check: NodeCheck) -> tuple[Quant, Quant]:
        kind = check.dtype_in(4, EIGHT_BIT, "y's zero point")
        x, y = check.quant(1, 2, check.value(0).dtype), check.quant(3, 4, kind)
        if not (x.per_tensor and y.per_tensor):
            check.refuse("scales", "one value each", "several")
        return x, y

    def infer(self, check: NodeCheck, attributes: Any) -> Inferred:
        check.dtype_in(0, EIGHT_BIT, "x")
        return ((self._quants(check)[1].dtype, check.value(0).shape),)

    def step(self, check: NodeCheck, attributes: Any) -> Step:
        x, y = self._quants(check)
        operands = (Operand(check.node.inputs[0], x),)
        return self.make_step(check, attributes, operands, (Operand(check.node.outputs[0], y),))

    def shapes(self, attributes: Any, x: Shape) -> tuple[Shape, ...]:
        return (x,)

    def function(self, attributes: Any) -> RealFunction:
        return IdentityFunction()

    def doubt(self, binding: Binding) -> str:
        return NOT_OF_ORT if binding.profile.lowering.startswith("ort") else ""
