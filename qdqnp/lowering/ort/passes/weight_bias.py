"""Makes float weights and biases between quantized activations integers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qdqnp.graph import Graph, Node
from qdqnp.lowering.base import Log
from qdqnp.lowering.edit import Edit
from qdqnp.lowering.qdq import ACTIVATIONS, DEQUANTIZE, QUANTIZE, is_op, quantize, scalar
from qdqnp.quant import Array, Codes, Float32

NAME = "weight-bias"
F = np.float32


@dataclass(frozen=True)
class Weight:
    """How the weight of a layer is quantized."""

    scale: Array
    #: New constant codes; None where the weight is quantized as found.
    new: Codes | None = None
    zero: Codes | None = None


def weight_bias(graph: Graph, log: Log) -> Graph:
    """Quantize constant float weights and biases of Conv, ConvTranspose and Gemm.

    The input must be a per-tensor DQ, and the output must reach a Q. The weight becomes int8 per tensor, the bias
    becomes int32 with the scale input scale x weight scale. This changes results. ONNX Runtime 1.32,
    core/optimizer/qdq_transformer/weight_bias_quantization.cc (WeightBiasQuantization), whose Q of the weight and bias
    arithmetic constant folding evaluates.
    """
    edit = Edit(graph)
    for node in edit.nodes():
        if not is_op(node, "Conv", "ConvTranspose", "Gemm"):
            continue
        source = edit.producer(node.input(0))
        if source is None or source.op != DEQUANTIZE or not _reaches_q(edit, node):
            continue
        in_scale = scalar(edit, source.input(1))
        if in_scale is not None:
            _quantize(edit, node, in_scale, log)
    return edit.done()


def _reaches_q(edit: Edit, node: Node) -> bool:
    """Tell whether a node reaches a Q through any number of Relu and Clip, each read once.

    Being a graph output as well does not matter.
    """
    while True:
        users = edit.uses(node.outputs[0])
        if len(users) != 1:
            return False
        node = users[0][0]
        if node.op == QUANTIZE:
            return True
        if node.op not in ACTIVATIONS:
            return False


def _quantize(edit: Edit, node: Node, in_scale: Array, log: Log) -> None:
    bias = edit.constant(node.input(2)) if node.input(2) else None
    if node.input(2) and (bias is None or bias.ndim != 1 or bias.dtype != np.float32):
        return
    weight = _weight(edit, node, bias)
    if weight is None or (weight.new is None and bias is None):
        return
    if not np.isfinite(weight.scale).all():
        log.refuse(node, NAME, "its float weight has no finite range")
        return
    label = node.name or node.outputs[0]
    if weight.new is not None:
        assert weight.zero is not None
        node = _add_dq(edit, node, 1, f"{label}_weight", weight.new, weight.scale, weight.zero)
    if bias is not None:
        scale = (in_scale.astype(F).reshape(-1)[0] * weight.scale.astype(F)).astype(F)
        _add_dq(edit, node, 2, f"{label}_bias", bias_codes(bias, scale), scale)


def _weight(edit: Edit, node: Node, bias: Array | None) -> Weight | None:
    dq = edit.producer(node.input(1))
    if dq is None or dq.op != DEQUANTIZE:
        const = edit.constant(node.input(1))
        if const is None or const.dtype != np.float32:
            return None
        made, zero = weight_parameters(const)
        return Weight(made, quantize(const, made, zero), zero)
    scale = edit.constant(dq.input(1))
    if scale is None:
        return None
    if scalar(edit, dq.input(1)) is None and not _fits(edit, node, dq, scale, bias):
        return None
    return Weight(scale)


def _fits(edit: Edit, node: Node, dq: Node, scale: Array, bias: Array | None) -> bool:
    """Tell whether per-channel weight scales belong to the axis of the bias, one each."""
    if bias is None or scale.ndim != 1 or scale.size != bias.size or dq.attributes.get("block_size", 0):
        return False
    rank = len(edit.values[dq.input(0)].shape)
    axis = int(dq.attributes.get("axis", 1))  # type: ignore[arg-type]
    expected = int(node.op == "Gemm" and not node.attributes.get("transB", 0))
    return (axis + rank if axis < 0 else axis) == expected


def weight_parameters(weight: Float32) -> tuple[Float32, Codes]:
    """Return the int8 scale and zero point for all of a float weight's range and zero."""
    low = min(F(weight.min(initial=F(0))), F(0))
    high = max(F(weight.max(initial=F(0))), F(0))
    scale = F(1) if low == high else F(F(high - low) / F(255))
    zero = np.rint(np.clip(F(F(-128) - F(low / scale)), F(-128), F(127)))
    return np.asarray(scale, dtype=F), np.asarray(zero).astype(np.int8)


def bias_codes(bias: Float32, scale: Float32) -> Array:
    """Return the bias as int32 of this scale: halves go to even; out of range as the x86 conversion has it."""
    with np.errstate(all="ignore"):
        ratio = np.rint((bias / scale).astype(F)).astype(np.float64)
    inside = (ratio >= -(2.0**31)) & (ratio < 2.0**31)
    return np.where(inside, ratio, -(2.0**31)).astype(np.int32)


def _add_dq(
    edit: Edit, node: Node, index: int, label: str, codes: Array, scale: Array, zero: Codes | None = None
) -> Node:
    inputs = [edit.add_constant(f"{label}_q", codes), edit.add_constant(f"{label}_scale", scale)]
    if zero is not None:
        inputs.append(edit.add_constant(f"{label}_zp", zero))
    output = edit.fresh(f"{label}_dq", edit.values[node.input(index)])
    attributes = {"axis": 0} if scale.size > 1 else {}
    edit.insert(Node(DEQUANTIZE, "", tuple(inputs), (output,), attributes, origin=node.origins), node)
    return edit.rewire(node, index, output)
