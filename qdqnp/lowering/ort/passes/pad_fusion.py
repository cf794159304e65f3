"""Pad before Conv, AveragePool or MaxPool."""

from __future__ import annotations

from typing import Any

import numpy as np

from qdqnp.graph import Graph, Node
from qdqnp.lowering.base import Log
from qdqnp.lowering.edit import Edit
from qdqnp.lowering.qdq import is_op

NAME = "pad-fusion"


def pad_fusion(graph: Graph, log: Log) -> Graph:
    """Zeros padded onto the spatial axes of something that only a Conv, an AveragePool or a MaxPool of uint8 codes
    reads become its own padding.

    ONNX Runtime 1.32, core/optimizer/pad_fusion.cc (PadFusion).
    """
    edit = Edit(graph)
    for pad in edit.nodes():
        user = edit.only_user(pad) if is_op(pad, "Pad") else None
        if user is None or not is_op(user, "Conv", "AveragePool", "MaxPool") or user.input(0) != pad.outputs[0]:
            continue
        pads = padding(edit, pad)
        reason = _why_not(edit, user, pads)
        if reason or pads is None:
            log.refuse(pad, NAME, reason or "its padding is not constant zeros")
        else:
            _fuse(edit, pad, user, pads)
    return edit.done()


def padding(edit: Edit, pad: Node) -> tuple[int, ...] | None:
    """The sizes, if they are constant and what is put there is zero."""
    if pad.attributes.get("mode", "constant") != "constant" or len(pad.inputs) > 3:
        return None
    if edit.opset < 11:
        given: Any = pad.attributes.get("pads")
        return None if pad.attributes.get("value", 0.0) != 0 or given is None else tuple(given)
    sizes, value = edit.constant(pad.input(1)), np.zeros(())
    if pad.input(2):
        const = edit.constant(pad.input(2))
        value = np.ones(()) if const is None else const
    return None if sizes is None or any(value.tobytes()) else tuple(sizes.tolist())


def _why_not(edit: Edit, user: Node, pads: tuple[int, ...] | None) -> str | None:
    if pads is None:
        return "its padding is not constant zeros"
    half = len(pads) // 2
    if any((*pads[:2], *pads[half : half + 2])) or min(pads) < 0:
        return "it pads batch or channels, or crops"
    get = user.attributes.get
    own: Any = get("pads", ())
    if get("auto_pad", "NOTSET") != "NOTSET":
        return f"the {user.op} after it finds its padding itself"
    if get("ceil_mode", 0):
        return f"the {user.op} after it rounds its size up"
    if user.op == "AveragePool" and any(own) and not get("count_include_pad", 0):
        return "the AveragePool after it has padding that it does not count"
    if user.op == "MaxPool" and edit.dtype(user.input(0)) != np.uint8:
        return "zero is not the lowest number that the MaxPool after it can meet"
    return None


def _fuse(edit: Edit, pad: Node, user: Node, pads: tuple[int, ...]) -> None:
    half = len(pads) // 2
    more = (*pads[2:half], *pads[half + 2 :])
    own: Any = user.attributes.get("pads") or (0,) * len(more)
    attributes: dict[str, Any] = {**user.attributes, "pads": tuple(a + b for a, b in zip(own, more, strict=True))}
    if user.op == "AveragePool":
        attributes["count_include_pad"] = 1
    origin = (*user.origins, *pad.origins)
    edit.replace(pad)
    edit.change(user, inputs=(pad.input(0), *user.inputs[1:]), attributes=attributes, origin=origin)
