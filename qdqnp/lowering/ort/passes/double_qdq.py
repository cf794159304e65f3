"""Two Q-DQ pairs in a row become one."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from qdqnp.graph import Graph, Node
from qdqnp.lowering.base import Log
from qdqnp.lowering.edit import Edit
from qdqnp.lowering.qdq import EIGHT_OR_SIXTEEN, is_dq, is_q, parameters, same_pair
from qdqnp.quant import Codes, code_range

NAME = "double-qdq"
Parameters = tuple[np.float32, Codes]


@dataclass(frozen=True)
class Chain:
    before: Node
    dq: Node
    after: Node
    last: tuple[Node, ...]
    joined: Parameters | None  # None: both pairs have the same parameters


def double_qdq(graph: Graph, log: Log) -> Graph:
    """Q1 -> DQ1 -> Q2 -> one or more DQ2, Q1 and DQ1 read once: DQ1 and Q2 go, and Q1 and the DQ2s get parameters
    for the range that both have in common.

    This changes results. ONNX Runtime 1.32, core/optimizer/double_qdq_pairs_remover.cc (DoubleQDQPairsRemover).
    """
    edit = Edit(graph)
    for before in edit.nodes():
        chain = _chain(edit, before) if is_q(before) else None
        if chain is not None:  # one merge for each Q in a round, however many pairs follow
            _join(edit, chain)
    return edit.done()


def _chain(edit: Edit, before: Node) -> Chain | None:
    dq = edit.only_user(before)
    after = edit.only_user(dq) if dq is not None else None
    if dq is None or after is None or not is_dq(dq) or not is_q(after):
        return None
    if edit.makes_output(after) or not same_pair(edit, before, dq):
        return None
    last = tuple(user for user, _ in edit.users(after))
    if not last or not all(is_dq(user) and same_pair(edit, after, user) for user in last):
        return None
    one, other = parameters(edit, dq), parameters(edit, after)
    if one is None or other is None or one[1].dtype not in EIGHT_OR_SIXTEEN or one[1].dtype != other[1].dtype:
        return None
    return Chain(before, dq, after, last, common_range(one, other))


def _join(edit: Edit, chain: Chain) -> None:
    edit.replace((chain.dq, chain.after))
    parameters = chain.before.inputs[1:]
    if chain.joined is not None:
        names = (f"DoubleQDQRemoved_{name}" for name in parameters)
        values = (np.asarray(value) for value in chain.joined)
        parameters = tuple(map(edit.add_constant, names, values))
        edit.change(chain.before, inputs=(chain.before.input(0), *parameters))
    for last in chain.last:
        edit.change(last, inputs=(chain.before.outputs[0], *parameters))


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
    if scale == 0:  # the ranges have only 0 in common: nothing can run with what ONNX Runtime makes of this
        return scale, np.zeros((), one[1].dtype)
    real_zero = float(np.float32(low) - np.float32(real_min / scale))
    zero = math.copysign(math.floor(abs(real_zero) + 0.5), real_zero)
    return scale, np.asarray(int(zero)).astype(one[1].dtype)
