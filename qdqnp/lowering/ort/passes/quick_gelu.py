"""x * Sigmoid(x)."""

from __future__ import annotations

from qdqnp.graph import Graph, Node
from qdqnp.lowering.base import Log
from qdqnp.lowering.edit import Edit
from qdqnp.lowering.qdq import is_op

DOUBT = "ONNX Runtime computes x * Sigmoid(c x) by its operator QuickGelu, whose last bits are not specified"


def quick_gelu(graph: Graph, log: Log) -> Graph:
    """x * Sigmoid(x), and x * Sigmoid(c x) with a constant scalar c, lose their promise.

    ONNX Runtime 1.32, core/optimizer/quick_gelu_fusion.cc (QuickGeluFusion), and SwiGluFusion behind it.
    """
    edit = Edit(graph)
    for sigmoid in edit.nodes():
        product = edit.only_user(sigmoid) if is_op(sigmoid, "Sigmoid") else None
        if product is None or not is_op(product, "Mul") or product.doubt:
            continue
        other = product.inputs[1 - product.inputs.index(sigmoid.outputs[0])]
        if other in (sigmoid.input(0), _unscaled(edit, sigmoid)):
            edit.change(product, doubt=DOUBT)
    return edit.done()


def _unscaled(edit: Edit, sigmoid: Node) -> str | None:
    """The x of Sigmoid(c x)."""
    scaled = edit.producer(sigmoid.input(0))
    if scaled is None or not is_op(scaled, "Mul") or edit.only_user(scaled) is not sigmoid:
        return None
    for index, name in enumerate(scaled.inputs):
        const = edit.constant(name)
        if const is not None and const.size == 1 and const.ndim <= 1:
            return scaled.inputs[1 - index]
    return None
