"""A Where whose condition is negated."""

from __future__ import annotations

from qdqnp.graph import Graph
from qdqnp.lowering.base import Log
from qdqnp.lowering.edit import Edit
from qdqnp.lowering.qdq import is_op


def not_where(graph: Graph, log: Log) -> Graph:
    """Exchange the choices of Wheres behind a Not that only they read, as conditions.

    Matters for the sign of zeros: Where loses -0.0 of one of its choices. ONNX Runtime 1.32,
    core/optimizer/not_where_fusion.cc (NotWhereFusion).
    """
    edit = Edit(graph)
    for node in edit.nodes():
        if not is_op(node, "Not") or edit.makes_output(node):
            continue
        users = edit.users(node)
        if not users or not all(is_op(user, "Where") and index == 0 for user, index in users):
            continue
        for user, _ in users:
            condition, x, y = node.input(0), user.input(1), user.input(2)
            edit.change(user, inputs=(condition, y, x), origin=(*user.origins, *node.origins))
        edit.replace(node)
    return edit.done()
