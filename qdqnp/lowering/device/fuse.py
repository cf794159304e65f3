"""Turns DQ -> operator -> Q into one integer operator, with the limits that an activation left at Q."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from qdqnp.graph import DEVICES, MICROSOFT, ONNX, Graph, Node
from qdqnp.lowering.base import Log, PassFunction
from qdqnp.lowering.device.activations import joined
from qdqnp.lowering.device.clip import code_clip
from qdqnp.lowering.device.fusions import FUSIONS
from qdqnp.lowering.edit import Edit
from qdqnp.lowering.ort.fusions import Fusion, Group
from qdqnp.lowering.ort.passes.fuse import find_group
from qdqnp.lowering.qdq import is_dq, is_op, is_q, per_tensor, same_pair
from qdqnp.ops.registry import operator_for
from qdqnp.quant import EIGHT_BIT, code_range

NAME = "fuse"
ROWS: Mapping[str, Fusion] = {row.op: row for row in FUSIONS}


@dataclass(frozen=True)
class Codes:
    """The types of activations that a device has kernels of."""

    #: All of them.
    kinds: tuple[np.dtype[Any], ...] = EIGHT_BIT
    #: Those whose zero points must be 0.
    symmetric: tuple[np.dtype[Any], ...] = ()


def fusion(left: Mapping[str, str], codes: Codes) -> PassFunction:
    """Return the pass that makes integer operators.

    It applies the table of fusions, then turns what is left of DQ -> Q, and Clips of codes, into steps on codes. Of
    DQ -> Q with equal parameters only the limits of Q are left; with other parameters it is a Concat of one tensor,
    which rescales its codes as a converter's QUANTIZE does, or between int8 and uint8 a QUANTIZE itself. A Clip of
    codes becomes limits of the integer operator before it.

    left: labels of nodes that stay as they are, with the reason.
    codes: the types of activations that there are kernels of.
    """

    def fuse(graph: Graph, log: Log) -> Graph:
        edit = Edit(graph)
        for node in edit.nodes():
            if node.domain == ONNX and node.op in ROWS:
                _unless_left(edit, node, left, log, partial(_try, codes))
        for node in edit.nodes():
            q = edit.only_user(node) if is_dq(node) else None
            if q is not None and is_q(q):
                _unless_left(edit, q, left, log, partial(_requantize, codes))
        for node in edit.nodes():
            if is_op(node, "Clip") and edit.dtype(node.input(0)) in codes.kinds:
                _limit(edit, node)
        return edit.done()

    return fuse


def _unless_left(
    edit: Edit, node: Node, left: Mapping[str, str], log: Log, make: Callable[[Edit, Node, Log], None]
) -> None:
    if node.label in left:
        log.refuse(node, NAME, left[node.label])
    else:
        make(edit, node, log)


def _try(codes: Codes, edit: Edit, node: Node, log: Log) -> None:
    row, group = ROWS[node.op], find_group(edit, node)
    if isinstance(group, str):
        log.refuse(node, NAME, group)
        return
    if not group.dqs and not group.qs:
        return
    group = replace(group, kinds=codes.kinds)
    reason = row.why_not(group) or _limits_unknown(edit, group) or _off_centre(edit, (*group.dqs, *group.qs), codes)
    if reason is None and node.op == "MatMul" and group.code_in(0) in codes.symmetric:
        same = group.code_in(0) == group.code_in(1)
        reason = None if same else f"there is no kernel of {group.code_in(0)} and {group.code_in(1)} matrices"
    if reason is not None:
        log.refuse(node, NAME, reason)
        return
    log.settle(node, NAME)
    parts = (node, *group.dqs, *group.qs)
    inputs, attributes = row.inputs(group), row.attributes(group)
    origin = tuple(label for part in parts for label in part.origins)
    outputs = tuple(q.outputs[0] for q in group.qs) or node.outputs
    made = Node(row.integer_op, row.domain, inputs, outputs, attributes, node.name, origin)
    edit.replace(parts, made.with_(limits=group.qs[0].limits if group.qs else None))


def _limits_unknown(edit: Edit, group: Group) -> str | None:
    """Require scales that are known before a run where an activation follows."""
    limited = any(q.limits is not None for q in group.qs)
    known = all(edit.constant(name) is not None for part in (*group.dqs, *group.qs) for name in part.inputs[1:] if name)
    return "an activation follows it, and a scale or zero point of it is computed" if limited and not known else None


def _off_centre(edit: Edit, parts: tuple[Node, ...], codes: Codes) -> str | None:
    """Require zero points of 0 of the types whose kernels have no others. parts: the DQs and Qs around an operator."""
    for part in parts:
        kind = edit.dtype(part.input(0) if is_dq(part) else part.outputs[0])
        zero = edit.constant(part.input(2)) if part.input(2) else np.zeros((), np.int8)
        if kind in codes.symmetric and (zero is None or zero.any()):
            return f"there are kernels of {kind} codes with zero point 0 only"
    return None


def _requantize(codes: Codes, edit: Edit, q: Node, log: Log) -> None:
    dq = edit.producer(q.input(0))
    if dq is None or not per_tensor(edit, dq) or not per_tensor(edit, q):
        return
    kinds = [edit.dtype(dq.input(0)), edit.dtype(q.outputs[0])]
    reason = _off_centre(edit, (dq, q), codes)
    bytes_only = set(kinds) <= set(EIGHT_BIT)
    if not bytes_only and (kinds[0] != kinds[1] or kinds[0] not in codes.kinds):
        reason = f"no kernel rescales {kinds[0]} codes to {kinds[1]} codes"
    if reason:
        log.refuse(q, NAME, reason)
        return
    origin = (*q.origins, *dq.origins)
    if same_pair(edit, q, dq):
        if q.limits is not None:
            edit.replace((dq, q), code_clip(edit, dq.input(0), q.outputs[0], q.limits, origin))
        elif edit.makes_output(q):
            edit.replace((dq, q), Node("Identity", ONNX, (dq.input(0),), q.outputs, origin=origin))
        else:
            edit.replace((dq, q))
            edit.redirect(q.outputs[0], dq.input(0))
        return
    zeros = [
        node.input(2) or edit.add_constant("zero_point", np.zeros((), kind))
        for node, kind in zip((q, dq), kinds, strict=True)
    ]
    x, y = (dq.input(0), dq.input(1), zeros[1]), (q.input(1), zeros[0])
    if kinds[0] == kinds[1]:
        made = Node("QLinearConcat", MICROSOFT, (*y, *x), q.outputs, {"axis": 0}, q.name, origin)
    else:
        made = Node("QLinearRequantize", DEVICES, (*x, *y), q.outputs, {}, q.name, origin)
    edit.replace((dq, q), made.with_(limits=q.limits))


def _limit(edit: Edit, clip: Node) -> None:
    """Take a Clip of codes into the integer operator that alone it reads."""
    maker = edit.producer(clip.input(0))
    operator = operator_for(maker) if maker is not None else None
    if maker is None or operator is None or not operator.rule or edit.only_user(maker) is not clip:
        return
    dtype = edit.values[clip.input(0)].dtype
    full = maker.limits or code_range(dtype)
    bounds = [edit.constant(clip.input(at)) if clip.input(at) else np.asarray(full[at - 1]) for at in (1, 2)]
    if edit.opset < 11 or any(bound is None or bound.size != 1 for bound in bounds):
        return
    low, high = (int(bound.reshape(-1)[0]) for bound in bounds if bound is not None)
    origin = (*maker.origins, *clip.origins)
    edit.replace(
        (maker, clip), maker.with_(outputs=clip.outputs, limits=joined(full, (min(low, high), high)), origin=origin)
    )
