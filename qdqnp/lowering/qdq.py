"""Questions about QuantizeLinear and DequantizeLinear nodes that several passes ask."""

from __future__ import annotations

from typing import Any

import numpy as np

from qdqnp.graph import MICROSOFT, ONNX, Node
from qdqnp.lowering.edit import Edit
from qdqnp.quant import Array, Codes, Float32, code_range

QUANTIZE = "QuantizeLinear"
DEQUANTIZE = "DequantizeLinear"
ACTIVATIONS = ("Relu", "Clip")
SMALL = 8
SHARED = ("float32", "float16", "float64", "int32", "int64")
EIGHT_OR_SIXTEEN = tuple(np.dtype(t) for t in (np.int8, np.uint8, np.int16, np.uint16))


def is_op(node: Node | None, *ops: str) -> bool:
    """Whether a node is one of these operators of the ONNX domain."""
    return node is not None and node.domain == ONNX and node.op in ops


def is_q(node: Node | None) -> bool:
    return node is not None and node.op == QUANTIZE and node.domain in (ONNX, MICROSOFT)


def is_dq(node: Node | None) -> bool:
    return node is not None and node.op == DEQUANTIZE and node.domain in (ONNX, MICROSOFT)


def is_removable(edit: Edit, node: Node, index: int = 0) -> bool:
    """Whether a node may go and its readers read its input: of several inputs, that one must come from a node.

    ONNX Runtime 1.32, core/graph/graph_utils.cc (CanRemoveNode); that it makes no graph output is asked elsewhere.
    """
    return len(node.inputs) == 1 or edit.producer(node.input(index)) is not None


def scalar(edit: Edit, name: str) -> Array | None:
    """The constant of that name if it has one element and at most one axis."""
    const = edit.constant(name) if name else None
    return const if const is not None and const.ndim <= 1 and const.size == 1 else None


def parameters(edit: Edit, node: Node) -> tuple[np.float32, Any] | None:
    """Scale and zero point of a Q or DQ that has both, constant and per tensor; None otherwise."""
    if len(node.inputs) != 3:
        return None
    scale, zero = scalar(edit, node.input(1)), scalar(edit, node.input(2))
    return None if scale is None or zero is None else (scale.reshape(-1)[0], zero.reshape(-1)[0])


def per_tensor(edit: Edit, node: Node) -> bool:
    """Constant scalar scale, and zero point likewise or absent."""
    if scalar(edit, node.input(1)) is None:
        return False
    return not node.input(2) or scalar(edit, node.input(2)) is not None


def same_pair(edit: Edit, q: Node, dq: Node) -> bool:
    """Whether Q and DQ convert by the same explicit, constant, per-tensor parameters.

    ONNX Runtime 1.32, core/optimizer/qdq_transformer/qdq_util.cc (IsQDQPairSupported).
    """
    one, other = parameters(edit, q), parameters(edit, dq)
    if one is None or other is None:
        return False
    return bool(one[0] == other[0]) and one[1].dtype == other[1].dtype and bool(one[1] == other[1])


def is_shared(const: Array) -> bool:
    """Whether equal constants like this one are one constant: 1 to 8 numbers, none of them 8-bit.

    ONNX Runtime 1.32, core/optimizer/constant_sharing.cc.
    """
    return 0 < const.size <= SMALL and str(const.dtype) in SHARED


def quantize(values: Float32, scale: Float32, zero: Codes) -> Codes:
    """QuantizeLinear of a constant; scale and zero point broadcast against the values."""
    low, high = code_range(zero.dtype)
    offset = zero.astype(np.int64)
    lowest, highest = (low - offset).astype(np.float32), (high - offset).astype(np.float32)
    with np.errstate(all="ignore"):
        ratio = values.astype(np.float32) / scale.astype(np.float32)
    ratio = np.where(ratio > lowest, ratio, lowest)  # NaN becomes the lowest code
    ratio = np.where(ratio < highest, ratio, highest)
    codes: Array = (np.rint(ratio).astype(np.int64) + offset).astype(zero.dtype)
    return codes


def clip_bounds(edit: Edit, clip: Node, *dtypes: Any) -> tuple[np.float32, np.float32] | None:
    """Constant bounds of a float Clip, float32's extremes where absent; None if they are computed.

    dtypes: those that they may have, float32 by default.
    """
    info = np.finfo(np.float32)
    bounds = [np.float32(info.min), np.float32(info.max)]
    for at, key in enumerate(("min", "max")):
        given = clip.attributes.get(key)
        if isinstance(given, int | float):
            bounds[at] = np.float32(given)
        elif clip.input(at + 1):
            const = edit.constant(clip.input(at + 1))
            if const is None or const.dtype not in (dtypes or (np.float32,)) or const.size != 1:
                return None
            bounds[at] = np.float32(const.reshape(-1)[0])
    return bounds[0], bounds[1]
