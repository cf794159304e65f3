"""Small quantized networks of the operators and the wiring of Deep Layer Aggregation, made from a seed.

Scales are chosen so that activations live: each tensor's scale fits the spread that its inputs give it.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class Builder:
    """Writes a QDQ graph as ONNX Runtime's quantizer does: one Q per tensor, one DQ shared by all its consumers."""

    def __init__(self, seed: int, dtype: type = np.int8, per_channel: bool = True) -> None:
        self.rng = np.random.default_rng(seed)
        self.dtype = np.dtype(dtype)
        self.per_channel = per_channel
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}
        self.scale: dict[str, np.float32] = {}
        self.zero: dict[str, int] = {}
        self.spread: dict[str, float] = {}
        self.channels: dict[str, int] = {}
        self.count = 0

    def name(self, base: str) -> str:
        self.count += 1
        return f"{base}_{self.count}"

    def constant(self, base: str, value: np.ndarray) -> str:
        name = self.name(base)
        self.constants[name] = np.asarray(value)
        return name

    def quantized(self, real: str, channels: int, spread: float, like: str | None = None) -> str:
        """Q and DQ after the float tensor `real`; returns the DQ's output. like: reuse that tensor's parameters."""
        low, high = np.iinfo(self.dtype).min, np.iinfo(self.dtype).max
        if like is None:
            scale, zero = np.float32(spread * self.rng.uniform(4, 6) / 255), int(self.rng.integers(low + 90, high - 90))
        else:
            scale, zero = self.scale[like], self.zero[like]
        params = [self.constant("scale", scale), self.constant("zero", np.array(zero, self.dtype))]
        codes, back = f"{real}_q", f"{real}_dq"
        self.nodes.append(helper.make_node("QuantizeLinear", [real, *params], [codes], name=f"Q_{real}"))
        self.nodes.append(helper.make_node("DequantizeLinear", [codes, *params], [back], name=f"DQ_{real}"))
        self.scale[back], self.zero[back] = scale, zero
        self.spread[back], self.channels[back] = spread, channels
        return back

    def conv(self, x: str, out: int, kernel: int = 1, stride: int = 1, group: int = 1) -> str:
        inner = self.channels[x] // group
        weights = self.rng.integers(-127, 128, (out, inner, kernel, kernel)).astype(np.int8)
        spread = 1 / np.sqrt(inner * kernel * kernel)
        scales = (self.rng.uniform(0.5, 2.0, out if self.per_channel else ()) * spread / 73).astype(np.float32)
        bias = self.rng.integers(-2000, 2000, out).astype(np.int32)
        axis = {"axis": 0} if self.per_channel else {}
        w, b = self.name("w"), self.name("b")
        w_params = [self.constant("w_scale", scales), self.constant("w_zero", np.zeros(scales.shape, np.int8))]
        bias_scale = (self.scale[x] * scales).astype(np.float32)
        b_params = [self.constant("b_scale", bias_scale), self.constant("b_zero", np.zeros(scales.shape, np.int32))]
        w_codes, b_codes = self.constant("w_codes", weights), self.constant("b_codes", bias)
        self.nodes.append(helper.make_node("DequantizeLinear", [w_codes, *w_params], [w], **axis))
        self.nodes.append(helper.make_node("DequantizeLinear", [b_codes, *b_params], [b], **axis))
        y, pad = self.name("conv"), kernel // 2
        self.nodes.append(
            helper.make_node(
                "Conv",
                [x, w, b],
                [y],
                name=f"Conv_{y}",
                kernel_shape=[kernel] * 2,
                strides=[stride] * 2,
                pads=[pad] * 4,
                group=group,
            )
        )
        return self.quantized(y, out, 1.3 * self.spread[x])

    def add(self, a: str, b: str) -> str:
        y = self.name("add")
        self.nodes.append(helper.make_node("Add", [a, b], [y], name=f"Add_{y}"))
        return self.quantized(y, self.channels[a], float(np.hypot(self.spread[a], self.spread[b])))

    def concat(self, *parts: str) -> str:
        y = self.name("concat")
        self.nodes.append(helper.make_node("Concat", list(parts), [y], name=f"Concat_{y}", axis=1))
        return self.quantized(y, sum(self.channels[p] for p in parts), max(self.spread[p] for p in parts))

    def max_pool(self, x: str) -> str:
        y = self.name("pool")
        self.nodes.append(
            helper.make_node("MaxPool", [x], [y], name=f"MaxPool_{y}", kernel_shape=[2, 2], strides=[2, 2])
        )
        return self.quantized(y, self.channels[x], self.spread[x], like=x)

    def model(self, y: str, shape: list[int | str]) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes,
            "net",
            [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info(y, TensorProto.FLOAT, None)],
            [numpy_helper.from_array(value, name) for name, value in self.constants.items()],
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def dla(
    seed: int = 0,
    size: int = 16,
    group: int = 1,
    dtype: type = np.int8,
    per_channel: bool = True,
    batch: int | str = 1,
    classes: int = 10,
) -> onnx.ModelProto:
    """A two-level DLA: stem, a tree of two bottleneck blocks with a projected residual and a root over three
    tensors, a downsampled second tree, global pooling, a 1x1 classifier and Flatten. group > 1 is the X variant."""
    net = Builder(seed, dtype, per_channel)
    x = net.quantized("input", 3, 1.0)
    x = net.conv(x, 8, kernel=7)
    x = net.conv(x, 16, kernel=3, stride=2)
    for _ in range(2):
        x = tree(net, x, group)
    pooled = net.name("gap")
    net.nodes.append(helper.make_node("GlobalAveragePool", [x], [pooled], name="GlobalAveragePool"))
    y = net.conv(net.quantized(pooled, net.channels[x], net.spread[x]), classes)
    flat = net.name("flat")
    net.nodes.append(helper.make_node("Flatten", [y], [flat], name="Flatten"))
    return net.model(net.quantized(flat, classes, net.spread[y], like=y), [batch, 3, size, size])


def tree(net: Builder, x: str, group: int) -> str:
    """Two blocks and their root: the first strided with a pooled and projected shortcut, both kept for the root."""
    out = 2 * net.channels[x]
    bottom = net.max_pool(x)
    first = block(net, x, net.conv(bottom, out), out, 2, group)
    second = block(net, first, first, out, 1, group)
    return net.conv(net.concat(second, first, bottom), out)


def block(net: Builder, x: str, shortcut: str, out: int, stride: int, group: int) -> str:
    inner = net.conv(net.conv(x, out // 2), out // 2, kernel=3, stride=stride, group=group)
    return net.add(net.conv(inner, out), shortcut)
