"""Quantize a network in the manner of one exporter; each style is a row of STYLES.

Most are ONNX Runtime's quantizer, followed by what another tool writes differently. The manners are those of the files
that the tools make: Brevitas clips codes (QCDQ), PyTorch's eager mode casts them and computes zero points, tf2onnx
transposes around each Conv, ESP-PPQ and Quark round scales to powers of two, ModelOpt quantizes inputs alone.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper, version_converter

from tools.models.exporters.graphs import Rewriter
from tools.models.make_zoo import batches
from tools.models.quantize import Recipe, preprocess, quantize

Style = Callable[[onnx.ModelProto], onnx.ModelProto]

SEED = 1
BLOCK = 16
CLIPPED = (-32, 31)  # codes of 6 bits in 8
TENSOR_PRODUCTS = ("Conv", "Gemm", "MatMul")


# -- ONNX Runtime's quantizer ------------------------------------------------------------------------------------------
def by_recipe(recipe: Recipe) -> Style:
    """Return the style of ONNX Runtime's static quantization by a recipe."""
    return lambda model: quantize(preprocess(model), batches(model, SEED), recipe)


def dynamic(model: onnx.ModelProto) -> onnx.ModelProto:
    """Quantize weights; activations are quantized when the model runs."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory() as folder:
        source, result = Path(folder) / "float.onnx", Path(folder) / "quantized.onnx"
        onnx.save(preprocess(model), source)
        quantize_dynamic(source, result, weight_type=QuantType.QUInt8)  # ConvInteger takes no int8 weights there
        return onnx.load(result)


# -- weights alone -----------------------------------------------------------------------------------------------------
def weight_only(model: onnx.ModelProto) -> onnx.ModelProto:
    """Store weights as int8, with a scale per output channel, and compute in float."""
    made = Rewriter(preprocess(model))
    for node in list(made.graph.node):
        weights = made.constants.get(node.input[1]) if node.op_type in TENSOR_PRODUCTS else None
        if weights is None:
            made.keep(node)
            continue
        axis = _output_axis(node)
        codes, scale = _symmetric(weights, axis, 127)
        inputs = [made.constant(codes), made.constant(scale.reshape(-1))]
        made.keep(node, [node.input[0], made.node("DequantizeLinear", inputs, axis=axis), *node.input[2:]])
    return made.finish()


def blocked_int4(model: onnx.ModelProto) -> onnx.ModelProto:
    """Store the weights of MatMul as int4, in blocks that have a scale each; the last block may be short."""
    made = Rewriter(version_converter.convert_version(preprocess(model), 21))
    for node in list(made.graph.node):
        weights = made.constants.get(node.input[1]) if node.op_type == "MatMul" else None
        if weights is None:
            made.keep(node)
            continue
        inner, outer = weights.shape
        codes, scale = _symmetric(_blocks(weights), (0, 1), 7)
        flat = codes.reshape(outer, -1)[:, :inner].T
        inputs = [made.constant(flat, TensorProto.INT4), made.constant(scale[..., 0].T)]
        known = made.node("DequantizeLinear", inputs, axis=0, block_size=BLOCK)
        made.keep(node, [node.input[0], known])
    return made.finish(opset=21)


def nbits(model: onnx.ModelProto) -> onnx.ModelProto:
    """Use ONNX Runtime's MatMulNBits, with 4 bits a weight."""
    made = Rewriter(preprocess(model))
    for node in list(made.graph.node):
        weights = made.constants.get(node.input[1]) if node.op_type == "MatMul" else None
        if weights is None:
            made.keep(node)
            continue
        inner, outer = weights.shape
        codes, scale = _symmetric(_blocks(weights), (0, 1), 7)
        nibbles = (codes + 8).astype(np.uint8)  # 8 stands for 0
        packed = made.constant(nibbles[..., 0::2] | nibbles[..., 1::2] << 4)
        sizes = {"K": inner, "N": outer, "bits": 4, "block_size": BLOCK}
        inputs = [node.input[0], packed, made.constant(scale.reshape(-1))]
        made.node("MatMulNBits", inputs, node.output[0], "com.microsoft", **sizes)
    return made.finish(microsoft=True)


