"""Quantizes the constant branch of a Where."""

from __future__ import annotations

import numpy as np

from qdqnp.graph import Graph, Node
from qdqnp.lowering.base import Log
from qdqnp.lowering.edit import Edit
from qdqnp.lowering.qdq import DEQUANTIZE, is_op, is_q, parameters
from qdqnp.quant import EIGHT_BIT, Array, code_range


def where_dummy(graph: Graph, log: Log) -> Graph:
    """Turn the constant float scalar of a Where into a constant DQ, so that the Where can fuse.

    The other branch must be a DQ, and one Q must read the Where. ONNX Runtime 1.32,
    core/optimizer/qdq_transformer/where_dummy_dq.cc (WhereDummyDq).
    """
    edit = Edit(graph)
    for node in edit.nodes():
        if not is_op(node, "Where"):
            continue
        users = edit.uses(node.outputs[0])
        if len(users) == 1 and is_q(users[0][0]):
            for at, other in ((1, 2), (2, 1)):
                _insert(edit, node, at, edit.producer(node.input(other)), users[0][0])
    return edit.done()


def _insert(edit: Edit, node: Node, at: int, dq: Node | None, q: Node) -> None:
    const = edit.constant(node.input(at))
    if dq is None or dq.op != DEQUANTIZE or const is None or const.ndim or const.dtype != np.float32:
        return
    found = parameters(edit, dq)
    if found is None or found[1].dtype not in EIGHT_BIT or edit.dtype(q.outputs[0]) != found[1].dtype:
        return
    names = [
        edit.add_constant(f"{node.name}_dummy_{key}", value)
        for key, value in zip(("xq", "scale", "zp"), dummy(const, found[1].dtype), strict=True)
    ]
    output = edit.fresh(f"{node.name}_dummy_dq", edit.values[node.input(at)])
    edit.insert(Node(DEQUANTIZE, dq.domain, tuple(names), (output,), origin=node.origins), node)
    edit.rewire(node, at, output)


def dummy(value: Array, dtype: np.dtype[np.generic]) -> tuple[Array, Array, Array]:
    """Return code, scale and zero point of a scalar: the code at the end of the range on the value's side."""
    low, high = code_range(dtype)
    zero = 0 if low else 127
    number = np.float32(value)
    code = zero if number == 0 else high if number > 0 else low
    scale = np.float32(1) if number == 0 else np.float32(number / np.float32(code - zero))
    return np.asarray(code).astype(dtype), np.asarray(scale), np.asarray(zero).astype(dtype)
