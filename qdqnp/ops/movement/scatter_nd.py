"""ScatterND writes slices into a copy of the data: each row of the indices says where one begins."""

from __future__ import annotations

from typing import Any

import numpy as np

from qdqnp.graph import Shape
from qdqnp.ops.movement.scatter_elements import ScatterAttributes, Scattering, scatter
from qdqnp.ops.operator import ShapeError
from qdqnp.quant import Array, Int64


class ScatterND(Scattering):
    op = "ScatterND"
    index_dtypes = (np.int64,)
    Attributes = ScatterAttributes

    def shape(self, attributes: ScatterAttributes, x: Shape, indices: Shape, *updates: Shape) -> Shape:
        depth = indices[-1] if indices else None
        if not isinstance(depth, int) or not 1 <= depth <= len(x):
            raise ShapeError(f"rows of 1 to {len(x)} indices", str(list(indices)))
        wanted = (*indices[:-1], *x[depth:])
        if len(wanted) != len(updates[0]) or any(
            a != b for a, b in zip(wanted, updates[0], strict=True) if isinstance(a, int) and isinstance(b, int)
        ):
            raise ShapeError(f"updates of shape {list(wanted)}", str(list(updates[0])))
        return x

    def limits(self, attributes: ScatterAttributes, x: tuple[int, ...], indices: tuple[int, ...]) -> Any:
        return np.array(x[: indices[-1]])

    def targets(self, attributes: ScatterAttributes, x: Array, indices: Int64) -> Array:
        return np.asarray(x[tuple(np.moveaxis(indices, -1, 0))])

    def move(self, attributes: ScatterAttributes, x: Array, indices: Int64, *updates: Array) -> Array:
        places = self.targets(attributes, np.arange(x.size).reshape(x.shape), indices)
        return scatter(x, places, updates[0], attributes.reduction)
