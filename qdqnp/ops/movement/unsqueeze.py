"""Unsqueeze inserts axes of size 1. The axes are an attribute before opset 13 and a constant input since."""

from __future__ import annotations

from typing import Any

from qdqnp.graph import Shape, concrete
from qdqnp.ops.movement.movement import Movement
from qdqnp.ops.movement.squeeze import AxesAttributes, axes_attributes
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import ShapeError
from qdqnp.quant import Array


class Unsqueeze(Movement):
    op = "Unsqueeze"
    arranges = True
    arity = (1, 2)
    Attributes = AxesAttributes

    def attributes(self, check: NodeCheck) -> Any:
        attributes = axes_attributes(check, super().attributes(check))
        if attributes.axes is None:
            check.refuse("axes", "at least one axis", "none")
        return attributes

    def shape(self, attributes: AxesAttributes, x: Shape) -> Shape:
        axes = attributes.axes or ()
        rank = len(x) + len(axes)
        if not all(-rank <= axis < rank for axis in axes) or len({axis % rank for axis in axes}) != len(axes):
            raise ShapeError(f"distinct axes in [{-rank}, {rank - 1}]", str(list(axes)))
        new = {axis % rank for axis in axes}
        rest = iter(x)
        return tuple(1 if axis in new else next(rest) for axis in range(rank))

    def move(self, attributes: AxesAttributes, x: Array) -> Array:
        return x.reshape(concrete(self.shape(attributes, x.shape)))
