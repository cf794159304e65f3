"""CumSum and CumProd: sums and products along one axis, one element after the other, from either end."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from qdqnp.graph import Shape
from qdqnp.numerics.questions.sums import Index
from qdqnp.ops.geometry.axes import axis_of, int_list
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import Binding, Inferred, Operator
from qdqnp.program import Operand, Step
from qdqnp.quant import Array

DTYPES = (np.float32, np.int32, np.int64)


@dataclass(frozen=True)
class CumulativeAttributes:
    exclusive: bool = False
    reverse: bool = False
    _axis: int = 0


class Cumulative(Operator):
    """Combines each element with what those in front of it made; exclusive: without the element itself."""

    arity = (2, 2)
    #: np.add or np.multiply.
    combine: ClassVar[np.ufunc]
    Attributes = CumulativeAttributes

    def attributes(self, check: NodeCheck) -> Any:
        axes = int_list(check, 1, "axis", 1)
        if len(axes) != 1:
            check.refuse("input 1 (axis)", "one axis", len(axes))
        return replace(super().attributes(check), _axis=axes[0])

    def infer(self, check: NodeCheck, attributes: CumulativeAttributes) -> Inferred:
        dtype = check.dtype_in(0, DTYPES, "x")
        axis_of(attributes._axis, len(check.value(0).shape))
        return ((dtype, check.value(0).shape),)

    def step(self, check: NodeCheck, attributes: Any) -> Step:
        return self.make_step(check, attributes, (Operand(check.node.inputs[0]),), (Operand(check.node.outputs[0]),))

    def shapes(self, attributes: Any, x: Shape) -> tuple[Shape, ...]:
        return (x,)

    def compute(self, binding: Binding, x: Array) -> tuple[Array, ...]:
        attributes: CumulativeAttributes = binding.step.attributes
        axis = axis_of(attributes._axis, x.ndim)
        if x.size == 0:
            return (x.copy(),)
        moved = np.moveaxis(x, axis, 0)[:: -1 if attributes.reverse else 1]
        found = np.full_like(moved, self.combine.identity)
        with np.errstate(all="ignore"):
            for number in range(len(moved)):
                if attributes.exclusive:
                    if number:
                        found[number] = self.combine(found[number - 1], moved[number - 1])
                else:
                    found[number] = self.combine(found[number - 1], moved[number]) if number else moved[number]
        return (np.ascontiguousarray(np.moveaxis(found[:: -1 if attributes.reverse else 1], 0, axis)),)

    def origin(self, step: Step, output: int, index: Index, x: Array) -> Any:
        attributes: CumulativeAttributes = step.attributes
        axis = axis_of(attributes._axis, x.ndim)
        at, apart = index[axis], int(attributes.exclusive)
        part = slice(at + apart, None) if attributes.reverse else slice(0, at + 1 - apart)
        found = x[(*index[:axis], part, *index[axis + 1 :])]
        return found if found.size else 0


class CumSum(Cumulative):
    op = "CumSum"
    combine = np.add


class CumProd(Cumulative):
    op = "CumProd"
    combine = np.multiply
