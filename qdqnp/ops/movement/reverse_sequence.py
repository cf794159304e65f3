"""ReverseSequence turns around the first elements of each sequence, as many as constant lengths say."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qdqnp.graph import Shape
from qdqnp.ops.geometry.axes import int_list
from qdqnp.ops.movement.movement import Movement
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import ShapeError
from qdqnp.quant import Array


@dataclass(frozen=True)
class ReverseSequenceAttributes:
    batch_axis: int = 1
    time_axis: int = 0
    #: How many elements of each sequence of the batch are turned around.
    _lengths: tuple[int, ...] = ()


class ReverseSequence(Movement):
    op = "ReverseSequence"
    arity = (2, 2)
    Attributes = ReverseSequenceAttributes
    views = False

    def attributes(self, check: NodeCheck) -> Any:
        given = super().attributes(check)
        if {given.batch_axis, given.time_axis} != {0, 1}:
            axes = f"{given.batch_axis} and {given.time_axis}"
            check.refuse("attributes 'batch_axis' and 'time_axis'", "0 and 1, or 1 and 0", axes)
        return replace(given, _lengths=int_list(check, 1, "sequence_lens", 2**20))

    def shape(self, attributes: ReverseSequenceAttributes, x: Shape) -> Shape:
        if len(x) < 2:
            raise ShapeError("at least two axes", str(list(x)))
        batch, time = x[attributes.batch_axis], x[attributes.time_axis]
        lengths = attributes._lengths
        if isinstance(batch, int) and batch != len(lengths):
            raise ShapeError(f"{batch} lengths, one for each sequence", str(len(lengths)))
        if isinstance(time, int) and lengths and not 0 <= min(lengths) <= max(lengths) <= time:
            raise ShapeError(f"lengths in [0, {time}]", str(list(lengths[:20])))
        return x

    def move(self, attributes: ReverseSequenceAttributes, x: Array) -> Array:
        out = np.array(x, order="C")
        turned, kept = (np.moveaxis(array, attributes.batch_axis, 0) for array in (out, x))
        for at, length in enumerate(attributes._lengths):  # in what is left, time is the first axis
            turned[at, :length] = kept[at, :length][::-1]
        return out
