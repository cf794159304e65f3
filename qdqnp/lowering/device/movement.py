"""Makes operators that only move or compare codes run on codes: they go before a DQ and behind a Q.

Both are exact: a real value is moved as its code is, and the largest real value has the largest code.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np

from qdqnp.errors import Problems
from qdqnp.graph import ONNX, AttributeValue, Graph, Node, Value
from qdqnp.lowering.base import Log, PassFunction
from qdqnp.lowering.device.clip import code_clip
from qdqnp.lowering.edit import Edit
from qdqnp.lowering.qdq import clip_bounds, is_dq, is_op, is_q, parameters, per_tensor, same_pair, scalar
from qdqnp.numerics.rational import fraction
from qdqnp.ops.node_check import NodeCheck, Refused
from qdqnp.ops.operator import ShapeError
from qdqnp.ops.registry import operator_for
from qdqnp.quant import EIGHT_BIT, code_range

#: Operators whose first input is moved, and of which nothing else is codes.
MOVERS = (
    "DepthToSpace",
    "Expand",
    "Flatten",
    "Gather",
    "MaxPool",
    "ReduceMax",
    "ReduceMin",
    "Reshape",
    "Resize",
    "Slice",
    "SpaceToDepth",
    "Split",
    "Squeeze",
    "Tile",
    "Transpose",
    "Unsqueeze",
)


#: Operators that join or compare codes of the same parameters.
JOINING = ("Concat", "Max", "Min")


#: What a scale in float32, such as 6/255, is off by at most: half a unit of its last place.
ROUNDED_SCALE = 2.0**-24


def movement(tolerance: float) -> PassFunction:
    """Return the pass that puts a DQ behind what moves its codes, and a Q before what moves what it reads.

    tolerance: how far the bound of a Clip may be from the value of a code, as a share of the bound.
    """

    def run(graph: Graph, log: Log) -> Graph:
        edit = Edit(graph)
        for node in edit.nodes():
            if is_dq(node) and per_tensor(edit, node):
                _sink(edit, node, tolerance)
        for node in edit.nodes():
            if is_q(node) and per_tensor(edit, node):
                _raise(edit, node)
        return edit.done()

    return run


def _sink(edit: Edit, dq: Node, tolerance: float) -> None:
    """Put a DQ behind the operator that reads it, and that one behind the next, as far as it goes."""
    pending = [dq]
    while pending:
        dq = pending.pop()
        mover = edit.only_user(dq)
        if mover is None or mover.domain != ONNX:
            continue
        if mover.op in JOINING:
            pending += _sink_joining(edit, mover)
        elif mover.op in ("Relu", "Clip") and mover.input(0) == dq.outputs[0]:
            pending += _sink_clamp(edit, dq, mover, tolerance)
        elif mover.op == "Pad":
            pending += _sink_pad(edit, dq, mover)
        elif mover.op in MOVERS and mover.input(0) == dq.outputs[0] and _moves_codes(edit, mover, dq):
            pending += _behind(edit, dq, (dq,), mover, (dq.input(0), *mover.inputs[1:]))


def _sink_joining(edit: Edit, joining: Node) -> list[Node]:
    """Concat of codes with the same parameters joins them, and Max and Min compare them."""
    dqs = [edit.producer(name) for name in joining.inputs]
    found = [dq for dq in dqs if is_dq(dq) and dq is not None and edit.only_user(dq) is joining]
    given = [parameters(edit, dq) for dq in found]
    if len(found) != len(dqs) or any(one is None for one in given):
        return []
    first = given[0]
    assert first is not None
    if any(one is None or one[0] != first[0] or one[1] != first[1] or one[1].dtype != first[1].dtype for one in given):
        return []
    if joining.op != "Concat" and (edit.opset < 12 or not first[0] > 0 or first[1].dtype not in EIGHT_BIT):
        return []
    return _behind(edit, found[0], tuple(found), joining, tuple(dq.input(0) for dq in found))


def _sink_clamp(edit: Edit, dq: Node, clamp: Node, tolerance: float) -> list[Node]:
    """Relu of dequantized codes is a clamp of the codes at the zero point, and so is a Clip whose bounds have codes."""
    given = parameters(edit, dq)
    if given is None or given[1].dtype not in EIGHT_BIT:
        return []
    full = code_range(given[1].dtype)
    scale, zero = np.float32(given[0]), int(given[1])
    limits = (zero, full[1]) if clamp.op == "Relu" else _clip_limits(edit, clamp, scale, zero, full, tolerance)
    if limits is None:
        return []
    codes, users = _codes_of(edit, clamp.outputs[0], dq)
    after = dq.with_(inputs=(codes, *dq.inputs[1:]), outputs=clamp.outputs, origin=dq.origins)
    edit.replace((dq, clamp, *users), (code_clip(edit, dq.input(0), codes, limits, clamp.origins), after))
    return _copies(edit, after)


def _clip_limits(
    edit: Edit, clip: Node, scale: np.float32, zero: int, full: tuple[int, int], tolerance: float
) -> tuple[int, int] | None:
    """Return the codes at which a Clip clamps; None where a bound is the value of no code.

    A bound beyond all codes clamps nothing.
    """
    bounds = clip_bounds(edit, clip)
    if bounds is None or np.isnan(bounds).any() or not scale > 0 or not bounds[0] <= bounds[1]:
        return None
    found = []
    for bound, end, beyond in ((bounds[0], full[0], -1), (bounds[1], full[1], 1)):
        if (float(bound) - float(scale) * (end - zero)) * beyond >= 0:
            found.append(end)
            continue
        code = round(float(bound) / float(scale))
        if abs(float(bound) - code * float(scale)) > abs(float(bound)) * tolerance:
            return None
        found.append(code + zero)
    low, high = found
    return (low, high) if full[0] <= low <= high <= full[1] else None


def _sink_pad(edit: Edit, dq: Node, pad: Node) -> list[Node]:
    """Pad of codes puts the code of the constant around them, where it has one."""
    given = parameters(edit, dq)
    dtype = edit.dtype(dq.input(0))
    if dtype is None or dtype.kind not in "iu" or scalar(edit, dq.input(1)) is None:
        return []
    scale = np.float32(np.reshape(edit.constant(dq.input(1)), ()))  # type: ignore[arg-type]
    zero = 0 if given is None else int(given[1])
    value: Any = pad.attributes.get("value", 0.0)
    if edit.opset >= 11 and pad.input(2):
        const = edit.constant(pad.input(2))
        if const is None or const.size != 1:
            return []
        value = const.reshape(-1)[0]
    code = fraction(value) / fraction(scale) + zero if np.isfinite(value) else Fraction(1, 2)
    low, high = code_range(dtype)
    if pad.attributes.get("mode", "constant") == "constant" and (code.denominator != 1 or not low <= code <= high):
        return []
    if edit.opset < 11:
        changed = pad.with_(attributes={**pad.attributes, "value": float(code)})
        return (
            _behind(edit, dq, (dq,), pad, (dq.input(0),), changed.attributes) if _moves_codes(edit, changed, dq) else []
        )
    filling = edit.add_constant(f"{pad.label}_code", np.asarray(int(code), dtype))
    changed = pad.with_(inputs=(pad.input(0), pad.input(1), filling, *pad.inputs[3:]))
    return _behind(edit, dq, (dq,), pad, (dq.input(0), *changed.inputs[1:])) if _moves_codes(edit, changed, dq) else []


def _moves_codes(edit: Edit, mover: Node, dq: Node) -> bool:
    """Tell whether the operator takes codes of this type at the graph's opset, and moves them without arithmetic."""
    if mover.op == "Resize" and mover.attributes.get("mode", "nearest") != "nearest":
        return False
    scale = edit.constant(dq.input(1))
    if scale is None or not (scale > 0).all():
        return False
    operator = operator_for(mover)
    dtype = edit.dtype(dq.input(0))
    if operator is None or dtype is None:
        return False
    values = tuple(edit.values[name] if name else None for name in mover.inputs)
    first = values[0]
    assert first is not None
    check = NodeCheck(mover, edit.opset, (Value(first.name, dtype, first.shape), *values[1:]), Problems())
    try:
        operator.infer(check, operator.attributes(check))
    except (Refused, ShapeError):
        return False
    return True


