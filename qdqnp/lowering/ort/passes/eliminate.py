"""Nodes that pass their input on unchanged."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np

from qdqnp.element_types import DTYPES
from qdqnp.graph import Graph, Node
from qdqnp.lowering.base import Log
from qdqnp.lowering.edit import Edit
from qdqnp.lowering.qdq import is_op, is_removable


def eliminate(graph: Graph, log: Log) -> Graph:
    """Take out Identity, Dropout (inference), x+0, x-0, x*1, x/1, a Cast to the same type, a Slice of everything and an
    Expand to no more.

    A node that makes a graph output stays, except an Identity whose source has no other use: the source then
    makes the output. ONNX Runtime 1.32, core/optimizer/
    {identity,dropout,noop,cast,slice,expand}_elimination.cc.
    """
    edit = Edit(graph)
    for node in edit.nodes():
        source = passed_on(edit, node)
        if source is None:
            continue
        if not edit.makes_output(node):
            edit.replace(node)
            edit.redirect(node.outputs[0], source)
        elif is_op(node, "Identity"):
            _hand_over_output(edit, node)
    return edit.done()


def passed_on(edit: Edit, node: Node) -> str | None:
    """The input that the node's only used output equals; None where it does not, or the node has to stay."""
    rule = RULES.get(node.op) if node.domain == "" else None
    index = rule(edit, node) if rule else None
    return node.input(index) if index is not None and is_removable(edit, node, index) else None


def _identity(edit: Edit, node: Node) -> int | None:
    return 0


def _cast(edit: Edit, node: Node) -> int | None:
    """A Cast to the type that its input has."""
    dtype = edit.dtype(node.input(0))
    return 0 if dtype is not None and DTYPES.get(cast(int, node.attributes.get("to"))) == dtype else None


def _dropout(edit: Edit, node: Node) -> int | None:
    mask = node.outputs[1] if len(node.outputs) > 1 else ""
    training = edit.constant(node.input(2)) if node.input(2) else np.False_
    if mask and (edit.uses(mask) or edit.is_output(mask)):
        return None
    return 0 if training is not None and not np.any(training) else None


def _neutral(value: float, either_side: bool) -> Callable[[Edit, Node], int | None]:
    def rule(edit: Edit, node: Node) -> int | None:
        for constant, other in ((1, 0), (0, 1)) if either_side else ((1, 0),):
            const = edit.constant(node.input(constant))
            if const is None or edit.constant(node.input(other)) is not None or const.size != 1:
                continue
            rank = len(edit.values[node.input(other)].shape)
            if const.ndim <= rank and const.reshape(-1)[0] == value:
                return other
        return None

    return rule


def _slice(edit: Edit, node: Node) -> int | None:
    """A Slice of all axes it names, in so many words: from 0 to the largest int64 by 1."""
    given = [edit.constant(name) if name else None for name in node.inputs[1:]]
    starts, ends, axes, steps = (*given, None, None, None, None)[:4]
    if starts is None or ends is None or not starts.size == ends.size > 0 or np.any(starts):
        return None
    if node.input(3) and (axes is None or axes.shape != (starts.size,)):
        return None
    if node.input(3) and node.input(4) and (steps is None or steps.size != starts.size or np.any(steps != 1)):
        return None
    return 0 if np.all(ends == np.iinfo(np.int64).max) else None


def _expand(edit: Edit, node: Node) -> int | None:
    """An Expand to a shape that asks for no more than is there."""
    target, shape = edit.constant(node.input(1)), edit.values[node.input(0)].shape
    if target is None or target.ndim != 1 or not 0 < target.size <= len(shape):
        return None
    sizes = zip(reversed(shape), reversed(target.tolist()), strict=False)
    return 0 if all(wanted <= 1 or wanted == size for size, wanted in sizes) else None


RULES: dict[str, Callable[[Edit, Node], int | None]] = {
    "Identity": _identity,
    "Cast": _cast,
    "Dropout": _dropout,
    "Add": _neutral(0, True),
    "Sub": _neutral(0, False),
    "Mul": _neutral(1, True),
    "Div": _neutral(1, False),
    "Slice": _slice,
    "Expand": _expand,
}


def _hand_over_output(edit: Edit, node: Node) -> None:
    source = node.input(0)
    maker = edit.producer(source)
    if maker is None or edit.is_output(source) or len(edit.uses(source)) != 1 or edit.users(node):
        return
    edit.replace(node)
    edit.rename_output(maker, source, node.outputs[0])
