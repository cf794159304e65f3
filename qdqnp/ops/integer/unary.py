"""Operators on single codes, with inputs (x, x_scale, x_zp, y_scale, y_zp) and a real function."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from qdqnp.graph import MICROSOFT, Shape
from qdqnp.numerics.questions import Singles
from qdqnp.numerics.rules.lookup import RealFunction
from qdqnp.ops.integer.asking import EVERYWHERE, IntegerOperator, Part, Where
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import Binding, Inferred
from qdqnp.program import Operand, Step
from qdqnp.quant import EIGHT_BIT, Codes, Quant


def input_and_output(check: NodeCheck) -> tuple[Quant, Quant]:
    """Return the quantizations of x and y, one value each, for inputs (x, x_scale, x_zp, y_scale, y_zp)."""
    dtype = check.value(0).dtype
    x, y = check.quant(1, 2, dtype), check.quant(3, 4, dtype)
    if not (x.per_tensor and y.per_tensor):
        check.refuse("scales", "one value each", "several")
    return x, y


class FromOneInput(IntegerOperator):
    """An integer operator with inputs (x, x_scale, x_zp, y_scale, y_zp)."""

    domain = MICROSOFT
    arity = (4, 5)

    def step(self, check: NodeCheck, attributes: Any) -> Step:
        x, y = input_and_output(check)
        operands = (Operand(check.node.inputs[0], x),)
        return self.make_step(check, attributes, operands, (Operand(check.node.outputs[0], y),))


class SinglesOperator(IntegerOperator):
    """An operator that asks about the codes of each input by themselves."""

    asks = Singles

    @abstractmethod
    def function(self, attributes: Any) -> RealFunction:
        """Return the real function between dequantizing and quantizing."""

    def single(self, step: Step, operand: int, codes: Codes) -> Singles:
        """Return the question about codes of an input, in any shape."""
        function = self.function(step.attributes)
        return Singles(self.rule, step.label, step.quant(operand), step.y, function, codes.reshape(-1), operand)

    def places(self, step: Step, *inputs: Codes) -> Sequence[Where]:
        """Return where the answers of each input stand in the output."""
        return [EVERYWHERE]

    def questions(self, step: Step, *inputs: Codes) -> Sequence[Part]:
        places = self.places(step, *inputs)
        return [
            Part(self.single(step, index, codes), where)
            for index, (codes, where) in enumerate(zip(inputs, places, strict=True))
        ]


class UnaryOperator(FromOneInput, SinglesOperator):
    rule = "lookup"

    def infer(self, check: NodeCheck, attributes: Any) -> Inferred:
        dtype = check.dtype_in(0, EIGHT_BIT, "x")
        input_and_output(check)
        return ((dtype, check.value(0).shape),)

    def shapes(self, attributes: Any, x: Shape) -> tuple[Shape, ...]:
        return (x,)

    def parameters(self, binding: Binding, parts: Sequence[Part]) -> Mapping[str, Any]:
        question = parts[0].question
        assert isinstance(question, Singles)
        return question.table(getattr(binding.profile, self.rule))
