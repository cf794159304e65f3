"""Weights of 4 and 2 bits as int8: a kernel of 8-bit products unpacks them, which changes no number."""

from __future__ import annotations

import numpy as np

from qdqnp.element_types import INT2, INT4, UINT2, UINT4
from qdqnp.graph import ONNX, Graph
from qdqnp.lowering.base import Log
from qdqnp.lowering.edit import Edit
from qdqnp.lowering.qdq import is_dq

NARROW = (INT4, UINT4, INT2, UINT2)


def widen(graph: Graph, log: Log) -> Graph:
    """Give a DQ of constant 4- or 2-bit codes, and its zero point, the same numbers in int8.

    Blocks stay as they are.
    """
    edit = Edit(graph)
    for dq in edit.nodes():
        codes = edit.constant(dq.input(0)) if is_dq(dq) else None
        if codes is None or codes.dtype not in NARROW or dq.attributes.get("block_size", 0):
            continue
        zero = edit.constant(dq.input(2)) if dq.input(2) else np.zeros((), codes.dtype)
        if zero is None:
            continue
        made = [edit.add_constant(f"{dq.input(0)}_int8", array.astype(np.int8)) for array in (codes, zero)]
        scale = edit.constant(dq.input(1))
        if scale is not None and not dq.input(2) and scale.ndim:
            made[1] = edit.add_constant(f"{dq.input(0)}_zero", np.zeros(scale.shape, np.int8))
        edit.change(dq, inputs=(made[0], dq.input(1), made[1]), domain=ONNX, origin=dq.origins)
    return edit.done()
