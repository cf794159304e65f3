"""Gives each use a DequantizeLinear of its own."""

from __future__ import annotations

from qdqnp.graph import Graph
from qdqnp.lowering.base import Log
from qdqnp.lowering.edit import Edit
from qdqnp.lowering.qdq import is_dq


def unique_dq(graph: Graph, log: Log) -> Graph:
    """Copy each DQ so that every use has its own; where DQ makes a graph output, the original stays with the output.

    The pass does not change numbers, but the other passes count uses. ONNX Runtime 1.32,
    core/optimizer/qdq_transformer/ensure_unique_dq_for_node_unit.cc (EnsureUniqueDQForNodeUnit).
    """
    edit = Edit(graph)
    for dq in edit.nodes():
        if not is_dq(dq):
            continue
        name = dq.outputs[0]
        for user, index in edit.uses(name)[0 if edit.is_output(name) else 1 :]:
            copy = edit.fresh(f"{name}/duplicated", graph.values[name])
            edit.insert(dq.with_(outputs=(copy,), origin=dq.origins), dq)
            edit.rewire(edit.now(user) or user, index, copy)
    return edit.done()
