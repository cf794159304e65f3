"""Turns DQ -> operator -> Q into one integer operator."""

from __future__ import annotations

import numpy as np

from qdqnp.graph import Graph, Node
from qdqnp.lowering.base import Log, PassFunction
from qdqnp.lowering.edit import Edit
from qdqnp.lowering.ort.fusions import FUSIONS, Fusion, Group
from qdqnp.lowering.qdq import ACTIVATIONS, DEQUANTIZE, EIGHT_OR_SIXTEEN, QUANTIZE, clip_bounds
from qdqnp.quant import Array, code_range

NAME = "fuse"
UNTYPED = (
    "onnxruntime 1.32 makes one integer operator of it and takes the zero point that its QuantizeLinear leaves out for "
    "uint8, so it refuses the model; write the zero point out"
)
Rows = dict[str, tuple[Fusion, ...]]


def fusion(int8_allowed: bool, table: tuple[Fusion, ...] = FUSIONS) -> PassFunction:
    """Return the pass that applies a table of fusions.

    ONNX Runtime 1.32, core/optimizer/qdq_transformer/selectors_actions (QDQSelectorActionTransformer).
    """
    rows: Rows = {}
    for row in table:
        rows[row.op] = (*rows.get(row.op, ()), row)

    def fuse(graph: Graph, log: Log) -> Graph:
        edit = Edit(graph)
        for node in edit.nodes():
            if node.domain == "" and node.op in rows:
                _try(edit, node, rows[node.op], int8_allowed, log)
        return edit.done()

    return fuse


def _try(edit: Edit, node: Node, rows: tuple[Fusion, ...], int8_allowed: bool, log: Log) -> None:
    group = find_group(edit, node, int8_allowed)
    if isinstance(group, str):
        log.refuse(node, NAME, group)
        return
    if not group.dqs and not group.qs:
        return
    reasons = [row.why_not(group) for row in rows]
    chosen = next((row for row, reason in zip(rows, reasons, strict=True) if reason is None), None)
    if chosen is None:
        log.refuse(node, NAME, reasons[0] or "")
        return
    log.settle(node, NAME)
    dqs, qs = chosen.takes_dqs(group), chosen.takes_qs(group)
    if any(not q.input(2) and edit.dtype(q.outputs[0]) != np.uint8 for q in qs):
        log.refuse(node, NAME, UNTYPED, session=True)
    elif refused := chosen.refused(group):
        log.refuse(node, NAME, refused, session=True)
    clip = (group.clip,) if group.clip is not None else ()
    parts = (node, *dqs, *clip, *qs)
    outputs = tuple(q.outputs[0] for q in qs) or node.outputs
    inputs, attributes = chosen.inputs(group), chosen.attributes(group)
    origin = tuple(label for part in parts for label in part.origins)
    edit.replace(parts, Node(chosen.integer_op, chosen.domain, inputs, outputs, attributes, node.name, origin))


def find_group(edit: Edit, node: Node, int8_allowed: bool = True) -> Group | str:
    """Return the group around a node, or why none exists (a Relu or Clip between it and Q that Q does not imply)."""
    makers = [edit.producer(name) for name in node.inputs]
    dqs = tuple(maker for maker in makers if maker is not None and maker.op == DEQUANTIZE)
    clip = _clip_after(edit, node)
    qs = tuple(user for user, _ in edit.users(clip or node) if user.op == QUANTIZE)
    if clip is not None and not (len(qs) == 1 and implied_by(edit, clip, qs[0])):
        return f"the {clip.op} after it is not implied by a QuantizeLinear that follows"
    if clip is not None and edit.only_user(node) is not clip:
        return "its float output is a graph output"
    order = {name: at for at, name in enumerate(node.outputs)}
    if clip is None:
        qs = tuple(sorted(qs, key=lambda q: order[q.input(0)]))
    return Group(edit, node, dqs, qs, clip, int8_allowed)


def _clip_after(edit: Edit, node: Node) -> Node | None:
    users = edit.users(node)
    after = users[0][0] if len(users) == 1 else None
    if after is None or after.op not in ACTIVATIONS or edit.makes_output(after):
        return None
    return after if len(edit.users(after)) == 1 else None


def implied_by(edit: Edit, clip: Node, q: Node) -> bool:
    """Tell whether Q's saturation does what a Relu or Clip does, judged on rounded codes.

    ONNX Runtime 1.32, core/optimizer/qdq_transformer/qdq_util.cc (IsClipMadeRedundantByQ).
    """
    scale = edit.constant(q.input(1))
    zero = edit.constant(q.input(2)) if q.input(2) else np.zeros((), edit.dtype(q.outputs[0]))
    if scale is None or zero is None or scale.ndim or zero.ndim or zero.dtype not in EIGHT_OR_SIXTEEN:
        return False
    low, high = code_range(zero.dtype)
    if clip.op == "Relu":
        return int(zero) == low
    bounds = clip_bounds(edit, clip)
    if bounds is None:
        return False
    lower, upper = (_bound_code(bound, scale, int(zero)) for bound in bounds)
    return lower <= low and upper >= high


def _bound_code(bound: np.float32, scale: Array, zero: int) -> int:
    """Return a bound as a code in int32.

    It overflows as on x86: a bound that is far too large becomes the smallest code, and sums wrap.
    """
    with np.errstate(all="ignore"):
        ratio = float(np.rint(np.float32(bound / scale)))
    code = int(ratio) if -(2.0**31) <= ratio < 2.0**31 else -(2**31)
    return (code + zero + 2**31) % 2**32 - 2**31
