"""ReduceMax and ReduceMin compute nothing but comparisons, so codes stay codes."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from qdqnp.graph import Shape, Sizes, concrete
from qdqnp.ops.geometry.reduce import (
    ReduceAttributes,
    axes_input,
    check_settled,
    first_choice,
    reduced_axes,
    reduced_shape,
)
from qdqnp.ops.movement.movement import Movement
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import Binding, Inferred, ShapeError
from qdqnp.quant import Array


class Extremum(Movement):
    #: np.fmax or np.fmin.
    best: ClassVar[np.ufunc]

    arity = (1, 2)
    Attributes = ReduceAttributes

    def attributes(self, check: NodeCheck) -> Any:
        return axes_input(check, super().attributes(check), since=18)

    def infer(self, check: NodeCheck, attributes: ReduceAttributes) -> Inferred:
        check.dtype_in(0, (np.float32, np.int8, np.uint8), "x")
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
        rows = np.moveaxis(x, gone, range(x.ndim - len(gone), x.ndim)).reshape(*_rows(x.shape, gone))
        check_settled(rows, self.best)
        return rows[np.arange(rows.shape[0]), first_choice(rows, self.best)].reshape(shape)

    def sources(self, binding: Binding, *inputs: Array) -> Array | None:
        return None  # the operator selects by value


def _rows(x: Sizes, gone: tuple[int, ...]) -> tuple[int, int]:
    """Return how many elements stay, and out of how many each is chosen."""
    count = math.prod(x[axis] for axis in gone)
    return math.prod(size for axis, size in enumerate(x) if axis not in gone), count
