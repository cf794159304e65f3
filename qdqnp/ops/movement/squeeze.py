"""Squeeze removes axes of size 1. The axes are an attribute before opset 13 and a constant input since."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from qdqnp.graph import Shape, concrete
from qdqnp.ops.geometry.axes import int_list
from qdqnp.ops.movement.movement import Movement
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import ShapeError
from qdqnp.quant import Array


@dataclass(frozen=True)
class AxesAttributes:
    axes: tuple[int, ...] | None = None
    #: Whether the axes are all of size 1, as none are named.
    _all: bool = False
    #: Whether a run alone knows the axes.
    _late: bool = False


def axes_attributes(check: NodeCheck, attributes: AxesAttributes) -> AxesAttributes:
    """Return the attributes with the axes, from the attribute (opset < 13) or from input 1."""
    if check.opset < 13:
        if check.given(1):
            check.refuse("input 1 (axes)", "no such input before opset 13", check.node.inputs[1])
        return attributes
    if attributes.axes is not None:
        check.refuse("attribute 'axes'", "an input since opset 13", attributes.axes)
    if not check.given(1):
        return attributes
    return replace(attributes, axes=int_list(check, 1, "axes"), _late=1 in check.runtime_sizes)


class Squeeze(Movement):
    op = "Squeeze"
    arranges = True
    arity = (1, 2)
    Attributes = AxesAttributes

    def attributes(self, check: NodeCheck) -> Any:
        given = axes_attributes(check, super().attributes(check))
        if given.axes:  # an empty list means none given, as in ONNX Runtime
            return given
        return replace(
            given, axes=tuple(axis for axis, size in enumerate(check.value(0).shape) if size == 1), _all=True
        )

    def shape(self, attributes: AxesAttributes, x: Shape) -> Shape:
        rank, axes = len(x), attributes.axes or ()
        if attributes._late and len(axes) <= rank:
            return (None,) * (rank - len(axes))
        if attributes._all and any(size == 1 for axis, size in enumerate(x) if axis not in axes):
            # the rank of what follows hangs on it
            unknown = sorted(set(range(rank)) - set(axes))
            raise ShapeError(f"no size of 1 on axes {unknown}, which the file does not say to be 1", str(list(x)))
        if not all(-rank <= axis < rank for axis in axes):
            raise ShapeError(f"axes in [{-rank}, {rank - 1}]", str(list(axes)))
        gone = {axis % rank for axis in axes}
        if any(isinstance(x[axis], int) and x[axis] != 1 for axis in gone):
            raise ShapeError(f"size 1 on axes {sorted(gone)}", str(list(x)))
        return tuple(size for axis, size in enumerate(x) if axis not in gone)

    def move(self, attributes: AxesAttributes, x: Array) -> Array:
        return x.reshape(concrete(self.shape(attributes, x.shape)))
