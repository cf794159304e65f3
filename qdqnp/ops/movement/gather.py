"""Gather takes elements of an axis at constant indices."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from qdqnp.graph import Shape
from qdqnp.ops.geometry.axes import axis_of
from qdqnp.ops.movement.movement import Movement
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import ShapeError
from qdqnp.quant import Array


def _no_indices() -> Array:
    return np.zeros(0, np.int64)


@dataclass(frozen=True, eq=False)
class GatherAttributes:
    axis: int = 0
    _indices: Array = field(default_factory=_no_indices)


class Gather(Movement):
    op = "Gather"
    arity = (2, 2)
    Attributes = GatherAttributes

    def attributes(self, check: NodeCheck) -> Any:
        indices = check.const(1, "indices")
        if indices.dtype not in (np.int32, np.int64):
            check.refuse("input 1 (indices)", "int32 or int64", indices.dtype)
        return replace(super().attributes(check), _indices=indices.astype(np.int64))

    def shape(self, attributes: GatherAttributes, x: Shape) -> Shape:
        axis, indices = axis_of(attributes.axis, len(x)), attributes._indices
        size = x[axis]
        if isinstance(size, int) and indices.size and (indices.min() < -size or indices.max() >= size):
            raise ShapeError(f"indices in [{-size}, {size - 1}]", f"{indices.min()} to {indices.max()}")
        return (*x[:axis], *indices.shape, *x[axis + 1 :])

    def move(self, attributes: GatherAttributes, x: Array) -> Array:
        return np.take(x, attributes._indices, axis_of(attributes.axis, x.ndim))
