"""ReduceMax and ReduceMin compute nothing but comparisons, so codes stay codes."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np

from qdqnp.graph import Shape
from qdqnp.ops.geometry.reduce import ReduceAttributes, axes_input, reduced_axes, reduced_shape
from qdqnp.ops.movement.movement import Movement
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import Binding, Inferred, ShapeError
from qdqnp.quant import Array


class Extremum(Movement):
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
        return reduced_shape(x, gone, bool(attributes.keepdims))

    def move(self, attributes: ReduceAttributes, x: Array) -> Array:
        return np.asarray(self.choose(x, reduced_axes(attributes, x.ndim), bool(attributes.keepdims)))

    def sources(self, binding: Binding, *inputs: Array) -> Array | None:
        return None  # the operator selects by value

    @abstractmethod
    def choose(self, x: Array, axes: tuple[int, ...], keepdims: bool) -> Array: ...
