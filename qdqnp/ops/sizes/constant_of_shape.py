"""ConstantOfShape makes a tensor of one value, in a shape that is an input."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qdqnp.graph import Dim, Shape, concrete
from qdqnp.numerics.questions.sums import Index
from qdqnp.ops.geometry.axes import dim_list
from qdqnp.ops.node_check import FLOAT32, NodeCheck
from qdqnp.ops.operator import Binding, Inferred, Operator
from qdqnp.program import Operand, Step
from qdqnp.quant import Array


@dataclass(frozen=True, eq=False)
class ConstantOfShapeAttributes:
    #: One element, which also says the type; None for 0.0 as float32.
    value: Array | None = None
    _shape: tuple[Dim, ...] = ()


class ConstantOfShape(Operator):
    op = "ConstantOfShape"
    only = "of any type, by its value"
    Attributes = ConstantOfShapeAttributes
    takes_unknown = True

    def attributes(self, check: NodeCheck) -> Any:
        given: ConstantOfShapeAttributes = super().attributes(check)
        if given.value is not None and given.value.size != 1:
            check.refuse("attribute 'value'", "one element", given.value.size)
        shape = dim_list(check, 0, "shape")
        if any(isinstance(size, int) and size < 0 for size in shape):
            check.refuse("input 0 (shape)", "sizes >= 0", list(shape))
        return replace(given, _shape=shape)

    def infer(self, check: NodeCheck, attributes: ConstantOfShapeAttributes) -> Inferred:
        return ((_value(attributes).dtype, attributes._shape),)

    def step(self, check: NodeCheck, attributes: ConstantOfShapeAttributes) -> Step:
        return self.make_step(check, attributes, (), (Operand(check.node.outputs[0]),))

    def shapes(self, attributes: ConstantOfShapeAttributes, *inputs: Shape) -> tuple[Shape, ...]:
        return (attributes._shape,)

    def compute(self, binding: Binding, *inputs: Array) -> tuple[Array, ...]:
        attributes: ConstantOfShapeAttributes = binding.step.attributes
        return (np.full(concrete(attributes._shape), _value(attributes)),)

    def origin(self, step: Step, output: int, index: Index, *inputs: Array) -> Any:
        return 0  # it is filled in


def _value(attributes: ConstantOfShapeAttributes) -> Array:
    return np.zeros((), FLOAT32) if attributes.value is None else attributes.value.reshape(())
