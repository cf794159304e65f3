"""Expand broadcasts with a shape, either way."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qdqnp.graph import Shape, concrete
from qdqnp.ops.geometry.axes import dim_list
from qdqnp.ops.geometry.broadcast import broadcast_shapes
from qdqnp.ops.movement.movement import Movement
from qdqnp.ops.node_check import NodeCheck
from qdqnp.quant import Array


@dataclass(frozen=True)
class ExpandAttributes:
    _shape: Shape = ()


class Expand(Movement):
    op = "Expand"
    arranges = True
    takes_unknown = True
    arity = (2, 2)
    Attributes = ExpandAttributes

    def attributes(self, check: NodeCheck) -> Any:
        shape = dim_list(check, 1, "shape")
        if any(isinstance(size, int) and size < 0 for size in shape):
            check.refuse("input 1 (shape)", "sizes >= 0", list(shape))
        return replace(super().attributes(check), _shape=shape)

    def shape(self, attributes: ExpandAttributes, x: Shape) -> Shape:
        return broadcast_shapes([x, attributes._shape])

    def move(self, attributes: ExpandAttributes, x: Array) -> Array:
        return np.array(np.broadcast_to(x, concrete(self.shape(attributes, x.shape))), order="C")
