"""Turn a tape of layers and its weights into an ONNX model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from qdqnp.errors import Problems, QdqnpError
from tools.models.checkpoints import Weights
from tools.models.dla import INPUT, NORM_PARTS, OUTPUT, Architecture, ConvShape, Layer, describe, parameter_shapes

OPSET = 17
IR_VERSION = 8  # the version that came with opset 17
EPSILON = 1e-5  # of BatchNormalization: PyTorch's default, with which every DLA was trained

_ATTRIBUTES: dict[str, dict[str, Any]] = {
    "MaxPool": {"kernel_shape": [2, 2], "strides": [2, 2]},
    "Concat": {"axis": 1},
    "Flatten": {"axis": 1},
}


def build_model(
    architecture: Architecture,
    weights: Weights,
    size: tuple[int, int] = (224, 224),
    dynamic_batch: bool = False,
    folded: bool = False,
) -> onnx.ModelProto:
    """Build the float model: input float32 (1 or N, 3, height, width), output float32 (1 or N, classes)."""
    check_size(size)
    classes = len(weights["fc.weight"])
    layers = describe(architecture, classes)
    tensors = fold_norms(layers, weights) if folded else {name: weights[name] for name in parameter_shapes(layers)}
    batch = "N" if dynamic_batch else 1
    graph = helper.make_graph(
        [node for layer in layers for node in layer_nodes(layer, folded)],
        architecture.name,
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [batch, 3, *size])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [batch, classes])],
        [numpy_helper.from_array(tensor, name) for name, tensor in tensors.items()],
    )
    return make_model(graph)


def make_model(graph: onnx.GraphProto) -> onnx.ModelProto:
    """Make a model of opset 17 around `graph`."""
    opsets = [helper.make_operatorsetid("", OPSET)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="qdqnp-build-dla")


def check_size(size: tuple[int, int]) -> None:
    """Raise unless both branches of every level have the same size.

    The convolution of a branch rounds its size up, and the pooling beside it rounds down: level 1 halves the input,
    rounding up, and the result must be divisible by 2 four times.
    """
    problems = Problems()
    for name, length in zip(("height", "width"), size, strict=True):
        if length <= 0 or (length + 1) // 2 % 16:
            problems.add(f"input {name}", "a multiple of 32, or one less", length, "Choose another size.")
    problems.raise_if_any("The network cannot be built for this input size", QdqnpError)


def layer_nodes(layer: Layer, folded: bool = False) -> list[onnx.NodeProto]:
    """Return the ONNX nodes of a layer: one, or Conv and BatchNormalization where they are not folded."""
    if layer.conv is not None:
        return _conv_nodes(layer, layer.conv, folded)
    attributes = _ATTRIBUTES.get(layer.op, {})
    return [helper.make_node(layer.op, layer.inputs, [layer.output], layer.name, **attributes)]


def _conv_nodes(layer: Layer, conv: ConvShape, folded: bool) -> list[onnx.NodeProto]:
    attributes: dict[str, Any] = {
        "kernel_shape": [conv.kernel] * 2,
        "strides": [conv.stride] * 2,
        "pads": [conv.kernel // 2] * 4,
        "dilations": [1, 1],
        "group": conv.groups,
    }
    inputs = [*layer.inputs, f"{layer.name}.weight"]
    if folded or conv.norm is None:
        inputs.append(f"{layer.name}.bias")
        return [helper.make_node("Conv", inputs, [layer.output], layer.name, **attributes)]
    norm_inputs = [layer.name, *(f"{conv.norm}.{part}" for part in NORM_PARTS)]
    return [
        helper.make_node("Conv", inputs, [layer.name], layer.name, **attributes),
        helper.make_node("BatchNormalization", norm_inputs, [layer.output], conv.norm, epsilon=EPSILON),
    ]


def fold_norms(layers: Sequence[Layer], weights: Weights) -> Weights:
    """Return the weights of the network without BatchNormalization: each one is folded into the convolution before it.

    gamma * (conv(x) - mean) / sqrt(variance + epsilon) + beta is a convolution again; its kernel and bias are computed
    in float64 and rounded once.
    """
    folded: Weights = {}
    for layer in layers:
        if layer.conv is None:
            continue
        kernel, bias = f"{layer.name}.weight", f"{layer.name}.bias"
        if layer.conv.norm is None:
            folded |= {kernel: weights[kernel], bias: weights[bias]}
            continue
        norm = [weights[f"{layer.conv.norm}.{part}"].astype(np.float64) for part in NORM_PARTS]
        gamma, beta, mean, variance = norm
        factor = gamma / np.sqrt(variance + EPSILON)
        folded[kernel] = (weights[kernel] * factor[:, None, None, None]).astype(np.float32)
        folded[bias] = (beta - mean * factor).astype(np.float32)
    return folded
