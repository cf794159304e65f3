"""Makes signed codes unsigned."""

from __future__ import annotations

import numpy as np

from qdqnp.graph import Graph, Node
from qdqnp.lowering.base import Log
from qdqnp.lowering.edit import Edit
from qdqnp.lowering.qdq import is_dq, is_q, scalar
from qdqnp.quant import shifted

NAME = "s8-to-u8"
INT8 = np.dtype(np.int8)
FAULT = (
    "onnxruntime 1.32 changes the zero point but not this attribute, which it sets itself from opset 21 on where it "
    "moves a DequantizeLinear. Use session.qdqisint8allowed=1 (profile 'ort'), or an opset below 21."
)


def s8_to_u8(graph: Graph, log: Log) -> Graph:
    """Move int8 codes of Q -> DQ that nobody else reads, and their zero points, up by 128, to uint8.

    The tensor keeps its name; the zero point becomes a scalar, if it was a vector of one element. ONNX Runtime 1.32,
    core/optimizer/qdq_transformer/qdq_s8_to_u8.cc (QDQS8ToU8Transformer), which every session runs that does not allow
    int8. The pass changes results where the zero point takes part in a rounding (Add, Mul, AveragePool).
    """
    edit = Edit(graph)
    for q in edit.nodes():
        if not is_q(q) or edit.dtype(q.outputs[0]) != INT8:
            continue
        reason = _why_not(edit, q)
        if reason:
            log.refuse(q, NAME, reason)
            continue
        if q.attributes.get("output_dtype", 0):
            where, expected = f"node {q.label}, attribute 'output_dtype'", "none, where int8 codes become uint8"
            log.problems.add(where, expected, "int8", FAULT)
        _shift(edit, q)
    return edit.done()


def _why_not(edit: Edit, q: Node) -> str | None:
    dq = edit.only_user(q)
    if dq is None:
        readers = len(edit.users(q)) + edit.makes_output(q)
        return f"its int8 codes are read {readers} times, not once, so they stay int8"
    if not is_dq(dq):
        return f"its int8 codes are read by {dq.op}, so they stay int8"
    # a DQ without a zero point has 0; a Q without one, whose type is an attribute then, stays
    zeros = [scalar(edit, q.input(2)), scalar(edit, dq.input(2)) if dq.input(2) else np.zeros((), INT8)]
    if any(zero is None or zero.dtype != INT8 for zero in zeros):
        return "its zero point is not a constant scalar, so its codes stay int8"
    if zeros[0] != zeros[1]:
        return "the zero points around its codes differ, so they stay int8"
    return None


def _shift(edit: Edit, q: Node) -> None:
    codes, dq, zero = q.outputs[0], edit.only_user(q), scalar(edit, q.input(2))
    assert dq is not None and zero is not None
    name = edit.add_constant("qdq_s8_to_u8_zp_conversion", shifted(zero, np.dtype(np.uint8)).reshape(()))
    edit.retype(codes, np.dtype(np.uint8))
    edit.change(q, inputs=(*q.inputs[:2], name))
    edit.change(dq, inputs=(*dq.inputs[:2], name))
