"""Axes as attributes and constant inputs name them."""

from __future__ import annotations

from typing import Any

import numpy as np

from qdqnp.numerics.questions.sums import Index
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import ShapeError
from qdqnp.quant import Array


def int_list(check: NodeCheck, index: int, what: str, most: int = 64) -> tuple[int, ...]:
    """Return a constant int64 input of rank 0 or 1 as a tuple.

    most: how many numbers make sense; axes are few.
    """
    values = check.const(index, what)
    if values.dtype.kind != "i" or values.ndim > 1:
        check.refuse(f"input {index} ({what})", "int64 of rank 1", f"{values.dtype} of shape {list(values.shape)}")
    if values.size > most:
        check.refuse(f"input {index} ({what})", f"at most {most} numbers", values.size)
    return tuple(int(value) for value in values.reshape(-1))


def axis_of(axis: int, rank: int) -> int:
    """Count the axis from the front. Raises ShapeError where such an axis does not exist."""
    if not -rank <= axis < rank:
        raise ShapeError(f"an axis in [{-rank}, {rank - 1}]", str(axis))
    return axis % rank


def row_along(x: Array, axis: int, index: Index) -> Array:
    """Return what lies along an axis at an index, whose entry for that axis does not matter."""
    place: tuple[Any, ...] = (*index[:axis], slice(None), *index[axis + 1 :])
    return np.asarray(x[place])
