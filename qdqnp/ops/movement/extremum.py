"""ReduceMax and ReduceMin compute nothing but comparisons, so codes stay codes."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from qdqnp.graph import Shape, concrete
from qdqnp.numerics.questions.sums import Index
from qdqnp.ops.float.elementwise import FLOATS
from qdqnp.ops.geometry.reduce import (
    ReduceAttributes,
    axes_input,
    check_settled,
    first_choice,
    reduced_axes,
    reduced_row,
    reduced_rows,
    reduced_shape,
)
from qdqnp.ops.movement.movement import Movement
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import Inferred, ShapeError
from qdqnp.program import Step
from qdqnp.quant import Array


class Extremum(Movement):
    #: np.fmax or np.fmin.
    best: ClassVar[np.ufunc]

    arity = (1, 2)
    Attributes = ReduceAttributes

    def attributes(self, check: NodeCheck) -> Any:
        return axes_input(check, super().attributes(check), since=18)

    def infer(self, check: NodeCheck, attributes: ReduceAttributes) -> Inferred:
        check.dtype_in(0, (*FLOATS, np.int8, np.uint8, np.int32, np.int64, np.bool_), "x")
        return super().infer(check, attributes)

    def shape(self, attributes: ReduceAttributes, x: Shape) -> Shape:
        gone = reduced_axes(attributes, len(x))
        if any(x[axis] == 0 for axis in gone):
            raise ShapeError("something to choose from", str(list(x)))
        return reduced_shape(x, gone, attributes.keepdims)

    def move(self, attributes: ReduceAttributes, x: Array) -> Array:
        gone = reduced_axes(attributes, x.ndim)
        shape = concrete(reduced_shape(x.shape, gone, attributes.keepdims))
        if x.dtype.kind != "f":
            return np.asarray(self.best.reduce(x, axis=gone)).reshape(shape)
        rows = reduced_rows(x, gone)
        check_settled(rows, self.best)
        return rows[np.arange(rows.shape[0]), first_choice(rows, self.best)].reshape(shape)

    def origin(self, step: Step, output: int, index: Index, x: Array) -> Any:
        return reduced_row(x, reduced_axes(step.attributes, x.ndim), self.shape(step.attributes, x.shape), index)
