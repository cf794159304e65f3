"""Equal computations become one."""

from __future__ import annotations

from typing import Any

import numpy as np

from qdqnp.graph import Graph, Node
from qdqnp.lowering.base import Log
from qdqnp.lowering.edit import Edit
from qdqnp.lowering.qdq import is_dq


def cse(graph: Graph, log: Log) -> Graph:
    """Nodes with the same operator, attributes and inputs: later ones go, but never one that makes a graph output.

    Two DQ never count as equal, and so nothing that reads two DQ does. Constants are equal by name alone, so two Q
    with their own equal zero points stay two. ONNX Runtime 1.32, core/optimizer/common_subexpression_elimination.cc.
    """
    edit = Edit(graph)
    classes: dict[str, Any] = {}  # what a tensor is: equal keys, equal values
    first: dict[Any, str] = {}
    for node in visiting_order(graph):
        inputs = tuple(classes.get(name, name) for name in node.inputs)
        key = node if is_dq(node) else (node.domain, node.op, _attributes(node), inputs, node.limits)
        for index, name in enumerate(node.outputs):
            if name:
                first.setdefault((key, index), name)
                classes[name] = first[key, index]
    for node in edit.nodes():
        _merge(edit, node, classes)
    return edit.done()


def visiting_order(graph: Graph) -> list[Node]:
    """Nodes in the order that decides which of several equal ones stays: depth first from the last unread node.

    ONNX Runtime 1.32, core/graph/graph.cc (ReverseDFSFrom) as core/graph/graph_viewer.cc calls it.
    """
    place = {node: at for at, node in enumerate(graph.nodes)}
    unread = [node for node in graph.nodes if not any(graph.uses(name) for name in node.outputs)]
    stack = [(node, False) for node in unread]
    seen: set[Node] = set()
    order: list[Node] = []
    while stack:
        node, complete = stack.pop()
        if complete:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            makers = {maker for name in node.inputs if (maker := graph.producer(name)) and maker not in seen}
            stack.extend((maker, False) for maker in sorted(makers, key=place.__getitem__))
    return order


def _merge(edit: Edit, node: Node, classes: dict[str, Any]) -> None:
    for name in node.outputs:
        if name and classes[name] != name and not edit.is_output(name):
            edit.redirect(name, classes[name])
    merged = any(name and classes[name] != name for name in node.outputs)
    if merged and not edit.users(node) and not edit.makes_output(node):
        edit.replace(node)


def _attributes(node: Node) -> Any:
    return tuple(sorted((key, _plain(value)) for key, value in node.attributes.items()))


def _plain(value: Any) -> Any:
    return id(value) if isinstance(value, np.ndarray) else value
