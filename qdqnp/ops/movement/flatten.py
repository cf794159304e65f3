"""Flatten reshapes to (d_0 ... d_axis-1) x (d_axis ...)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from qdqnp.graph import Dim, Shape, concrete
from qdqnp.ops.movement.movement import Movement
from qdqnp.ops.operator import ShapeError
from qdqnp.quant import Array


@dataclass(frozen=True)
class FlattenAttributes:
    axis: int = 1


def product(dims: Shape) -> Dim:
    if any(not isinstance(dim, int) for dim in dims):
        # one unknown size times ones is that size
        unknown = [dim for dim in dims if not isinstance(dim, int)]
        return unknown[0] if len(unknown) == 1 and all(d == 1 for d in dims if isinstance(d, int)) else None
    return math.prod(concrete(dims))


class Flatten(Movement):
    op = "Flatten"
    arranges = True
    Attributes = FlattenAttributes

    def shape(self, attributes: FlattenAttributes, x: Shape) -> Shape:
        axis = attributes.axis
        if not -len(x) <= axis <= len(x):
            raise ShapeError(f"attribute 'axis' in [{-len(x)}, {len(x)}]", str(axis))
        axis = axis + len(x) if axis < 0 else axis
        return (product(x[:axis]), product(x[axis:]))

    def move(self, attributes: FlattenAttributes, x: Array) -> Array:
        return x.reshape(concrete(self.shape(attributes, x.shape)))
