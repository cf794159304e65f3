"""What the reductions share: which axes they reduce, and to what shape.

The axes are an attribute, and for some operators a constant input from some opset on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from qdqnp.graph import Shape
from qdqnp.ops.geometry.axes import axis_of, int_list
from qdqnp.ops.node_check import NodeCheck


@dataclass(frozen=True)
class ReduceAttributes:
    """The attributes of the reductions."""

    #: The axes that are reduced; None for every axis, or for none with noop_with_empty_axes.
    axes: tuple[int, ...] | None = None
    keepdims: int = 1
    noop_with_empty_axes: int = 0


def axes_input(check: NodeCheck, given: ReduceAttributes, since: int) -> ReduceAttributes:
    """Return the attributes with the axes of input 1, which exists since opset `since`; an empty list means no axes."""
    if check.opset < since or not check.given(1):
        return given
    if given.axes is not None:
        check.refuse("attribute 'axes'", f"an input since opset {since}", given.axes)
    return replace(given, axes=int_list(check, 1, "axes") or None)


def reduced_axes(attributes: ReduceAttributes, rank: int) -> tuple[int, ...]:
    """Return the axes that are reduced, in ascending order."""
    if attributes.axes is None:
        return () if attributes.noop_with_empty_axes else tuple(range(rank))
    return tuple(sorted({axis_of(axis, rank) for axis in attributes.axes}))


def reduced_shape(x: Shape, gone: tuple[int, ...], keepdims: bool) -> Shape:
    if keepdims:
        return tuple(1 if axis in gone else size for axis, size in enumerate(x))
    return tuple(size for axis, size in enumerate(x) if axis not in gone)
