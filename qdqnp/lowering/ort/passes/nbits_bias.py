"""A vector that is added to the result of MatMulNBits."""

from __future__ import annotations

from qdqnp.graph import MICROSOFT, Graph, Node
from qdqnp.lowering.base import Log
from qdqnp.lowering.edit import Edit
from qdqnp.lowering.qdq import is_op


def nbits_bias(graph: Graph, log: Log) -> Graph:
    """An added vector with one value for each column becomes MatMulNBits' bias, which is added before the zero points.

    ONNX Runtime 1.32, core/optimizer/matmul_nbits_fusion.cc (MatMulNBitsFusion).
    """
    edit = Edit(graph)
    for node in edit.nodes():
        if node.op == "MatMulNBits" and node.domain == MICROSOFT and not node.input(5):
            _take_bias(edit, node)
    return edit.done()


def _take_bias(edit: Edit, node: Node) -> None:
    add = edit.only_user(node)
    if add is None or not is_op(add, "Add"):
        return
    bias = add.input(1) if add.input(0) == node.outputs[0] else add.input(0)
    if edit.values[bias].shape == (node.attributes["N"],):
        inputs = (*(node.input(at) for at in range(5)), bias)
        origin = (*node.origins, *add.origins)
        edit.replace((node, add), node.with_(inputs=inputs, outputs=add.outputs, origin=origin))
