"""GlobalMaxPool of codes is a ReduceMax over the axes of the image, which compares codes."""

from __future__ import annotations

import numpy as np

from qdqnp.graph import AttributeValue, Graph
from qdqnp.lowering.base import Log
from qdqnp.lowering.edit import Edit
from qdqnp.lowering.qdq import is_dq, is_op


def maxima(graph: Graph, log: Log) -> Graph:
    """Replace GlobalMaxPool of dequantized codes, from opset 12 on, which has a ReduceMax of codes."""
    edit = Edit(graph)
    for node in edit.nodes():
        rank = len(edit.values[node.input(0)].shape) if is_op(node, "GlobalMaxPool") else 0
        if rank < 3 or edit.opset < 12 or not is_dq(edit.producer(node.input(0))):
            continue
        axes = tuple(range(2, rank))
        inputs: tuple[str, ...] = (node.input(0),)
        attributes: dict[str, AttributeValue] = {"keepdims": 1}
        if edit.opset >= 18:
            inputs = (*inputs, edit.add_constant("axes", np.array(axes, np.int64)))
        else:
            attributes["axes"] = axes
        edit.change(node, op="ReduceMax", inputs=inputs, attributes=attributes, origin=node.origins)
    return edit.done()
