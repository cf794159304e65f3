"""What the reductions share: which axes they reduce, and to what shape.

The axes are an attribute, and for some operators a constant input from some opset on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qdqnp.errors import Problem, ProfileError
from qdqnp.graph import Shape, concrete
from qdqnp.numerics.questions.sums import Index
from qdqnp.ops.geometry.axes import axis_of, int_list
from qdqnp.ops.node_check import NodeCheck
from qdqnp.quant import Array, Int64


@dataclass(frozen=True)
class ReduceAttributes:
    """The attributes of the reductions."""

    #: None or empty: every axis, or with noop_with_empty_axes none.
    axes: tuple[int, ...] | None = None
    #: 1: the axes stay, with size 1. Every other number counts as 0 in ONNX Runtime, and here.
    keepdims: int = 1
    #: 1: yes, like keepdims.
    noop_with_empty_axes: int = 0


def axes_input(check: NodeCheck, given: ReduceAttributes, since: int) -> ReduceAttributes:
    """Return the attributes with the axes of input 1, which exists since opset `since`; an empty list means no axes."""
    if check.opset < since or not check.given(1):
        return given
    if given.axes is not None:
        check.refuse("attribute 'axes'", f"an input since opset {since}", given.axes)
    return replace(given, axes=int_list(check, 1, "axes"))


def reduced_axes(attributes: ReduceAttributes, rank: int) -> tuple[int, ...]:
    """Return the axes that are reduced, in ascending order."""
    if not attributes.axes:
        return () if attributes.noop_with_empty_axes == 1 else tuple(range(rank))
    return tuple(sorted({axis_of(axis, rank) for axis in attributes.axes}))


def reduced_shape(x: Shape, gone: tuple[int, ...], keepdims: int) -> Shape:
    """Return the shape without the axes that go, or with them as size 1 where keepdims is 1."""
    if keepdims == 1:
        return tuple(1 if axis in gone else size for axis, size in enumerate(x))
    return tuple(size for axis, size in enumerate(x) if axis not in gone)


def runs(x: Shape, gone: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
    """Return neighbouring axes taken together: 'K' for those that stay and 'R' for those that go, and their sizes.

    >>> runs((2, 3, 4, 5), (2, 3))
    ('KR', (6, 20))
    """
    kinds, sizes = "", list[int]()
    for axis, size in enumerate(concrete(x)):
        kind = "R" if axis in gone else "K"
        if kinds.endswith(kind):
            sizes[-1] *= size
        else:
            kinds, sizes = kinds + kind, [*sizes, size]
    return kinds, tuple(sizes)


def reduced_rows(x: Array, gone: tuple[int, ...]) -> Array:
    """Return what each element of a reduction is made of, a row for each: n elements along the axes that go, (R, n)."""
    count = math.prod(x.shape[axis] for axis in gone)
    stay = math.prod(size for axis, size in enumerate(x.shape) if axis not in gone)
    return np.moveaxis(x, gone, range(x.ndim - len(gone), x.ndim)).reshape(stay, count)


def reduced_row(x: Array, gone: tuple[int, ...], shape: Shape, index: Index) -> Array:
    """Return the row of one element of a reduction whose output has that shape, (n,)."""
    found: Array = reduced_rows(x, gone).reshape(*concrete(shape), -1)[index]
    return found


#: Elements that ONNX Runtime compares at once, where there are as many.
LANES = 4


def first_choice(rows: Array, best: np.ufunc, last: bool = False) -> Int64:
    """Return where the largest (np.fmax) or smallest (np.fmin) element of each row of (R, n) is, (R,).

    As a loop finds it that starts with the first element and goes on to whatever is truly better: a NaN at the start
    stays, any other never wins, and of equals (0.0 and -0.0 are) the first wins, or with `last` the last.
    """
    chosen: Any = best.reduce(rows, axis=1, keepdims=True)
    equal = rows == chosen
    at = rows.shape[1] - 1 - np.argmax(equal[:, ::-1], axis=1) if last else np.argmax(equal, axis=1)
    return np.where(rows[:, 0] != rows[:, 0], 0, at)


def check_settled(rows: Array, best: np.ufunc | None) -> None:
    """Check that the choice among a row's elements does not depend on the order in which they are compared.

        best: how it chooses an element, None for an index.

    ONNX Runtime compares several at once, and where it starts to do so depends on the row's place in memory. That
    decides whether a NaN wins, and, where the answer is an element and not its index, the sign of a zero.

    Raises ProfileError where the choice depends on the order.
    """
    if rows.shape[1] < LANES or rows.dtype.kind != "f":
        return
    unsettled, what = np.isnan(rows).any(axis=1), "a NaN"
    if best is not None and not unsettled.any():
        zero, negative = rows == 0, np.signbit(rows)
        mixed = (zero & negative).any(axis=1) & (zero & ~negative).any(axis=1)
        unsettled, what = mixed & (best.reduce(rows, axis=1) == 0), "0.0 and -0.0"
    if unsettled.any():
        problem = Problem(
            f"row {int(np.argmax(unsettled))} of the elements it chooses from",
            "elements whose order does not matter",
            what,
            "ONNX Runtime's answer depends on where they lie in memory.",
        )
        raise ProfileError("what ONNX Runtime chooses is not known", [problem])