def _blocks(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the weights (inner, outer) as (outer, blocks, BLOCK), the last block filled up with zeros."""
    inner, outer = weights.shape
    return np.pad(weights, ((0, -inner % BLOCK), (0, 0))).T.reshape(outer, -1, BLOCK)


def _output_axis(node: onnx.NodeProto) -> int:
    """Return the axis of a product's weights that counts outputs."""
    given = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    return 0 if node.op_type == "Conv" or given.get("transB") else 1


def _symmetric(
    values: NDArray[np.float32], kept: int | tuple[int, ...], most: int
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Quantize symmetrically; a scale for each place along the axes that are kept."""
    own = (kept,) if isinstance(kept, int) else kept
    others = tuple(axis for axis in range(values.ndim) if axis not in own)
    scale = (np.abs(values).max(axis=others, keepdims=True) / np.float32(most)).astype(np.float32)
    return np.rint(values / scale).astype(np.int8), scale


# -- what other tools write differently --------------------------------------------------------------------------------
def symmetric(model: onnx.ModelProto) -> onnx.ModelProto:
    """Quantize with zero points of 0 everywhere, Relu and Clip kept."""
    return by_recipe(Recipe(symmetric=True, keep_activations=True))(model)


def powers_of_two(model: onnx.ModelProto) -> onnx.ModelProto:
    """As `symmetric`, with scales that are powers of two."""

    def next_power(scale: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.exp2(np.ceil(np.log2(scale))).astype(np.float32)

    return rescaled(symmetric(model), next_power, next_power)


def clipped_codes(model: onnx.ModelProto) -> onnx.ModelProto:
    """As `symmetric`, with activations of 6 bits, by a Clip after each QuantizeLinear."""
    made = Rewriter(rescaled(symmetric(model), lambda scale: scale * np.float32(4), lambda scale: scale))
    limits = [made.constant(np.array(limit, np.int8)) for limit in CLIPPED]
    for node in list(made.graph.node):
        if node.op_type == "QuantizeLinear":
            made.keep(node, output=f"{node.output[0]}_unclipped")
            made.node("Clip", [f"{node.output[0]}_unclipped", *limits], node.output[0])
        else:
            made.keep(node)
    return made.finish()


Change = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def rescaled(model: onnx.ModelProto, activations: Change, weights: Change) -> onnx.ModelProto:
    """Return a QDQ model with other scales; codes of weights and biases are made again for them."""
    made = Rewriter(model)
    makers = {node.output[0]: node for node in made.graph.node if node.op_type == "DequantizeLinear"}
    changed: dict[str, NDArray[Any]] = {}
    for node in made.graph.node:
        if node.op_type == "QuantizeLinear":
            changed[node.input[1]] = activations(made.constants[node.input[1]])
    for maker in makers.values():
        if maker.input[0] in made.constants and made.constants[maker.input[0]].dtype == np.int8:
            _recode(made, changed, maker, weights(made.constants[maker.input[1]]))
    for node in made.graph.node:
        parts = [makers.get(name) for name in node.input]
        if node.op_type in TENSOR_PRODUCTS and len(parts) == 3 and None not in parts:
            x, w, bias = (part for part in parts if part is not None)
            _recode(made, changed, bias, changed[x.input[1]] * changed[w.input[1]])
    for tensor in made.graph.initializer:
        if tensor.name in changed:
            tensor.CopyFrom(numpy_helper.from_array(changed[tensor.name], tensor.name))
    for node in made.graph.node:
        made.keep(node)
    return made.finish()


def _recode(
    made: Rewriter, changed: dict[str, NDArray[Any]], maker: onnx.NodeProto, scale: NDArray[np.float32]
) -> None:
    """Give constant codes another scale, per tensor or along their DequantizeLinear's axis."""
    codes, old = made.constants[maker.input[0]], made.constants[maker.input[1]]
    ratio = old.astype(np.float64) / scale
    if ratio.ndim:
        axis = next((attribute.i for attribute in maker.attribute if attribute.name == "axis"), 1)
        ratio = ratio.reshape([-1 if at == axis else 1 for at in range(codes.ndim)])
    info = np.iinfo(codes.dtype)
    changed[maker.input[0]] = np.clip(np.rint(codes * ratio), info.min, info.max).astype(codes.dtype)
    changed[maker.input[1]] = scale.astype(np.float32)


def eager(model: onnx.ModelProto) -> onnx.ModelProto:
    """As uint8 activations, with Cast between Q and DQ, and zero points that pass through Identity and Cast."""
    made = Rewriter(by_recipe(Recipe("uint8", per_channel=False))(model))
    zeros: dict[str, str] = {}
    for node in list(made.graph.node):
        zero = node.input[2] if node.op_type in ("QuantizeLinear", "DequantizeLinear") and len(node.input) > 2 else ""
        if zero not in made.constants or made.constants[zero].dtype != np.uint8:
            made.keep(node)
            continue
        if zero not in zeros:
            wide = made.constant(made.constants[zero].astype(np.int64))
            zeros[zero] = made.node("Identity", [made.node("Cast", [wide], to=TensorProto.UINT8)])
        inputs = [node.input[0], node.input[1], zeros[zero]]
        if node.op_type == "DequantizeLinear":
            inputs[0] = made.node("Cast", [node.input[0]], to=TensorProto.UINT8)
        made.keep(node, inputs)
    return made.finish()


def inputs_only(model: onnx.ModelProto) -> onnx.ModelProto:
    """Quantize what products read, int8 and symmetric; weights stay float before their Q, biases stay float."""
    quantized = symmetric(model)
    scales = {node.output[0]: node for node in quantized.graph.node if node.op_type == "QuantizeLinear"}
    made = Rewriter(preprocess(model))
    known = {node.input[0]: node for node in scales.values()}
    zero = made.constant(np.array(0, np.int8))
    for node in list(made.graph.node):
        if node.op_type not in TENSOR_PRODUCTS:
            made.keep(node)
            continue
        inputs = list(node.input)
        for index, name in enumerate(inputs[:2]):
            scale, axis = _scale(quantized, known, made, name, node)
            if scale is not None:
                zeros = zero if axis is None else made.constant(np.zeros(scale.shape, np.int8))
                given = [made.constant(scale), zeros]
                along = {} if axis is None else {"axis": axis}
                codes = made.node("QuantizeLinear", [name, *given], **along)
                inputs[index] = made.node("DequantizeLinear", [codes, *given], **along)
        made.keep(node, inputs)
    return made.finish()


def _scale(
    quantized: onnx.ModelProto, known: Mapping[str, onnx.NodeProto], made: Rewriter, name: str, node: onnx.NodeProto
) -> tuple[NDArray[np.float32] | None, int | None]:
    """Return the scale of a product's input: calibrated, or of the weights themselves, along an axis."""
    if name in made.constants:
        axis = _output_axis(node)
        return _symmetric(made.constants[name], axis, 127)[1].reshape(-1), axis
    if name not in known:
        return None, None
    scales = Rewriter(quantized).constants
    return scales[known[name].input[1]], None


def channels_last(model: onnx.ModelProto) -> onnx.ModelProto:
    """As ONNX Runtime quantizes, with a Transpose before and after each Conv: tensors between are NHWC."""
    made = Rewriter(by_recipe(Recipe("uint8"))(_transposed(preprocess(model))))
    for node in made.graph.node:
        made.keep(node)
    return made.finish()


def _transposed(model: onnx.ModelProto) -> onnx.ModelProto:
    made = Rewriter(model)
    for node in list(made.graph.node):
        if node.op_type != "Conv":
            made.keep(node)
            continue
        last = made.node("Transpose", [node.input[0]], perm=[0, 2, 3, 1])
        first = made.node("Transpose", [last], perm=[0, 3, 1, 2])
        made.keep(node, [first, *node.input[1:]], f"{node.output[0]}_nchw")
        back = made.node("Transpose", [f"{node.output[0]}_nchw"], perm=[0, 2, 3, 1])
        made.node("Transpose", [back], node.output[0], perm=[0, 3, 1, 2])
    return made.finish()


#: How each exporter writes a network.
STYLES: Mapping[str, Style] = {
    "quantizer_qdq": by_recipe(Recipe()),
    "quantizer_qoperator": by_recipe(Recipe("uint8", format="qoperator")),
    "dynamic": dynamic,
    "weight_only": weight_only,
    "blocked_int4": blocked_int4,
    "nbits": nbits,
    "symmetric_relu": symmetric,
    "powers_of_two": powers_of_two,
    "qcdq": clipped_codes,
    "torch_eager": eager,
    "inputs_only": inputs_only,
    "channels_last": channels_last,
    "16_bit": by_recipe(Recipe("uint16")),
    "int4": by_recipe(Recipe("int8", weights="int4")),
}
#: The styles that change the weights of MatMul alone.
OF_MATMUL = ("blocked_int4", "nbits")
