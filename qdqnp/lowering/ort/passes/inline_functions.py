"""Replaces operators that ONNX defines by others."""

from __future__ import annotations

from qdqnp.graph import Graph, Node
from qdqnp.lowering.base import Log
from qdqnp.lowering.edit import Edit
from qdqnp.lowering.qdq import is_op
from qdqnp.ops.float.hard_sigmoid import HARD_SWISH_GATE as GATE


def inline_functions(graph: Graph, log: Log) -> Graph:
    """Replace HardSwish by Mul and HardSigmoid, so that its input has two uses from then on.

    ONNX Runtime 1.32 does not have a kernel for HardSwish, and inlines it when it looks for one, between levels BASIC
    and EXTENDED (core/framework/graph_partitioner.cc).
    """
    edit = Edit(graph)
    for node in edit.nodes():
        if is_op(node, "HardSwish"):
            x, y = node.inputs[0], node.outputs[0]
            gate = edit.fresh(f"{y}_gate", edit.values[x])
            hard = Node("HardSigmoid", "", (x,), (gate,), {"alpha": GATE.alpha, "beta": GATE.beta}, "", node.origins)
            edit.replace(node, (hard, Node("Mul", "", (x, gate), (y,), {}, node.name, node.origins)))
    return edit.done()
