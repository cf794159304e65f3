"""Pad adds elements around a tensor: a constant, its own border, or its own elements mirrored or continued.

Negative sizes cut off, before anything is added. Sizes and constant are attributes before opset 11, and constant inputs
since.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qdqnp.graph import Dim, Shape
from qdqnp.numerics.questions.sums import Index
from qdqnp.ops.geometry.axes import axis_of, int_list
from qdqnp.ops.movement.movement import Movement
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import ShapeError
from qdqnp.program import Step
from qdqnp.quant import Array, Int64

LARGEST = 2**63 - 1
#: Which of `size` elements lies at each place that counts from the first one.
SOURCES: Mapping[str, Callable[[Int64, int], Int64]] = {
    "edge": lambda at, size: np.clip(at, 0, size - 1),
    "reflect": lambda at, size: (size - 1) - np.abs((size - 1) - np.abs(at)),  # at most size - 1 are added
    "wrap": lambda at, size: at % size,
}


@dataclass(frozen=True, eq=False)
class PadAttributes:
    """The attributes of Pad, and its constant inputs."""

    mode: str = "constant"
    #: The sizes before each axis, then those after each.
    pads: tuple[int, ...] | None = None
    #: The constant, before opset 11.
    value: float = 0.0
    #: The axes that are padded; () means all.
    _axes: tuple[int, ...] = ()
    #: The constant since opset 11, one element of the input's dtype; None for zero.
    _filling: Array | None = None


class Pad(Movement):
    op = "Pad"
    arity = (1, 4)
    Attributes = PadAttributes

    def attributes(self, check: NodeCheck) -> Any:
        given: PadAttributes = super().attributes(check)
        if given.mode not in ("constant", *SOURCES):
            check.refuse("attribute 'mode'", " or ".join(("constant", *SOURCES)), repr(given.mode))
        if check.opset < 11:
            if given.pads is None:
                check.refuse("attribute 'pads'", "sizes", "nothing")
            return given
        if given.pads is not None or given.value:
            check.refuse("attributes 'pads' and 'value'", "inputs since opset 11", dict(check.node.attributes))
        if check.given(3) and check.opset < 18:
            check.refuse("input 3 (axes)", "no such input before opset 18", check.node.inputs[3])
        axes = int_list(check, 3, "axes") if check.given(3) else ()
        return replace(given, pads=int_list(check, 1, "pads"), _axes=axes, _filling=self._filling(check))

    def _filling(self, check: NodeCheck) -> Array | None:
        if not check.given(2):
            return None
        if check.known(2) is not None:
            value = check.late_array(2, "constant_value", 0)
        elif check.runtime_sizes:
            what = f"input 2 (constant_value) '{check.value(2).name}'"
            check.refuse(what, "a constant where the sizes are computed", "a tensor that depends on data")
        else:  # computed, and read when the step runs
            shape = [size if isinstance(size, int) else 1 for size in check.value(2).shape]
            value = np.zeros(shape, check.value(2).dtype)
            check.runtime_scales.add(2)
        if value.size != 1 or value.dtype != check.value(0).dtype:
            check.refuse("input 2 (constant_value)", f"one {check.value(0).dtype}", f"{value.size} of {value.dtype}")
        return value

    def shape(self, attributes: PadAttributes, x: Shape) -> Shape:
        pads = _pads(attributes, len(x))
        return tuple(_padded(size, *pair, attributes.mode) for size, pair in zip(x, pads, strict=True))

    def move(self, attributes: PadAttributes, x: Array) -> Array:
        pads = _pads(attributes, x.ndim)
        kept = x[tuple(slice(max(-low, 0), x.shape[axis] - max(-high, 0)) for axis, (low, high) in enumerate(pads))]
        added = [(max(low, 0), max(high, 0)) for low, high in pads]
        if attributes.mode != "constant":
            for axis, (low, high) in enumerate(added):
                if low or high:
                    places = np.arange(-low, kept.shape[axis] + high)
                    kept = np.take(kept, SOURCES[attributes.mode](places, kept.shape[axis]), axis)
            return kept
        filling = x.dtype.type(attributes.value) if attributes._filling is None else attributes._filling.reshape(())
        return np.pad(kept, added, constant_values=filling)

    def origin(self, step: Step, output: int, index: Index, x: Array) -> Any:
        return self.move(replace(step.attributes, value=0.0, _filling=None), x)[index]


def _pads(attributes: PadAttributes, rank: int) -> list[tuple[int, int]]:
    """Return (before, after) of every axis."""
    if rank == 0:
        raise ShapeError("an axis to pad", "a scalar")
    axes = [axis_of(axis, rank) for axis in attributes._axes] or list(range(rank))
    pads = attributes.pads or ()
    if len(pads) != 2 * len(axes) or len(set(axes)) != len(axes):
        raise ShapeError(f"{2 * len(axes)} pads for different axes", f"{list(pads)} for axes {axes}")
    found = [(0, 0)] * rank
    for at, axis in enumerate(axes):
        found[axis] = (pads[at], pads[at + len(axes)])
    return found


def _padded(size: Dim, before: int, after: int, mode: str) -> Dim:
    if not isinstance(size, int):
        return size if before == after == 0 else None
    # what is cut off must be there, before anything is added on the other side
    kept = size + min(before, 0) + min(after, 0)
    if kept < 0:
        raise ShapeError(f"at most {size} elements cut off", f"pads {before} and {after}")
    most = {"constant": LARGEST, "reflect": kept - 1}.get(mode, LARGEST if kept else 0)
    if max(before, after) > max(most, 0):
        raise ShapeError(f"at most {max(most, 0)} elements to add in mode {mode}", f"pads {before} and {after}")
    return size + before + after
