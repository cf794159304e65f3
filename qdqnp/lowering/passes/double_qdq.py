"""Two Q-DQ pairs in a row become one."""

from __future__ import annotations

import math

import numpy as np

from qdqnp.graph import Graph, Node
from qdqnp.lowering.base import Log
from qdqnp.lowering.edit import Edit
from qdqnp.lowering.qdq import is_op, parameters, same_pair
from qdqnp.quant import EIGHT_BIT, Codes, code_range

NAME = "double-qdq"
Parameters = tuple[np.float32, Codes]


def double_qdq(graph: Graph, log: Log) -> Graph:
    """Q1 -> DQ1 -> Q2 -> DQ2, each read once: DQ1 and Q2 go, and Q1 and DQ2 get parameters for both ranges.

    This changes results. ONNX Runtime 1.32, core/optimizer/double_qdq_pairs_remover.cc (DoubleQDQPairsRemover).
    """
    edit = Edit(graph)
    for dq in edit.nodes():
        chain = _chain(edit, dq)
        if chain is not None:
            _join(edit, *chain)
    return edit.done()


def _chain(edit: Edit, dq: Node) -> tuple[Node, Node, Node, Node] | None:
    if not is_op(dq, "DequantizeLinear"):
        return None
    before, after = edit.producer(dq.input(0)), edit.only_user(dq)
    if before is None or after is None or not is_op(before, "QuantizeLinear"):
        return None
    if not is_op(after, "QuantizeLinear") or edit.only_user(before) is not dq:
        return None
    last = edit.only_user(after)
    if last is None or not is_op(last, "DequantizeLinear"):
        return None
    if not (same_pair(edit, before, dq) and same_pair(edit, after, last)):
        return None
    one, other = parameters(edit, dq), parameters(edit, after)
    if one is None or other is None or one[1].dtype not in EIGHT_BIT or one[1].dtype != other[1].dtype:
        return None
    return before, dq, after, last


def _join(edit: Edit, before: Node, dq: Node, after: Node, last: Node) -> None:
    one, other = parameters(edit, dq), parameters(edit, after)
    assert one is not None and other is not None
    edit.replace((dq, after))
    joined = common_range(one, other)
    if joined is None:
        edit.rewire(last, 0, before.outputs[0])
        return
    scale = edit.add_constant(f"DoubleQDQRemoved_{before.input(1)}", np.asarray(joined[0]))
    zero = edit.add_constant(f"DoubleQDQRemoved_{before.input(2)}", np.asarray(joined[1]))
    edit.change(before, inputs=(before.input(0), scale, zero))
    edit.change(last, inputs=(before.outputs[0], scale, zero))


def common_range(one: Parameters, other: Parameters) -> Parameters | None:
    """Parameters whose range is the intersection of both; None where they are equal already.

    Every operation is one float32 rounding, and the zero point's half goes away from zero.
    """
    if one[0] == other[0] and one[1] == other[1]:
        return None
    low, high = code_range(one[1].dtype)
    ends = [(np.float32(low - int(zero)) * scale, np.float32(high - int(zero)) * scale) for scale, zero in (one, other)]
    real_min, real_max = max(ends[0][0], ends[1][0]), min(ends[0][1], ends[1][1])
    scale = np.float32(real_max - real_min) / np.float32(high - low)
    real_zero = float(np.float32(low) - np.float32(real_min / scale))
    zero = math.copysign(math.floor(abs(real_zero) + 0.5), real_zero)
    return scale, np.asarray(int(zero)).astype(one[1].dtype)
