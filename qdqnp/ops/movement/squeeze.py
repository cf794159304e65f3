"""Squeeze: axes of size 1 removed. The axes are an attribute before opset 13 and a constant input since."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from qdqnp.graph import Shape, concrete
from qdqnp.ops.base import ShapeError, Site
from qdqnp.ops.movement.movement import Movement, int_list
from qdqnp.quant import Array


@dataclass(frozen=True)
class AxesAttributes:
    axes: tuple[int, ...] | None = None


def axes_attributes(site: Site, attributes: AxesAttributes) -> AxesAttributes:
    """The axes, from the attribute (opset < 13) or from input 1."""
    if site.opset < 13:
        if site.given(1):
            site.refuse("input 1 (axes)", "no such input before opset 13", site.node.inputs[1])
        return attributes
    if attributes.axes is not None:
        site.refuse("attribute 'axes'", "an input since opset 13", attributes.axes)
    return replace(attributes, axes=int_list(site, 1, "axes")) if site.given(1) else attributes


class Squeeze(Movement):
    op = "Squeeze"
    arity = (1, 2)
    Attributes = AxesAttributes

    def attributes(self, site: Site) -> Any:
        return axes_attributes(site, super().attributes(site))

    def shape(self, attributes: AxesAttributes, x: Shape) -> Shape:
        rank = len(x)
        if attributes.axes is None:
            if any(not isinstance(size, int) for size in x):
                raise ShapeError("attribute or input 'axes', as a size is unknown", str(list(x)))
            return tuple(size for size in x if size != 1)
        if not all(-rank <= axis < rank for axis in attributes.axes):
            raise ShapeError(f"axes in [{-rank}, {rank - 1}]", str(list(attributes.axes)))
        gone = {axis % rank for axis in attributes.axes}
        if any(isinstance(x[axis], int) and x[axis] != 1 for axis in gone):
            raise ShapeError(f"size 1 on axes {sorted(gone)}", str(list(x)))
        return tuple(size for axis, size in enumerate(x) if axis not in gone)

    def move(self, attributes: AxesAttributes, x: Array) -> Array:
        return x.reshape(concrete(self.shape(attributes, x.shape)))
