"""GatherElements takes, for each index, the element at its place that lies there along one axis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from qdqnp.graph import Shape
from qdqnp.numerics.questions.sums import Index
from qdqnp.ops.geometry.axes import axis_of, row_along
from qdqnp.ops.movement.indexed import Indexed, IndexedAttributes
from qdqnp.ops.operator import ShapeError
from qdqnp.quant import Array, Int64


@dataclass(frozen=True, eq=False)
class GatherElementsAttributes(IndexedAttributes):
    axis: int = 0


class GatherElements(Indexed):
    op = "GatherElements"
    Attributes = GatherElementsAttributes
    monotone = True

    def shape(self, attributes: GatherElementsAttributes, x: Shape, indices: Shape, *updates: Shape) -> Shape:
        check_along(axis_of(attributes.axis, len(x)), x, indices)
        return indices

    def limits(self, attributes: GatherElementsAttributes, x: tuple[int, ...], indices: tuple[int, ...]) -> Any:
        return np.array(x[axis_of(attributes.axis, len(x))])

    def move(self, attributes: GatherElementsAttributes, x: Array, indices: Int64, *updates: Array) -> Array:
        return np.asarray(x[along(indices, axis_of(attributes.axis, x.ndim))])

    def candidates(self, attributes: GatherElementsAttributes, index: Index, x: Array, indices: Array) -> list[Array]:
        axis = axis_of(attributes.axis, x.ndim)
        return [row_along(x, axis, index), indices[index]]


def along(indices: Int64, axis: int) -> tuple[Array, ...]:
    """Return the place in x of each index: its own, but along the axis the index itself."""
    places: list[Array] = list(np.indices(indices.shape, sparse=True))
    places[axis] = indices
    return tuple(places)


def check_along(axis: int, x: Shape, indices: Shape) -> None:
    """Check that indices lie inside x on every axis but one. Raises ShapeError."""
    inside = len(x) == len(indices) and all(
        at == axis or not (isinstance(size, int) and isinstance(count, int)) or count <= size
        for at, (size, count) in enumerate(zip(x, indices, strict=True))
    )
    if not inside:
        raise ShapeError(f"indices of the data's rank, inside it but for axis {axis}", f"{list(x)} and {list(indices)}")
