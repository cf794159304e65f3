"""Clip before QuantizeLinear."""

from __future__ import annotations

import numpy as np

from qdqnp.graph import Graph, Node
from qdqnp.lowering.base import Log
from qdqnp.lowering.edit import Edit
from qdqnp.lowering.qdq import EIGHT_OR_SIXTEEN, clip_bounds, is_op, is_q, is_removable
from qdqnp.quant import code_range

NAME = "clip-quant"
EPSILON = np.finfo(np.float32).eps


def clip_quant(graph: Graph, log: Log) -> Graph:
    """A Clip read by one Q goes if its constant bounds hold all that Q's codes can say, within float32's epsilon.

    ONNX Runtime 1.32, core/optimizer/qdq_transformer/clip_quantizelinear.cc (ClipQuantFusion).
    """
    edit = Edit(graph)
    for clip in edit.nodes():
        q = edit.only_user(clip) if is_op(clip, "Clip") else None
        if q is None or not is_q(q):
            continue
        reason = _why_not(edit, clip, q)
        if reason:
            log.refuse(clip, NAME, reason)
        else:
            edit.replace(clip)
            edit.redirect(clip.outputs[0], clip.input(0))
    return edit.done()


def _why_not(edit: Edit, clip: Node, q: Node) -> str | None:
    if not is_removable(edit, clip):
        return "it reads the graph's input"
    bounds = clip_bounds(edit, clip)
    if bounds is None:
        return "its bounds are not constant"
    scale, zero = edit.constant(q.input(1)), edit.constant(q.input(2))
    if scale is None or zero is None or scale.ndim or zero.ndim or zero.dtype not in EIGHT_OR_SIXTEEN:
        return "the quantization after it is not 8- or 16-bit with constant scalar parameters"
    low, high = code_range(zero.dtype)
    lower = np.float32(scale) * np.float32(low - int(zero))
    upper = np.float32(scale) * np.float32(high - int(zero))
    if bounds[0] - lower > EPSILON or upper - bounds[1] > EPSILON:
        return "the codes after it go beyond its bounds"
    return None
