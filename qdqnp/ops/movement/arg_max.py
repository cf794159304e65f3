"""ArgMax returns where the largest element of an axis is, as int64; of several, the first or the last."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qdqnp.graph import Shape
from qdqnp.ops.geometry.axes import axis_of
from qdqnp.ops.geometry.reduce import reduced_shape
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import Binding, Inferred, Operator, ShapeError
from qdqnp.quant import Array


@dataclass(frozen=True)
class ArgMaxAttributes:
    axis: int = 0
    keepdims: int = 1
    select_last_index: int = 0


class ArgMax(Operator):
    op = "ArgMax"
    Attributes = ArgMaxAttributes

    def infer(self, check: NodeCheck, attributes: ArgMaxAttributes) -> Inferred:
        check.dtype_in(0, (np.float32, np.int8, np.uint8), "x")
        return ((np.dtype(np.int64), self.shapes(attributes, check.value(0).shape)[0]),)

    def shapes(self, attributes: ArgMaxAttributes, x: Shape) -> tuple[Shape, ...]:
        axis = axis_of(attributes.axis, len(x))
        if x[axis] == 0:
            raise ShapeError("something to choose from", str(list(x)))
        return (reduced_shape(x, (axis,), bool(attributes.keepdims)),)

    def compute(self, binding: Binding, x: Array) -> tuple[Array, ...]:
        attributes: ArgMaxAttributes = binding.step.attributes
        axis, keep = axis_of(attributes.axis, x.ndim), bool(attributes.keepdims)
        if attributes.select_last_index:
            at = x.shape[axis] - 1 - np.argmax(np.flip(x, axis), axis, keepdims=keep)
        else:
            at = np.argmax(x, axis, keepdims=keep)
        return (np.asarray(at, np.int64),)
