"""Four Slices of every second row and column, put together again."""

from __future__ import annotations

from typing import Any

import numpy as np

from qdqnp.graph import Graph, Node, Value
from qdqnp.lowering.base import Log
from qdqnp.lowering.edit import Edit
from qdqnp.lowering.qdq import is_op

PHASES = ((0, 0), (0, 1), (1, 0), (1, 1))
LARGEST = 2**63 - 1


def space_to_depth(graph: Graph, log: Log) -> Graph:
    """A Concat of the four phases of one float tensor becomes SpaceToDepth, with a Gather behind it where the phases
    stand in another order.

    Changes no number by itself, but Transposes do not pass SpaceToDepth. ONNX Runtime 1.32,
    core/optimizer/slice_concat_to_space_to_depth_fusion.cc (SliceConcatToSpaceToDepthFusion).
    """
    edit = Edit(graph)
    for concat in edit.nodes():
        if is_op(concat, "Concat") and len(concat.inputs) == 4 and concat.attributes.get("axis") in (1, -3):
            _fuse(edit, concat)
    return edit.done()


def _fuse(edit: Edit, concat: Node) -> None:
    slices = [edit.producer(name) for name in concat.inputs]
    found = [node for node in slices if is_op(node, "Slice") and node is not None and edit.only_user(node) is concat]
    if len(found) != 4 or len({node.inputs[0] for node in found}) != 1:
        return
    value = edit.values[found[0].inputs[0]]
    phases = [_phase(edit, node, value) for node in found]
    if len(value.shape) != 4 or value.dtype != np.float32 or set(phases) != set(PHASES):
        return
    origin = tuple(label for node in (concat, *found) for label in node.origins)
    output, more = concat.outputs[0], []
    if tuple(phases) != PHASES:
        channels = value.shape[1]
        if not isinstance(channels, int):
            return
        order = [PHASES.index(phase) for phase in phases if phase is not None]
        at = np.concatenate([np.arange(channels) + block * channels for block in order])
        output = edit.fresh("space_to_depth_out", edit.values[concat.outputs[0]])
        indices = edit.add_constant("space_to_depth_gather_indices", at.astype(np.int64))
        more = [Node("Gather", "", (output, indices), concat.outputs, {"axis": 1}, "", origin)]
    made = Node("SpaceToDepth", "", (value.name,), (output,), {"blocksize": 2}, "", origin)
    edit.replace((concat, *found), (made, *more))


def _phase(edit: Edit, node: Node, value: Value) -> tuple[int, int] | None:
    """Where a Slice of every second row and column of the whole starts."""
    given: list[Any] = [edit.constant(name) if name else None for name in node.inputs[1:]]
    starts, ends, axes, steps = (*given, None, None)[:4]
    if starts is None or ends is None or (node.input(3) and axes is None) or steps is None:
        return None
    numbers = range(starts.size) if axes is None else [int(axis) % 4 for axis in axes]
    cuts = dict(zip(numbers, zip(starts.tolist(), ends.tolist(), steps.tolist(), strict=True), strict=True))
    for axis in range(4):
        start, end, step = cuts.setdefault(axis, (0, LARGEST, 1))
        size = value.shape[axis]
        whole = end == LARGEST or (isinstance(size, int) and end >= size)
        if not whole or step != (1, 1, 2, 2)[axis] or start not in ((0,), (0,), (0, 1), (0, 1))[axis]:
            return None
    return int(cuts[2][0]), int(cuts[3][0])
