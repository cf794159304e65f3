"""ArgMax returns where the largest element of an axis is, as int64; of several, the first or the last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from qdqnp.graph import Shape, concrete
from qdqnp.numerics.questions.sums import Index
from qdqnp.ops.float.elementwise import FLOATS
from qdqnp.ops.geometry.axes import axis_of
from qdqnp.ops.geometry.reduce import check_settled, first_choice, reduced_row, reduced_rows, reduced_shape
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import Binding, Inferred, Operator, ShapeError
from qdqnp.program import Step
from qdqnp.quant import Array


@dataclass(frozen=True)
class ArgMaxAttributes:
    axis: int = 0
    keepdims: int = 1
    select_last_index: int = 0


class ArgMax(Operator):
    op = "ArgMax"
    Attributes = ArgMaxAttributes
    #: How the element is chosen.
    best: ClassVar[np.ufunc] = np.fmax

    def infer(self, check: NodeCheck, attributes: ArgMaxAttributes) -> Inferred:
        check.dtype_in(0, (*FLOATS, np.int8, np.uint8, np.int32, np.int64), "x")
        return ((np.dtype(np.int64), self.shapes(attributes, check.value(0).shape)[0]),)

    def shapes(self, attributes: ArgMaxAttributes, x: Shape) -> tuple[Shape, ...]:
        axis = axis_of(attributes.axis, len(x))
        if x[axis] == 0:
            raise ShapeError("something to choose from", str(list(x)))
        return (reduced_shape(x, (axis,), attributes.keepdims),)

    def compute(self, binding: Binding, x: Array) -> tuple[Array, ...]:
        attributes: ArgMaxAttributes = binding.step.attributes
        rows = reduced_rows(x, (axis_of(attributes.axis, x.ndim),))
        check_settled(rows, None)
        at = first_choice(rows, self.best, bool(attributes.select_last_index))
        return (at.reshape(concrete(self.shapes(attributes, x.shape)[0])),)

    def origin(self, step: Step, output: int, index: Index, x: Array) -> Any:
        (shape,) = self.shapes(step.attributes, x.shape)
        return reduced_row(x, (axis_of(step.attributes.axis, x.ndim),), shape, index)