def _codes_of(edit: Edit, name: str, dq: Node) -> tuple[str, tuple[Node, ...]]:
    """Return a tensor for the codes of a real tensor, and the Qs that make the same codes of it, which it replaces.

    Where the file has such a Q, the tensor is the first one's.
    """
    same = [q for q, _ in edit.uses(name) if is_q(q) and q.limits is None and same_pair(edit, q, dq)]
    for q in same[1:]:
        if not edit.makes_output(q):
            edit.redirect(q.outputs[0], same[0].outputs[0])
    taken = tuple(q for at, q in enumerate(same) if at == 0 or not edit.makes_output(q))
    if taken:
        return taken[0].outputs[0], taken
    return edit.code_tensor(f"{name}_codes", dq, edit.values[name].shape), ()


def _behind(
    edit: Edit,
    like: Node,
    dqs: tuple[Node, ...],
    mover: Node,
    inputs: tuple[str, ...],
    attributes: Mapping[str, AttributeValue] | None = None,
) -> list[Node]:
    """Replace DQs and the operator that reads them by the operator on codes with a DQ for each output."""
    outputs: list[str] = []
    after: list[Node] = []
    gone: list[Node] = []
    for name in mover.outputs:
        if not name:
            outputs.append(name)
            continue
        codes, users = _codes_of(edit, name, like)
        outputs.append(codes)
        gone += users
        after.append(like.with_(inputs=(codes, *like.inputs[1:]), outputs=(name,), origin=like.origins))
    given = mover.attributes if attributes is None else attributes
    moved = mover.with_(inputs=inputs, outputs=tuple(outputs), attributes=given, origin=mover.origins)
    edit.replace((*dqs, mover, *gone), (moved, *after))
    return [copy for dq in after for copy in _copies(edit, dq)]


