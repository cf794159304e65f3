"""Removes a Relu before a Clip."""

from __future__ import annotations

import numpy as np

from qdqnp.graph import Graph, Node
from qdqnp.lowering.base import Log
from qdqnp.lowering.edit import Edit
from qdqnp.lowering.qdq import clip_bounds, is_op

FLOATS = (np.dtype(np.float32), np.dtype(np.float16))


def relu_clip(graph: Graph, log: Log) -> Graph:
    """Remove a Relu read only by a float Clip with a constant lower bound; a bound below 0 becomes 0.

    ONNX Runtime 1.32, core/optimizer/relu_clip_fusion.cc (FuseReluClip).
    """
    edit = Edit(graph)
    for relu in edit.nodes():
        clip = edit.only_user(relu) if is_op(relu, "Relu") else None
        if clip is None or not is_op(clip, "Clip") or edit.dtype(relu.input(0)) not in FLOATS:
            continue
        bounds = clip_bounds(edit, clip, *FLOATS)
        if bounds is not None:
            edit.replace(relu)
            _set_lower(edit, edit.change(clip, inputs=(relu.input(0), *clip.inputs[1:])), bounds[0])
    return edit.done()


def _set_lower(edit: Edit, clip: Node, bound: np.float32) -> None:
    if bound >= 0:
        return
    if edit.opset < 11:
        edit.change(clip, attributes={**clip.attributes, "min": 0.0})
        return
    zero = edit.add_constant("FuseReluClip_min", np.zeros((), edit.dtype(clip.input(0))))
    edit.change(clip, inputs=(clip.input(0), zero, *clip.inputs[2:]))
