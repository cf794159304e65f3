"""Zero points that are inputs of their own: of MatMulInteger, ConvInteger and what ONNX Runtime makes of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from qdqnp.graph import Shape
from qdqnp.numerics.questions.sums import Index
from qdqnp.ops.geometry.broadcast import may_equal
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import ShapeError
from qdqnp.quant import Array


def check_zero_point(check: NodeCheck, index: int, of: int) -> Shape | None:
    """Return the shape of a zero point that must have the type of input `of`; None where it is absent."""
    if not check.given(index):
        return None
    check.dtype_in(index, (check.value(of).dtype,), "zero point")
    return check.value(index).shape


def check_one(check: NodeCheck, index: int, what: str) -> None:
    """Refuse an input, if it is given, that is not one value, of shape () or (1,)."""
    if check.given(index) and not is_one(check.value(index).shape):
        check.refuse(f"input {index} ({what})", "one value", f"shape {list(check.value(index).shape)}")


def is_one(zero: Shape) -> bool:
    """Tell whether a parameter has one value, of shape () or (1,), as far as its size is known."""
    return zero == () or may_equal(zero, (1,))


def check_single(what: str, zero: Shape | None) -> None:
    """Raise ShapeError where a parameter is not one value; an absent one is."""
    if zero is not None and not is_one(zero):
        raise ShapeError(f"{what} of one value", str(list(zero)))


def as_zero(zero: Array | None) -> Array:
    """Return a zero point as int64; 0 where it is absent."""
    return np.zeros((), np.int64) if zero is None else zero.astype(np.int64)


def numbers_of(*inputs: Any) -> list[int]:
    """Return the numbers that the arrays hold, in one list; an absent one holds none."""
    return [int(number) for array in inputs if array is not None for number in np.asarray(array).reshape(-1)]


def fits(zero: Shape, side: Shape, axis: int) -> bool:
    """Tell whether a parameter of a side of a matrix product is one value, or one for each row or column.

    zero: the parameter's shape: of one value () or (1,); a vector (several columns need a matrix for it, as in ONNX
        Runtime); or that of the side with 1 for the other axis.
    side: the shape of the side.
    axis: -2 for rows, -1 for columns.

    Sizes that are not known yet fit; `check_fit` asks again at the run.
    """
    if is_one(zero):
        return True
    if len(side) < 2:
        return False
    if len(zero) == 1:
        return may_equal(zero, (side[axis],)) and (axis == -2 or len(side) == 2)
    return may_equal(zero, (*side[:-2], side[-2], 1) if axis == -2 else (*side[:-2], 1, side[-1]))


def check_fit(what: str, zero: Shape | None, side: Shape, axis: int) -> None:
    """Raise ShapeError where a parameter does not fit its side, as `fits` says; an absent one fits."""
    if zero is not None and not fits(zero, side, axis):
        slices = "row" if axis == -2 else "column"
        raise ShapeError(f"{what} of one value, or one for each {slices} of {list(side)}", str(list(zero)))


def placed(index: Index, a: Array, b: Array) -> Index:
    """Return the index of a matrix product's element with a row and a column, also where a or b is a vector."""
    row = 0 if a.ndim == 1 else index[-1] if b.ndim == 1 else index[-2]
    column = 0 if b.ndim == 1 else index[-1]
    return (*index[: len(index) - (a.ndim > 1) - (b.ndim > 1)], row, column)


def of_slice(zero: Array | None, place: Index, axis: int) -> Any:
    """Return the parameter of the row (axis -2) or column (-1) of an element of a matrix product.

    place: the element's index, as `placed` gives it.
    """
    if zero is None or zero.size == 1:
        return zero
    if zero.ndim == 1:
        return zero[place[axis]]
    own = place[len(place) - zero.ndim :]
    return zero[tuple(0 if size == 1 else i for i, size in zip(own, zero.shape, strict=True))]
