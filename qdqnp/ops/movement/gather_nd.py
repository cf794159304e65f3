"""GatherND takes slices: each row of the indices says where one begins, on the first axes behind the batch axes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from qdqnp.graph import Shape
from qdqnp.numerics.questions.sums import Index
from qdqnp.ops.movement.indexed import Indexed, IndexedAttributes
from qdqnp.ops.operator import ShapeError
from qdqnp.quant import Array, Int64


@dataclass(frozen=True, eq=False)
class GatherNDAttributes(IndexedAttributes):
    #: How many leading axes data and indices share.
    batch_dims: int = 0


class GatherND(Indexed):
    op = "GatherND"
    index_dtypes = (np.int64,)
    Attributes = GatherNDAttributes
    monotone = True
    views = True  # of one row of indices

    def shape(self, attributes: GatherNDAttributes, x: Shape, indices: Shape, *updates: Shape) -> Shape:
        batch = attributes.batch_dims
        if not 0 <= batch < min(len(x), len(indices)):
            raise ShapeError(
                "attribute 'batch_dims' from 0 to less than each rank", f"{batch}, {list(x)}, {list(indices)}"
            )
        depth = indices[-1]
        if not isinstance(depth, int) or not 1 <= depth <= len(x) - batch:
            raise ShapeError(f"rows of 1 to {len(x) - batch} indices", str(list(indices)))
        if any(
            a != b for a, b in zip(x[:batch], indices[:batch], strict=True) if isinstance(a, int) and isinstance(b, int)
        ):
            raise ShapeError(f"the same {batch} leading sizes", f"{list(x)} and {list(indices)}")
        return (*indices[:-1], *x[batch + depth :])

    def limits(self, attributes: GatherNDAttributes, x: tuple[int, ...], indices: tuple[int, ...]) -> Any:
        return np.array(x[attributes.batch_dims : attributes.batch_dims + indices[-1]])

    def move(self, attributes: GatherNDAttributes, x: Array, indices: Int64, *updates: Array) -> Array:
        batch = attributes.batch_dims
        rows = np.indices(indices.shape[:-1], sparse=True)[:batch]
        return np.asarray(x[(*rows, *np.moveaxis(indices, -1, 0))])

    def candidates(self, attributes: GatherNDAttributes, index: Index, x: Array, indices: Array) -> list[Array]:
        batch, row = attributes.batch_dims, index[: indices.ndim - 1]
        free = (slice(None),) * indices.shape[-1]
        return [x[(*index[:batch], *free, *index[indices.ndim - 1 :])], indices[row]]
