"""Axes and sizes as attributes and inputs name them."""

from __future__ import annotations

from typing import Any

import numpy as np

from qdqnp.graph import Dim
from qdqnp.numerics.questions.sums import Index
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import ShapeError
from qdqnp.quant import Array


def dim_list(check: NodeCheck, index: int, what: str, most: int = 64) -> tuple[Dim, ...]:
    """Return an integer input of rank 0 or 1 as a tuple; what a run alone knows is None, or the name of a size.

    most: how many numbers make sense; axes are few.
    """
    values, whole = check.late(index, what), check.whole(index)
    dtype = check.value(index).dtype if whole is None else whole.dtype
    if dtype.kind != "i" or values.ndim > 1:
        check.refuse(f"input {index} ({what})", "int64 of rank 1", f"{dtype} of shape {list(values.shape)}")
    if values.size > most:
        check.refuse(f"input {index} ({what})", f"at most {most} numbers", values.size)
    return tuple(value if value is None or isinstance(value, str) else int(value) for value in values.reshape(-1))


def int_list(check: NodeCheck, index: int, what: str, most: int = 64) -> tuple[int, ...]:
    """Return an integer input of rank 0 or 1 as a tuple.

    Where a run alone knows it, something stands in its place: of axes the first ones, of others zeros or ones. Sizes
    that follow from it are then taken back (`qdqnp/ops/examine.py`).
    """
    found = dim_list(check, index, what, most)
    if index not in check.runtime_sizes:
        return tuple(value for value in found if isinstance(value, int))
    if "ax" in what:
        return tuple(range(len(found)))
    return (0 if what in ("pads", "starts", "k") else 1,) * len(found)


def all_known(*lists: tuple[Dim, ...]) -> bool:
    """Tell whether every number is known."""
    return all(isinstance(value, int) for values in lists for value in values)


def axis_of(axis: int, rank: int) -> int:
    """Count the axis from the front. Raises ShapeError where such an axis does not exist."""
    if not -rank <= axis < rank:
        raise ShapeError(f"an axis in [{-rank}, {rank - 1}]", str(axis))
    return axis % rank


def row_along(x: Array, axis: int, index: Index) -> Array:
    """Return what lies along an axis at an index, whose entry for that axis does not matter."""
    place: tuple[Any, ...] = (*index[:axis], slice(None), *index[axis + 1 :])
    return np.asarray(x[place])
