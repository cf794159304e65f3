"""float16 where an operator computes float32: a Cast in front of the node, and one behind it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np

from qdqnp.errors import Problems
from qdqnp.graph import ONNX, Graph, Names, Node, Value
from qdqnp.lowering.qdq import is_dq
from qdqnp.ops.examine import HALF, float32_for_half
from qdqnp.ops.node_check import FLOAT32, NodeCheck
from qdqnp.ops.registry import operator_for

#: The numbers of the types in a Cast, and in the attribute `dtype`.
TO_FLOAT32, TO_HALF = 1, 10


def reads_half(graph: Graph, node: Node) -> bool:
    """Tell whether a node reads a float16 tensor."""
    return any(name and graph.values[name].dtype == HALF for name in node.inputs)


def cast_around(graph: Graph, chosen: Collection[Node], stem: str) -> Graph:
    """Return the graph with those nodes on float32: their float16 inputs are cast before, their outputs behind.

    stem: how the names of the Casts and of what they make begin. Scales of a DequantizeLinear that are constants stay
    constants.
    """
    if not chosen:
        return graph
    names, values, wide = Names(graph), dict(graph.values), dict[str, str]()
    nodes: list[Node] = []

    def tensor(of: str) -> str:
        name = names.fresh(f"{stem}{of}")
        values[name] = Value(name, FLOAT32, values[of].shape)
        return name

    for node in graph.nodes:
        if node not in chosen:
            nodes.append(node)
            continue
        inputs, behind, outputs = list(node.inputs), list[Node](), list(node.outputs)
        for at, name in enumerate(inputs):
            if not name or values[name].dtype != HALF:
                continue
            const = values[name].const
            if name not in wide:
                wide[name] = tensor(name)
                if const is not None and is_dq(node):
                    values[wide[name]] = Value(wide[name], FLOAT32, const.shape, const.astype(np.float32))
                else:
                    nodes.append(_cast(name, wide[name], TO_FLOAT32, wide[name], node))
            inputs[at] = wide[name]
        for at, name in enumerate(outputs):
            if name and values[name].dtype == HALF:
                outputs[at] = tensor(name)
                behind.append(_cast(outputs[at], name, TO_HALF, outputs[at], node))
        changed = {"dtype": TO_FLOAT32} if node.attributes.get("dtype") == TO_HALF else {}
        attributes = {**node.attributes, **changed}
        nodes += [node.with_(inputs=tuple(inputs), outputs=tuple(outputs), attributes=attributes), *behind]
    return replace(graph, nodes=tuple(nodes), values=values)


def _cast(source: str, target: str, to: int, name: str, near: Node) -> Node:
    return Node("Cast", ONNX, (source,), (target,), {"to": to}, name, near.origins)


def in_float32(graph: Graph) -> Graph:
    """Return the graph with Casts around every node whose operator takes float32 in the place of float16 alone."""
    wide = {node for node in graph.nodes if reads_half(graph, node) and _is_wide(graph, node)}
    return cast_around(graph, wide, "float32 ")


def _is_wide(graph: Graph, node: Node) -> bool:
    operator = operator_for(node)
    values = tuple(graph.values[name] if name else None for name in node.inputs)
    check = NodeCheck(node, graph.opset, values, Problems())
    return operator is not None and float32_for_half(operator, check) is not None