def _copies(edit: Edit, dq: Node) -> list[Node]:
    """Give each use of a DQ one of its own; return them, without one that nothing reads."""
    name = dq.outputs[0]
    uses = edit.uses(name)
    if not uses and not edit.is_output(name):
        edit.replace(dq)
        return []
    found = [dq]
    for user, index in uses[0 if edit.is_output(name) else 1 :]:
        copy = dq.with_(outputs=(edit.fresh(f"{name}/duplicated", edit.values[name]),), origin=dq.origins)
        edit.insert(copy, dq)
        edit.rewire(edit.now(user) or user, index, copy.outputs[0])
        found.append(copy)
    return found


def _raise(edit: Edit, q: Node) -> None:
    """Put a Q before the operator that moves what it reads, and before the one before that."""
    while True:
        mover = edit.producer(q.input(0))
        if mover is None or not is_op(mover, *MOVERS) or len(mover.outputs) != 1 or edit.only_user(mover) is not q:
            return
        name = mover.input(0)
        if edit.constant(name) is not None or is_dq(edit.producer(name)) or not _moves_made_codes(edit, mover, q):
            return
        codes = edit.code_tensor(f"{name}_codes", q, edit.values[name].shape)
        before = q.with_(inputs=(name, *q.inputs[1:]), outputs=(codes,), origin=q.origins)
        moved = mover.with_(inputs=(codes, *mover.inputs[1:]), outputs=q.outputs, origin=mover.origins)
        edit.replace((q, mover), (before, moved))
        q = before


def _moves_made_codes(edit: Edit, mover: Node, q: Node) -> bool:
    return _moves_codes(edit, mover, q.with_(inputs=(q.outputs[0], *q.inputs[1:])))
