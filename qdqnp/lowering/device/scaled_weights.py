"""Takes float weights that are a scale times integers apart again: ST's compiler writes its graphs (*_OE_*.onnx) so.

Every new value is the float32 that stood there, bit for bit: what cannot be made integer afterwards computes the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from qdqnp.graph import ONNX, Graph, Node
from qdqnp.lowering.base import Log
from qdqnp.lowering.edit import Edit
from qdqnp.lowering.qdq import DEQUANTIZE, is_dq, is_op, scalar
from qdqnp.quant import Array, Codes, Float32

NAME = "scaled-weights"
F = np.float32
#: The largest code of symmetric int8 weights, and what else it may be.
LARGEST = 127
OTHERS = (128, *range(1, LARGEST))
# Codes that the bias of a channel without weights may have: large ones, so that its scale is small.
_TRIED = range(2**22, 2**22 + 256)
# Elements of a channel by which most of the wrong scales are told from right ones.
_PROBED = 64
# Elements that may be tried with every largest code; beyond, only 127 is looked for.
_SEARCHED = 2**22


@dataclass(frozen=True)
class Apart:
    """Weights as codes and scales."""

    #: int8, in the shape of the weights.
    codes: Codes
    #: One scale, shape (), or one for each channel: 0 where all of its weights are 0.
    scale: Float32


def scaled_weights(graph: Graph, log: Log) -> Graph:
    """Put int8 codes with a DQ in place of constant float weights that are f32(scale * code), and of their bias.

    The weights are those of Conv, ConvTranspose and Gemm behind a DQ with one scale. The bias must be f32(code * the
    input's scale * the weights' scale).
    """
    edit = Edit(graph)
    for node in edit.nodes():
        if is_op(node, "Conv", "ConvTranspose", "Gemm"):
            source, weight = edit.producer(node.input(0)), edit.constant(node.input(1))
            if source is None or not is_dq(source) or weight is None or weight.dtype != F or weight.ndim < 2:
                continue
            in_scale = scalar(edit, source.input(1))
            if in_scale is not None and in_scale.dtype == F:
                _take_apart(edit, node, weight, in_scale.reshape(-1)[0], log)
    return edit.done()


def _take_apart(edit: Edit, node: Node, weight: Float32, in_scale: np.float32, log: Log) -> None:
    axis = _channel_axis(node)
    apart = None if axis is None else taken_apart(weight, axis)
    if apart is None or axis is None:
        return
    codes, scale = None, apart.scale
    bias = edit.constant(node.input(2)) if node.input(2) else np.zeros(max(scale.size, 1), F)
    if bias is not None and bias.dtype == F and bias.ndim == 1 and bias.size in (1, scale.size, weight.shape[axis]):
        scale = _for_empty(scale, np.broadcast_to(bias, scale.shape or (1,)), in_scale) if scale.ndim else scale
        codes = _bias(bias, in_scale, scale)
    if codes is None:
        log.refuse(node, NAME, "its weights are a scale times integers, and its bias is not")
        return
    log.settle(node, NAME)
    node = _behind_dq(edit, node, 1, "weight", apart.codes, scale, axis)
    if node.input(2):
        _behind_dq(edit, node, 2, "bias", codes, np.asarray(in_scale * scale, F), 0)


def _channel_axis(node: Node) -> int | None:
    """Return the axis of the weights that counts output channels; None where groups share it."""
    if node.op == "ConvTranspose":
        return 1 if node.attributes.get("group", 1) == 1 else None
    return int(node.op == "Gemm" and not node.attributes.get("transB", 0))


def _for_empty(scales: Float32, bias: Float32, in_scale: np.float32) -> Float32:
    """Return the scales, each 0 of a channel without weights replaced by one of which its bias is a whole multiple."""
    found = scales.copy()
    least = scales[scales > 0].min()
    for channel in np.flatnonzero(scales == 0):
        wanted = bias[channel]
        tried = (scale for code in _TRIED for scale in _near(F(F(abs(wanted) / F(code)) / in_scale)))
        fitting = (scale for scale in tried if _multiple(abs(wanted), F(in_scale * scale)))
        found[channel] = min(next(fitting, least), least) if wanted else least
    return found


def _multiple(value: np.float32, unit: np.float32) -> bool:
    return bool(unit > 0 and np.rint(value / unit) * unit == value)


def _bias(bias: Float32, in_scale: np.float32, scale: Float32) -> Array | None:
    """Return the int32 codes of a bias; None where it has none."""
    unit = np.broadcast_to(np.asarray(in_scale * scale, F), bias.shape)
    if not ((unit > 0) & np.isfinite(unit) & np.isfinite(bias)).all():
        return None
    codes = np.rint(bias.astype(np.float64) / unit)
    if (np.abs(codes) > 2**31 - 1).any():
        return None
    exact = codes.astype(F) * unit == bias
    return codes.astype(np.int32) if exact.all() else None


def _behind_dq(edit: Edit, node: Node, index: int, what: str, codes: Array, scale: Float32, axis: int) -> Node:
    label = f"{node.name or node.outputs[0]}_{what}"
    inputs = (edit.add_constant(f"{label}_codes", codes), edit.add_constant(f"{label}_scale", scale))
    output = edit.fresh(f"{label}_dequantized", edit.values[node.input(index)])
    attributes = {"axis": axis} if scale.ndim else {}
    edit.insert(Node(DEQUANTIZE, ONNX, inputs, (output,), attributes, origin=node.origins), node)
    return edit.rewire(node, index, output)


# -- arithmetic --------------------------------------------------------------------------------------------------------
def taken_apart(weight: Float32, axis: int) -> Apart | None:
    """Return codes and scales of weights; None where they are no scale times integers of 8 bits.

        axis: that of the channels.

    One scale for all is looked for first. The largest code counts as 127, as symmetric quantization makes it; where it
    cannot be, the scale is the coarsest.

    >>> found = taken_apart(np.float32([[127, 5], [-64, 0]]) * np.float32(0.1), 0)
    >>> found.codes.tolist(), float(found.scale)
    ([[127, 5], [-64, 0]], 0.10000000149011612)
    """
    if not np.isfinite(weight).all() or not weight.size or not weight.any():
        return None
    rows = np.moveaxis(weight, axis, 0).reshape(weight.shape[axis], -1)
    whole = _row(np.ascontiguousarray(rows).reshape(-1))
    scales: list[np.float32] = []
    if whole is None:
        for row in rows:
            found = _row(row) if row.any() else F(0)
            if found is None:
                return None
            scales.append(found)
    scale = np.asarray(scales if whole is None else whole, F)
    shape = [1] * weight.ndim
    shape[axis] = scale.size
    units = np.where(scale > 0, scale, F(1)).reshape(shape if scale.ndim else ())
    codes = np.rint(weight / units).astype(np.int8)
    return Apart(codes, scale)


def _row(row: Float32) -> np.float32 | None:
    """Return the scale of weights that share one; None where there is none."""
    largest = np.abs(row).max()
    probe = row[np.argsort(-np.abs(row[: 16 * _PROBED]))[:_PROBED]]
    for code in (LARGEST, *OTHERS) if row.size <= _SEARCHED else (LARGEST,):
        for scale in _near(F(largest / F(code))):
            if scale > 0 and _holds(probe, scale) and _holds(row, scale):
                return scale
    return None


def _near(scale: np.float32) -> Iterator[np.float32]:
    yield scale
    yield np.nextafter(scale, F(np.inf))
    yield np.nextafter(scale, F(0))


def _holds(row: Float32, scale: np.float32) -> bool:
    """Tell whether each number is the float32 of a code of 8 bits times the scale."""
    codes = np.rint(row / scale)
    low, high = codes.min(), codes.max()
    return bool(low >= -128 and high <= 127 and (codes * scale == row).all())
