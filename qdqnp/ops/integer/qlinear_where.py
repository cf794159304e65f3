"""com.microsoft.QLinearWhere: codes of two inputs, copied or rescaled to the output's scale, chosen by a condition.

Its inputs: condition, then (tensor, scale, zero point) of x and y, then the output's scale and zero point.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from qdqnp.graph import MICROSOFT, Shape
from qdqnp.numerics.questions import Question, Singles
from qdqnp.numerics.questions.sums import Index
from qdqnp.numerics.rules.lookup import IdentityFunction
from qdqnp.ops.geometry.broadcast import broadcast_shapes
from qdqnp.ops.integer.asking import IntegerOperator, Part
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import Inferred
from qdqnp.program import Operand, Step
from qdqnp.quant import EIGHT_BIT, Array, Codes, Quant


class QLinearWhere(IntegerOperator):
    op = "QLinearWhere"
    domain = MICROSOFT
    arity = (8, 9)
    rule = "concat"  # each input by itself, as there
    asks = Question  # about some elements of each input, for which there is no fast form

    def infer(self, check: NodeCheck, attributes: Any) -> Inferred:
        check.dtype_in(0, (np.bool_,), "condition")
        dtype = check.dtype_in(1, EIGHT_BIT, "x")
        check.dtype_in(4, (dtype,), "y")
        if not all(quant.per_tensor for quant in self._quants(check)):
            check.refuse("scales", "one value each", "several")
        return ((dtype, broadcast_shapes([check.value(index).shape for index in (0, 1, 4)])),)

    def _quants(self, check: NodeCheck) -> tuple[Quant, Quant, Quant]:
        dtype = check.value(1).dtype
        return check.quant(2, 3, dtype), check.quant(5, 6, dtype), check.quant(7, 8, dtype)

    def step(self, check: NodeCheck, attributes: Any) -> Step:
        x, y, result = self._quants(check)
        names = check.node.inputs
        operands = (Operand(names[0]), Operand(names[1], x), Operand(names[4], y))
        return self.make_step(check, attributes, operands, (Operand(check.node.outputs[0], result),))

    def shapes(self, attributes: Any, condition: Shape, x: Shape, y: Shape) -> tuple[Shape, ...]:
        return (broadcast_shapes([condition, x, y]),)

    def questions(self, step: Step, condition: Array, x: Codes, y: Codes) -> Sequence[Part]:
        chosen, *codes = np.broadcast_arrays(condition != 0, x, y)
        parts = []
        for operand, (array, mask) in enumerate(zip(codes, (chosen, ~chosen), strict=True), 1):
            question = Singles(
                self.rule, step.label, step.quant(operand), step.y, IdentityFunction(), array[mask], operand
            )
            parts.append(Part(question, (mask,)))
        return parts

    def origin(self, step: Step, output: int, index: Index, condition: Array, x: Array, y: Array) -> Any:
        return [array[index] for array in np.broadcast_arrays(condition, x, y)]
