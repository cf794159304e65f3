"""Slice takes every step-th element from start to end, on some axes: attributes before opset 10, and inputs since."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qdqnp.graph import Dim, Shape
from qdqnp.ops.geometry.axes import all_known, axis_of, dim_list
from qdqnp.ops.movement.movement import Movement
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import ShapeError
from qdqnp.quant import Array

# The largest numbers of int32 and int64 mean "to the end"; in ONNX Runtime they do so backwards too.
TO_THE_END = (2**31 - 1, 2**63 - 1)
#: The opset since which starts, ends, axes and steps are inputs.
INPUTS = 10


@dataclass(frozen=True)
class SliceAttributes:
    """What Slice cuts, one entry for each axis that is cut; None or the name of a size where a run knows it."""

    #: The attributes before opset 10.
    starts: tuple[int, ...] = ()
    ends: tuple[int, ...] = ()
    axes: tuple[int, ...] = ()
    #: What is cut, from the attributes or the inputs.
    _starts: tuple[Dim, ...] = ()
    _ends: tuple[Dim, ...] = ()
    #: The axes that are cut; () means the first ones.
    _axes: tuple[Dim, ...] = ()
    #: The step on each axis; () means 1 on all.
    _steps: tuple[Dim, ...] = ()


class Slice(Movement):
    op = "Slice"
    arranges = True
    takes_unknown = True
    arity = (1, 5)
    Attributes = SliceAttributes

    def attributes(self, check: NodeCheck) -> Any:
        given: SliceAttributes = super().attributes(check)
        if check.opset < INPUTS and len(check.inputs) > 1:
            check.refuse("inputs", f"1 before opset {INPUTS}", len(check.inputs))
        old = check.opset < INPUTS
        starts, ends, axes, steps = (given.starts, given.ends, given.axes, ()) if old else _from_inputs(check)
        if len(ends) != len(starts) or {len(axes), len(steps)} - {0, len(starts)}:
            check.refuse(
                "starts, ends, axes and steps",
                "as many numbers each",
                f"{len(starts)}, {len(ends)}, {len(axes)} and {len(steps)}",
            )
        if 0 in steps:
            check.refuse("input 4 (steps)", "no step of 0", list(steps))
        return replace(given, _starts=starts, _ends=ends, _axes=axes, _steps=steps)

    def shape(self, attributes: SliceAttributes, x: Shape) -> Shape:
        if not x:
            raise ShapeError("an axis to cut", "a scalar")
        if not all_known(attributes._axes):
            return (None,) * len(x)
        result = list(x)
        for axis, start, end, step in _cuts(attributes, len(x)):
            result[axis] = _count(x[axis], start, end, step)
        return tuple(result)

    def move(self, attributes: SliceAttributes, x: Array) -> Array:
        cuts = [slice(None)] * x.ndim
        for axis, start, end, step in _cuts(attributes, x.ndim):
            assert isinstance(start, int) and isinstance(end, int) and isinstance(step, int)
            first, last = _bounds(x.shape[axis], start, end, step)
            # no index stands before element 0: -1 would mean the last element
            cuts[axis] = slice(first, None if last < 0 else last, step)
        return np.asarray(x[tuple(cuts)], order="C")


def _from_inputs(check: NodeCheck) -> tuple[tuple[Dim, ...], ...]:
    """Return starts, ends, axes and steps; () for those that are not given."""
    starts, ends = dim_list(check, 1, "starts"), dim_list(check, 2, "ends")
    axes, steps = (dim_list(check, at, what) if check.given(at) else () for at, what in ((3, "axes"), (4, "steps")))
    return starts, ends, axes, steps


def _cuts(attributes: SliceAttributes, rank: int) -> list[tuple[int, Dim, Dim, Dim]]:
    """Return (axis, start, end, step) for each axis that is cut."""
    count = len(attributes._starts)
    axes = [axis_of(axis, rank) for axis in attributes._axes or range(count) if isinstance(axis, int)]
    if len(set(axes)) != count:
        raise ShapeError("each axis once", str(list(attributes._axes)))
    return list(zip(axes, attributes._starts, attributes._ends, attributes._steps or (1,) * count, strict=True))


def _bounds(size: int, start: int, end: int, step: int) -> tuple[int, int]:
    """Return the first index and the one before which to stop, clamped as ONNX clamps them.

    Forwards both are clamped to [0, size], backwards to [0, size - 1] and [-1, size - 1].
    """
    if end in TO_THE_END:
        end = size if step > 0 else -size - 1
    start, end = (value + size if value < 0 else value for value in (start, end))
    if step > 0:
        return min(max(start, 0), size), min(max(end, 0), size)
    return min(max(start, 0), size - 1), min(max(end, -1), size - 1)


def _count(size: Dim, start: Dim, end: Dim, step: Dim) -> Dim:
    if not (isinstance(size, int) and isinstance(start, int) and isinstance(end, int) and isinstance(step, int)):
        whole = step == 1 and start == 0 and (end in TO_THE_END or (isinstance(end, str) and end == size))
        return size if whole else None
    first, last = _bounds(size, start, end, step)
    return max(0, -(-(last - first) // step))
