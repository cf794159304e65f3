"""ReduceMean of codes is a GlobalAveragePool, which devices have, between steps that only move codes."""

from __future__ import annotations

import math

import numpy as np

from qdqnp.graph import ONNX, AttributeValue, Graph, Node, Shape
from qdqnp.lowering.base import Log
from qdqnp.lowering.edit import Edit
from qdqnp.lowering.qdq import is_dq, is_op
from qdqnp.ops.geometry.reduce import reduced_shape

NAME = "means"


def means(graph: Graph, log: Log) -> Graph:
    """Replace ReduceMean of dequantized codes: Transpose, Reshape to (means, 1, elements), GlobalAveragePool, Reshape.

    What is not needed is left out: over all axes but the first two of an image it is the GlobalAveragePool alone.
    """
    edit = Edit(graph)
    for node in edit.nodes():
        if not is_op(node, "ReduceMean") or not is_dq(edit.producer(node.input(0))):
            continue
        shape = edit.values[node.input(0)].shape
        gone = _axes(edit, node, len(shape))
        reason = _why_not(shape, gone)
        if reason or gone is None:
            log.refuse(node, NAME, reason or "its axes are computed")
            continue
        log.settle(node, NAME)
        edit.replace(node, _Mean(edit, node, gone).nodes())
    return edit.done()


def _axes(edit: Edit, node: Node, rank: int) -> tuple[int, ...] | None:
    """Return the axes as numbers from 0 on, in order; None where they are computed."""
    given = node.attributes.get("axes", ())
    if node.input(1):
        const = edit.constant(node.input(1))
        if const is None:
            return None
        given = tuple(const.reshape(-1).tolist())
    assert isinstance(given, tuple)
    if not given:
        return () if node.attributes.get("noop_with_empty_axes", 0) == 1 else tuple(range(rank))
    return tuple(sorted({int(axis) % rank for axis in given}))


def _why_not(shape: Shape, gone: tuple[int, ...] | None) -> str | None:
    if gone is None:
        return "its axes are computed"
    if not gone or not shape:
        return "it averages nothing"
    if not all(isinstance(shape[axis], int) and shape[axis] != 0 for axis in gone):
        return "the sizes that it averages over are not fixed"
    if sum(not isinstance(size, int) for axis, size in enumerate(shape) if axis not in gone) > 1:
        return "more than one size of its result is not fixed"
    return None


class _Mean:
    """The nodes that one ReduceMean becomes."""

    def __init__(self, edit: Edit, node: Node, gone: tuple[int, ...]) -> None:
        self.edit, self.node, self.gone = edit, node, gone
        self.shape = edit.values[node.input(0)].shape
        self.made: list[Node] = []

    def nodes(self) -> tuple[Node, ...]:
        keep = self.node.attributes.get("keepdims", 1) == 1
        result = reduced_shape(self.shape, self.gone, int(keep))
        rank = len(self.shape)
        name = self.node.input(0)
        image = rank in (3, 4, 5) and self.gone == tuple(range(2, rank))
        pooled: Shape = (*self.shape[:2], *(1 for _ in self.gone))
        if not image:
            stay = tuple(axis for axis in range(rank) if axis not in self.gone)
            perm = (*stay, *self.gone)
            if perm != tuple(range(rank)):
                name = self._add("Transpose", name, tuple(self.shape[axis] for axis in perm), {"perm": perm})
            sizes = [self.shape[axis] for axis in stay]
            known = math.prod(size for size in sizes if isinstance(size, int))
            rows = known if all(isinstance(size, int) for size in sizes) else None
            count = math.prod(size for axis in self.gone if isinstance(size := self.shape[axis], int))
            name = self._reshape(name, (rows, 1, count))
            pooled = (rows, 1, 1)
        name = self._add("GlobalAveragePool", name, pooled, {}, self.node.name)
        if pooled != result or not image:
            name = self._reshape(name, result)
        last = self.made[-1]
        self.made[-1] = last.with_(outputs=self.node.outputs)
        return tuple(self.made)

    def _add(
        self, op: str, x: str, shape: Shape, attributes: dict[str, AttributeValue], label: str = "", *more: str
    ) -> str:
        name = self.edit.fresh(f"{self.node.outputs[0]}_{op}", self.edit.values[self.node.outputs[0]])
        self.edit.set_shape(name, shape)
        self.made.append(Node(op, ONNX, (x, *more), (name,), attributes, label, self.node.origins))
        return name

    def _reshape(self, x: str, shape: Shape) -> str:
        sizes = np.array([size if isinstance(size, int) else -1 for size in shape], np.int64)
        return self._add("Reshape", x, shape, {}, "", self.edit.add_constant("shape", sizes))
