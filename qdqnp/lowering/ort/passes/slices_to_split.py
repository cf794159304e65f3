"""Replaces slices of one tensor that together are the whole of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from qdqnp.graph import Graph, Node, Value
from qdqnp.lowering.base import Log
from qdqnp.lowering.edit import Edit
from qdqnp.lowering.qdq import is_op


@dataclass(frozen=True)
class Cut:
    """Elements start to end of one axis, as one node reads them."""

    node: Node
    axis: int
    start: int
    end: int
    #: Whether the node is a Gather at one number, whose output lacks the axis.
    squeezed: bool = False


def slices_to_split(graph: Graph, log: Log) -> Graph:
    """Replace Slice and Gather nodes that read disjoint parts of one axis, and all of it, by one Split.

    ONNX Runtime 1.32, core/optimizer/gather_fusion.cc (GatherSliceToSplitFusion), from opset 13 on.
    """
    if graph.opset < 13:
        return graph
    edit = Edit(graph)
    for name in _candidates(graph):
        readers = [edit.now(user) for user, index in edit.uses(name) if index == 0 and is_op(user, "Gather", "Slice")]
        parts = [part for node in readers if node is not None and (part := _part(edit, node))]
        if len(parts) > 1 and len(parts) == len(readers) and _covers(edit, name, parts):
            _fuse(edit, name, sorted(parts, key=lambda part: part.start))
    return edit.done()


def _candidates(graph: Graph) -> Iterator[str]:
    """Yield graph inputs, constants, and results of nodes that make nothing else, where they have more than one use."""
    constants = (name for name, value in graph.values.items() if value.const is not None)
    made = (node.outputs[0] for node in graph.nodes if len(node.outputs) == 1 and node.op != "Shape")
    yield from (name for name in (*graph.inputs, *constants, *made) if len(graph.uses(name)) > 1)


def _part(edit: Edit, node: Node) -> Cut | None:
    """Return what a node reads, if it reads consecutive elements of one axis."""
    shape = edit.values[node.inputs[0]].shape
    at = node.attributes.get("axis", 0) if node.op == "Gather" else _number(edit, node.input(3))
    if not isinstance(at, int) or not -len(shape) <= at < len(shape):
        return None
    axis, size = at % len(shape), shape[at]
    start = _number(edit, node.input(1))
    if not isinstance(size, int) or start is None:
        return None
    start += size if start < 0 else 0
    if node.op == "Gather":
        return Cut(node, axis, start, start + 1, edit.values[node.inputs[1]].shape == ())
    end = _number(edit, node.input(2))
    if end is None or (node.input(4) and _number(edit, node.input(4)) != 1):
        return None
    end += size if end < 0 else 0
    return Cut(node, axis, min(max(start, 0), size), min(max(end, 0), size))


def _number(edit: Edit, name: str) -> int | None:
    const = edit.constant(name) if name else None
    fine = const is not None and const.dtype == np.int64 and const.ndim <= 1 and const.size == 1
    return int(const.reshape(-1)[0]) if fine and const is not None else None


def _covers(edit: Edit, name: str, parts: list[Cut]) -> bool:
    axis = parts[0].axis
    reached = 0
    for part in sorted(parts, key=lambda part: part.start):
        if part.axis != axis or part.start != reached or part.end <= part.start:
            return False
        reached = part.end
    return reached == edit.values[name].shape[axis]


def _fuse(edit: Edit, name: str, parts: list[Cut]) -> None:
    axis = parts[0].axis
    sizes = edit.add_constant("splits", np.array([part.end - part.start for part in parts], np.int64))
    made, more = [], []
    for part in parts:
        output = part.node.outputs[0]
        if part.squeezed:
            value = edit.values[output]
            whole = edit.fresh("split_output", Value("", value.dtype, (*value.shape[:axis], 1, *value.shape[axis:])))
            axes = edit.add_constant("squeeze_axes", np.array([axis], np.int64))
            more.append(Node("Squeeze", "", (whole, axes), (output,), {}, "", part.node.origins))
            output = whole
        made.append(output)
    nodes = [part.node for part in parts]
    origins = tuple(label for node in nodes for label in node.origins)
    split = Node("Split", "", (name, sizes), tuple(made), {"axis": axis}, "", origins)
    edit.replace(nodes, (split, *more))
