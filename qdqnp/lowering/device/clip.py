"""A clamp of codes where no integer operator stands that could take it in."""

from __future__ import annotations

import numpy as np

from qdqnp.graph import ONNX, Node
from qdqnp.lowering.edit import Edit

#: The operator that keeps codes between two: ONNX's own, which computes no number.
CODE_CLIP = "Clip"


def code_clip(edit: Edit, x: str, y: str, limits: tuple[int, int], origin: tuple[str, ...]) -> Node:
    """Return a Clip of codes."""
    if edit.opset < 11:
        attributes = {"min": float(limits[0]), "max": float(limits[1])}
        return Node(CODE_CLIP, ONNX, (x,), (y,), attributes, "", origin)
    dtype = edit.values[y].dtype
    bounds = (edit.add_constant(f"{y}_limit", np.asarray(limit, dtype)) for limit in limits)
    return Node(CODE_CLIP, ONNX, (x, *bounds), (y,), {}, "", origin)
