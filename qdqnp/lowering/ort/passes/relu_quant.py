"""Removes a Relu before a QuantizeLinear."""

from __future__ import annotations

from qdqnp.graph import Graph
from qdqnp.lowering.base import Log
from qdqnp.lowering.edit import Edit
from qdqnp.lowering.qdq import EIGHT_OR_SIXTEEN, is_op, is_q, scalar
from qdqnp.quant import code_range

NAME = "relu-quant"


def relu_quant(graph: Graph, log: Log) -> Graph:
    """Remove a Relu read by one Q if zero is Q's lowest code: quantization saturates there anyway.

    ONNX Runtime 1.32, core/optimizer/qdq_transformer/relu_quantizelinear.cc (ReluQuantFusion).
    """
    edit = Edit(graph)
    for relu in edit.nodes():
        q = edit.only_user(relu) if is_op(relu, "Relu") else None
        if q is None or not is_q(q) or len(q.inputs) != 3:
            continue
        zero = scalar(edit, q.input(2))
        if zero is None:
            log.refuse(relu, NAME, "the zero point after it is not a constant scalar")
        elif zero.dtype not in EIGHT_OR_SIXTEEN or int(zero.reshape(-1)[0]) != code_range(zero.dtype)[0]:
            log.refuse(relu, NAME, "the codes after it go below zero")
        else:
            edit.replace(relu)
            edit.redirect(relu.outputs[0], relu.input(0))
    return edit.done()
