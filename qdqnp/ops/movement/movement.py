"""Operators that move elements and compute nothing: any dtype, codes stay codes, views where NumPy can."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from qdqnp.graph import Shape
from qdqnp.numerics.questions.sums import Index
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import Binding, Inferred, Operator
from qdqnp.program import Operand, Step
from qdqnp.quant import Array


class Movement(Operator):
    views = True
    monotone = True

    @abstractmethod
    def move(self, attributes: Any, x: Array) -> Array:
        """Return the output for one input; it may be a view of the input."""

    @abstractmethod
    def shape(self, attributes: Any, x: Shape) -> Shape:
        """Return the output's shape. Raises ShapeError."""

    def infer(self, check: NodeCheck, attributes: Any) -> Inferred:
        value = check.value(0)
        return ((value.dtype, self.shape(attributes, value.shape)),)

    def step(self, check: NodeCheck, attributes: Any) -> Step:
        # further inputs (Reshape's shape, Squeeze's axes) are constants, already in the attributes
        return self.make_step(check, attributes, (Operand(check.node.inputs[0]),), (Operand(check.node.outputs[0]),))

    def shapes(self, attributes: Any, x: Shape) -> tuple[Shape, ...]:
        return (self.shape(attributes, x),)

    def compute(self, binding: Binding, x: Array) -> tuple[Array, ...]:
        return (self.move(binding.step.attributes, x),)

    def origin(self, step: Step, output: int, index: Index, x: Array) -> Any:
        return self.move(step.attributes, x)[index]
