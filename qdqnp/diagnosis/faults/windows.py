"""Windows: padding off by one, stride 1 in place of another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import product

import numpy as np

from qdqnp.diagnosis.faults.suspect import Finding, Suspect
from qdqnp.ops.geometry.windows import WindowAttributes, window_for
from qdqnp.quant import Array

PAD_OFF = "padding off by one"
STRIDE = "stride 1 in place of another"


def resolved_pads(suspect: Suspect) -> tuple[int, int, int, int] | None:
    """(top, left, bottom, right) of a 2-D window; None for other steps."""
    attributes, x = suspect.step.attributes, _input(suspect, suspect.values[0])
    if not isinstance(attributes, WindowAttributes) or x is None or x.ndim != 4:
        return None
    return window_for(attributes, _kernel(suspect), x.shape[2:]).pads


def _kernel(suspect: Suspect) -> tuple[int, ...]:
    if suspect.step.op == "QLinearConv" and suspect.step.inputs[1] is not None:
        weights = suspect.bound.consts.get(suspect.step.inputs[1].name)
        if weights is not None:
            return tuple(weights.shape[2:])
    return tuple(suspect.step.attributes.kernel_shape)


def _input(suspect: Suspect, values: Mapping[str, Array]) -> Array | None:
    operand = suspect.step.inputs[0]
    return values.get(operand.name) if operand is not None else None


def padded(x: Array, pads: tuple[int, int, int, int], code: int) -> Array:
    """x (N, C, H, W) with explicit padding (top, left, bottom, right); a negative size cuts off."""
    top, left, bottom, right = pads
    grow = [(0, 0), (0, 0), (max(top, 0), max(bottom, 0)), (max(left, 0), max(right, 0))]
    made = np.pad(x, grow, constant_values=code)
    rows = slice(max(-top, 0), made.shape[2] - max(-bottom, 0))
    return made[:, :, rows, max(-left, 0) : made.shape[3] - max(-right, 0)]


def pad_off(suspect: Suspect) -> Iterator[Finding]:
    """The window starts one row or column too early or too late; what lies outside is padding."""
    pads = resolved_pads(suspect)
    x = suspect.step.inputs[0].quant if suspect.step.inputs[0] is not None else None
    if pads is None or not isinstance(suspect.step.attributes, WindowAttributes) or suspect.step.op != "QLinearConv":
        return
    assert x is not None
    top, left, bottom, right = pads
    bare = replace(suspect.step, attributes=replace(suspect.step.attributes, pads=(), auto_pad="NOTSET"))
    for dy, dx in product((0, 1, -1), repeat=2):
        if (dy, dx) == (0, 0):
            continue
        moved = (top + dy, left + dx, bottom - dy, right - dx)

        def change(values: Mapping[str, Array], moved: tuple[int, int, int, int] = moved) -> Array:
            assert suspect.step.inputs[0] is not None
            name = suspect.step.inputs[0].name
            return suspect.evaluate({**values, name: padded(values[name], moved, int(x.zero_point))}, bare)

        if suspect.explained(change):
            yield Finding(PAD_OFF, f"top {moved[0]}, left {moved[1]} for {top}, {left}")
            return


def stride(suspect: Suspect) -> Iterator[Finding]:
    """The first rows and columns of what a stride of 1 gives, or its first elements in memory."""
    attributes = suspect.step.attributes
    if not isinstance(attributes, WindowAttributes) or not any(s > 1 for s in attributes.strides) or not suspect.alone:
        return
    pads = resolved_pads(suspect)
    if pads is None:
        return
    dense = replace(suspect.step, attributes=replace(attributes, strides=(), pads=pads, auto_pad="NOTSET"))
    shape = suspect.want[0].shape
    if suspect.explained(lambda v: suspect.evaluate(v, dense)[:, :, : shape[2], : shape[3]]):
        yield Finding(STRIDE, f"{attributes.strides[0]}; the first rows and columns")
    elif suspect.explained(lambda v: suspect.evaluate(v, dense).reshape(-1)[: suspect.want[0].size].reshape(shape)):
        yield Finding(STRIDE, f"{attributes.strides[0]}; the first elements in memory")
