"""Builds QDQ models of one layer, usually with scales that are powers of two: a code's real value is exact then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from qdqnp.quant import Array

OPSET, IR_VERSION = 17, 8


@dataclass
class ModelBuilder:
    """Nodes and constants of one model, named after the probe so that layers of several probes can be told apart."""

    #: The name of the probe.
    name: str
    nodes: list[NodeProto] = field(default_factory=list)
    constants: list[TensorProto] = field(default_factory=list)

    def constant(self, name: str, value: Any) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def quantized(self, real: str, scale: float, zero: int = 0) -> str:
        """Add QuantizeLinear and DequantizeLinear after a float tensor; return the name of the dequantized tensor."""
        parts = [self.constant(f"{real}_scale", np.float32(scale)), self.constant(f"{real}_zero", np.int8(zero))]
        codes, back = f"{real}_q", f"{real}_dq"
        self.nodes.append(helper.make_node("QuantizeLinear", [real, *parts], [codes], name=f"{self.name}_{real}_Q"))
        self.nodes.append(helper.make_node("DequantizeLinear", [codes, *parts], [back], name=f"{self.name}_{real}_DQ"))
        return back

    def dequantized(self, name: str, codes: Array, scale: float) -> str:
        """Add a constant of codes and its DequantizeLinear; return the name of the dequantized tensor."""
        zero = np.zeros((), codes.dtype)
        parts = [self.constant(f"{name}_scale", np.float32(scale)), self.constant(f"{name}_zero", zero)]
        codes_name = self.constant(f"{name}_codes", codes)
        self.nodes.append(
            helper.make_node("DequantizeLinear", [codes_name, *parts], [name], name=f"{self.name}_{name}")
        )
        return name

    def model(self, inputs: Sequence[tuple[str, Sequence[int]]], output: str, shape: Sequence[int]) -> ModelProto:
        infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape)) for name, shape in inputs]
        made = [helper.make_tensor_value_info(output, TensorProto.FLOAT, list(shape))]
        graph = helper.make_graph(self.nodes, self.name, infos, made, self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)


def conv(
    name: str,
    shape: Sequence[int],
    weights: Array,
    scales: tuple[float, float, float],
    zero: int = 0,
    bias: Array | None = None,
) -> ModelProto:
    """Build x -> Conv -> y, without padding.

    shape: the shape of x.
    weights: codes (M, C, kernel ...), int8.
    scales: the scales of x, weights and y.
    zero: y's zero point; that of x is 0.
    bias: int32 codes.
    """
    layer = ModelBuilder(name)
    s_x, s_w, s_y = scales
    operands = [layer.quantized("x", s_x), layer.dequantized("w", weights.astype(np.int8), s_w)]
    if bias is not None:
        operands.append(layer.dequantized("b", bias.astype(np.int32), s_x * s_w))
    kernel = list(weights.shape[2:])
    layer.nodes.append(helper.make_node("Conv", operands, ["y"], name=f"{name}_Conv", kernel_shape=kernel))
    made = [shape[0], weights.shape[0], *(size - k + 1 for size, k in zip(shape[2:], kernel, strict=True))]
    return layer.model([("x", shape)], layer.quantized("y", s_y, zero), made)


def add(name: str, shape: Sequence[int], scales: tuple[float, float, float], zeros: tuple[int, int, int]) -> ModelProto:
    """Build a, b -> Add -> y."""
    layer = ModelBuilder(name)
    operands = [layer.quantized(x, scale, zero) for x, scale, zero in zip("ab", scales, zeros, strict=False)]
    layer.nodes.append(helper.make_node("Add", operands, ["y"], name=f"{name}_Add"))
    return layer.model([("a", shape), ("b", shape)], layer.quantized("y", scales[2], zeros[2]), shape)


def global_average(name: str, shape: Sequence[int], scales: tuple[float, float], zeros: tuple[int, int]) -> ModelProto:
    """Build x -> GlobalAveragePool -> y."""
    return _of_one("GlobalAveragePool", name, shape, [*shape[:2], 1, 1], scales, zeros)


def sigmoid(name: str, shape: Sequence[int], scales: tuple[float, float], zeros: tuple[int, int]) -> ModelProto:
    """Build x -> Sigmoid -> y."""
    return _of_one("Sigmoid", name, shape, shape, scales, zeros)


def _of_one(
    op: str,
    name: str,
    shape: Sequence[int],
    made: Sequence[int],
    scales: tuple[float, float],
    zeros: tuple[int, int],
) -> ModelProto:
    layer = ModelBuilder(name)
    operand = layer.quantized("x", scales[0], zeros[0])
    layer.nodes.append(helper.make_node(op, [operand], ["y"], name=f"{name}_{op}"))
    return layer.model([("x", shape)], layer.quantized("y", scales[1], zeros[1]), made)
