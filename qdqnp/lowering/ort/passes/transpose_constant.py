"""Transpose of a constant behind DequantizeLinear."""

from __future__ import annotations

from typing import Any

import numpy as np

from qdqnp.graph import Graph, Node
from qdqnp.lowering.base import Log
from qdqnp.lowering.edit import Edit
from qdqnp.lowering.qdq import is_dq, is_op


def transpose_constant(graph: Graph, log: Log) -> Graph:
    """Constant codes -> DQ -> Transpose, each used once: the codes are transposed instead, so that DQ feeds whoever
    read the Transpose.

    This is all that is done of ONNX Runtime 1.32, core/optimizer/transpose_optimization (TransposeOptimizer); the
    rest of it moves Transposes about, which changes no number.
    """
    edit = Edit(graph)
    for transpose in edit.nodes():
        dq = edit.producer(transpose.input(0)) if is_op(transpose, "Transpose") else None
        if dq is None or not is_dq(dq) or edit.only_user(dq) is not transpose or dq.attributes.get("block_size", 0):
            continue
        codes = edit.constant(dq.input(0))
        if codes is not None and edit.only_user(transpose) is not None:
            _fold(edit, dq, transpose, codes)
    return edit.done()


def _fold(edit: Edit, dq: Node, transpose: Node, codes: np.ndarray[Any, Any]) -> None:
    given: Any = transpose.attributes.get("perm")
    order = given or tuple(reversed(range(codes.ndim)))
    name = edit.add_constant(f"{dq.input(0)}_transposed", codes.transpose(order))
    attributes = dict(dq.attributes)
    axis: Any = attributes.get("axis", 1)
    scale = edit.constant(dq.input(1))
    if scale is not None and scale.size > 1:
        attributes["axis"] = order.index(axis % codes.ndim)
    origin = (*dq.origins, *transpose.origins)
    made = dq.with_(inputs=(name, *dq.inputs[1:]), outputs=transpose.outputs, attributes=attributes, origin=origin)
    edit.replace((dq, transpose), made)
