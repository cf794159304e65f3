"""Pad with a constant; negative sizes cut off. Both are attributes before opset 11, and constant inputs since."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qdqnp.graph import Dim, Shape
from qdqnp.ops.base import ShapeError, Site
from qdqnp.ops.movement.movement import Movement, axis_of, int_list
from qdqnp.quant import Array


@dataclass(frozen=True, eq=False)
class PadAttributes:
    """pads: those before each axis, then those after each. axes: which ones; () means all. filling: one element of
    the input's dtype, None for zero; value: the same before opset 11."""

    mode: str = "constant"
    pads: tuple[int, ...] | None = None
    value: float = 0.0
    _axes: tuple[int, ...] = ()
    _filling: Array | None = None


class Pad(Movement):
    op = "Pad"
    arity = (1, 4)
    Attributes = PadAttributes

    def attributes(self, site: Site) -> Any:
        given: PadAttributes = super().attributes(site)
        if given.mode != "constant":
            site.refuse("attribute 'mode'", "constant", repr(given.mode))
        if site.opset < 11:
            if given.pads is None:
                site.refuse("attribute 'pads'", "sizes", "nothing")
            return given
        if given.pads is not None or given.value:
            site.refuse("attributes 'pads' and 'value'", "inputs since opset 11", dict(site.node.attributes))
        if site.given(3) and site.opset < 18:
            site.refuse("input 3 (axes)", "no such input before opset 18", site.node.inputs[3])
        axes = int_list(site, 3, "axes") if site.given(3) else ()
        return replace(given, pads=int_list(site, 1, "pads"), _axes=axes, _filling=self._filling(site))

    def _filling(self, site: Site) -> Array | None:
        value = site.optional_const(2, "constant_value")
        if value is not None and (value.size != 1 or value.dtype != site.value(0).dtype):
            site.refuse("input 2 (constant_value)", f"one {site.value(0).dtype}", f"{value.size} of {value.dtype}")
        return value

    def shape(self, attributes: PadAttributes, x: Shape) -> Shape:
        return tuple(_padded(size, *pads) for size, pads in zip(x, _pads(attributes, len(x)), strict=True))

    def move(self, attributes: PadAttributes, x: Array) -> Array:
        pads = _pads(attributes, x.ndim)
        kept = x[tuple(slice(max(-low, 0), x.shape[axis] - max(-high, 0)) for axis, (low, high) in enumerate(pads))]
        added = [(max(low, 0), max(high, 0)) for low, high in pads]
        filling = x.dtype.type(attributes.value) if attributes._filling is None else attributes._filling.reshape(())
        return np.pad(kept, added, constant_values=filling)


def _pads(attributes: PadAttributes, rank: int) -> list[tuple[int, int]]:
    """(before, after) of every axis."""
    assert attributes.pads is not None
    axes = [axis_of(axis, rank) for axis in attributes._axes] or list(range(rank))
    if len(attributes.pads) != 2 * len(axes) or len(set(axes)) != len(axes):
        raise ShapeError(f"{2 * len(axes)} pads for different axes", f"{list(attributes.pads)} for axes {axes}")
    found = [(0, 0)] * rank
    for at, axis in enumerate(axes):
        found[axis] = (attributes.pads[at], attributes.pads[at + len(axes)])
    return found


def _padded(size: Dim, before: int, after: int) -> Dim:
    if not isinstance(size, int):
        return size if before == after == 0 else None
    # what is cut off must be there, before anything is added on the other side
    if size + min(before, 0) + min(after, 0) < 0:
        raise ShapeError(f"at most {size} elements cut off", f"pads {before} and {after}")
    return size + before + after
