"""Removes a DequantizeLinear that goes straight into a QuantizeLinear with the same parameters."""

from __future__ import annotations

from qdqnp.graph import Graph, Node
from qdqnp.lowering.base import Log
from qdqnp.lowering.edit import Edit
from qdqnp.lowering.qdq import is_dq, is_q, same_pair


def final_cleanup(graph: Graph, log: Log) -> Graph:
    """Remove DQ -> Q with equal parameters, each read once; readers of Q's codes then read DQ's.

    Where Q makes a graph output, the node that makes DQ's codes makes it instead (an Identity if they are the graph's
    input). ONNX Runtime 1.32, core/optimizer/qdq_transformer/qdq_final_cleanup.cc (QDQFinalCleanupTransformer).
    """
    edit = Edit(graph)
    for dq in edit.nodes():
        q = edit.only_user(dq) if is_dq(dq) else None
        if q is None or not is_q(q) or not same_pair(edit, q, dq):
            continue
        if edit.makes_output(q):
            if not edit.users(q):
                _hand_over_output(edit, dq, q)
        elif len(edit.users(q)) == 1:
            edit.replace((dq, q))
            edit.redirect(q.outputs[0], dq.input(0))
    return edit.done()


def _hand_over_output(edit: Edit, dq: Node, q: Node) -> None:
    codes, output = dq.input(0), q.outputs[0]
    maker = edit.producer(codes)
    if maker is not None and not edit.is_output(codes) and len(edit.uses(codes)) == 1:
        edit.replace((dq, q))
        edit.rename_output(maker, codes, output)
    else:
        edit.replace((dq, q), Node("Identity", "", (codes,), (output,), origin=(*dq.origins, *q.origins)))
