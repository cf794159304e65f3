"""Resize of mode linear between DQ and Q runs on codes: in the scale of its input, as devices' kernels do."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from qdqnp.errors import Problems
from qdqnp.graph import DEVICES, AttributeValue, Graph, Node
from qdqnp.lowering.base import Log, PassFunction
from qdqnp.lowering.edit import Edit
from qdqnp.lowering.qdq import is_dq, is_op, is_q, per_tensor
from qdqnp.numerics.rules.interpolate import MODES
from qdqnp.ops.geometry.resizing import ResizeAttributes
from qdqnp.ops.node_check import NodeCheck, Refused
from qdqnp.ops.registry import operator_for
from qdqnp.quant import EIGHT_BIT

NAME = "interpolation"


def interpolation(left: Mapping[str, str]) -> PassFunction:
    """Return the pass that puts every Resize of mode linear on codes, and a DQ in front of each Q that reads it.

    A Q with other parameters then rescales its codes. left: labels of nodes that stay as they are.
    """

    def interpolate(graph: Graph, log: Log) -> Graph:
        edit = Edit(graph)
        for node in edit.nodes():
            if is_op(node, "Resize") and node.attributes.get("mode", "nearest") == "linear" and node.label not in left:
                _interpolate(edit, node, log)
        return edit.done()

    return interpolate


def _interpolate(edit: Edit, node: Node, log: Log) -> None:
    dq = edit.producer(node.input(0))
    if dq is None or not is_dq(dq):
        return
    resize = _read(edit, node)
    reason = _why_not(edit, node, dq) or (resize if isinstance(resize, str) else None)
    chosen = None if reason or isinstance(resize, str) else _planes(resize, edit.values[node.input(0)].shape)
    if chosen is None:
        log.refuse(node, NAME, reason or "not the height and width of images of rank 4 alone are resized")
        return
    log.settle(node, NAME)
    shape, parameters = edit.values[node.outputs[0]].shape, (dq.inputs[1], dq.input(2) or _zero(edit, dq))
    codes = edit.code_tensor(f"{node.outputs[0]}_codes", dq, shape)
    inputs, origin = (dq.input(0), *parameters, *parameters), (*node.origins, *dq.origins)
    made = [Node("QLinearResizeLinear", DEVICES, inputs, (codes,), chosen, node.name, origin)]
    for reader, at in edit.uses(node.outputs[0]):
        real = edit.fresh(f"{node.outputs[0]}_real", edit.values[node.outputs[0]])
        edit.rewire(reader, at, real)
        made.append(Node(dq.op, dq.domain, (codes, *parameters), (real,), dq.attributes, "", node.origins))
    edit.replace((dq, node) if edit.only_user(dq) is node else node, made)


def _zero(edit: Edit, dq: Node) -> str:
    dtype = edit.dtype(dq.input(0))
    assert dtype is not None
    return edit.add_constant("zero_point", np.zeros((), dtype))


def _read(edit: Edit, node: Node) -> ResizeAttributes | str:
    operator = operator_for(node)
    assert operator is not None
    values = tuple(edit.values[name] if name else None for name in node.inputs)
    try:
        found: ResizeAttributes = operator.attributes(NodeCheck(node, edit.opset, values, Problems()))
    except Refused:
        return "its scales or sizes are computed"
    return found


def _why_not(edit: Edit, node: Node, dq: Node) -> str | None:
    if edit.dtype(dq.input(0)) not in EIGHT_BIT:
        return f"{edit.dtype(dq.input(0))} codes have no integer kernel"
    if not per_tensor(edit, dq):
        return "its activations are not quantized per tensor"
    uses = edit.uses(node.outputs[0])
    if edit.makes_output(node) or not uses or not all(is_q(user) for user, _ in uses):
        return "a Q does not follow it"
    mode = node.attributes.get("coordinate_transformation_mode", "half_pixel" if edit.opset >= 11 else "asymmetric")
    if mode not in MODES or node.attributes.get("antialias", 0):
        return f"no kernel interpolates with {'antialias' if mode in MODES else mode}"
    if node.attributes.get("keep_aspect_ratio_policy", "stretch") != "stretch":
        return "a ratio is kept"
    return None


def _planes(resize: ResizeAttributes, shape: tuple[object, ...]) -> dict[str, AttributeValue] | None:
    """Return the attributes of QLinearResizeLinear; None where other axes than the last two, or 1 and 2, change."""
    if len(shape) != 4 or resize._late:
        return None
    axes = [axis % 4 for axis in resize.axes] or list(range(4))
    values = dict(zip(axes, resize._scales or resize._sizes, strict=False))
    same = {axis: 1.0 if resize._scales else shape[axis] for axis in range(4)}
    changed = {axis for axis, value in values.items() if value != same[axis]}
    for pair in ((2, 3), (1, 2)):
        if changed <= set(pair):
            chosen = [values.get(axis, same[axis]) for axis in pair]
            if not all(isinstance(value, (int, float)) for value in chosen):
                return None
            name = "scales" if resize._scales else "sizes"
            mode = resize.coordinate_transformation_mode
            return {"coordinate_transformation_mode": mode, "axes": pair, name: tuple(chosen)}  # type: ignore[dict-item]
    return None
