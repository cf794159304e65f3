"""Simulated devices: networks with every operator family, and the engine under another profile as the device."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import helper

import qdqnp
from qdqnp.diagnosis.identify.observations import Observed
from qdqnp.model import Model
from qdqnp.numerics.profile import Profile
from qdqnp.quant import shifted
from tests.networks import Builder

COMPLETE = ("ort", "exact", "tflite", "tflite-single", "cmsis-nn", "cmsis-nn-single", "neural-art-1.1.3")
SIZE = 12


class Net(Builder):
    """Adds what DLA does not have: Gemm, AveragePool, and a global average of odd size."""

    def gemm(self, x: str, inner: int, out: int) -> str:
        flat = self.name("flat")
        self.nodes.append(helper.make_node("Flatten", [x], [flat], name=f"Flatten_{flat}"))
        codes = self.constant("g_codes", self.rng.integers(-127, 128, (out, inner)).astype(np.int8))
        scale = np.float32(1 / np.sqrt(inner) / 73)
        bias_scale = np.float32(self.scale[x] * scale)
        params = [self.constant("g_scale", scale), self.constant("g_zero", np.int8(0))]
        b_params = [self.constant("gb_scale", bias_scale), self.constant("gb_zero", np.int32(0))]
        bias = self.constant("gb_codes", self.rng.integers(-2000, 2000, out).astype(np.int32))
        w, b, y = self.name("gw"), self.name("gb"), self.name("gemm")
        self.nodes.append(helper.make_node("DequantizeLinear", [codes, *params], [w]))
        self.nodes.append(helper.make_node("DequantizeLinear", [bias, *b_params], [b]))
        real = self.quantized(flat, self.channels[x], self.spread[x], like=x)
        self.nodes.append(helper.make_node("Gemm", [real, w, b], [y], name=f"Gemm_{y}", transB=1))
        return self.quantized(y, out, 1.3 * self.spread[x])

    def average_pool(self, x: str, kernel: int, stride: int, pad: int) -> str:
        y = self.name("avg")
        attributes = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [pad] * 4}
        self.nodes.append(helper.make_node("AveragePool", [x], [y], name=f"AveragePool_{y}", **attributes))
        return self.quantized(y, self.channels[x], 0.6 * self.spread[x])

    def global_average(self, x: str) -> str:
        y = self.name("gap")
        self.nodes.append(helper.make_node("GlobalAveragePool", [x], [y], name=f"GlobalAveragePool_{y}"))
        return self.quantized(y, self.channels[x], 0.4 * self.spread[x])


def network(seed: int) -> onnx.ModelProto:
    """Conv, depthwise Conv, Add, Concat, MaxPool, AveragePool, GlobalAveragePool and Gemm, with scales of their own."""
    net = Net(seed)
    x = net.quantized("input", 3, 1.0)
    a = net.conv(x, 8, kernel=3)
    b = net.conv(net.conv(a, 8, kernel=3, group=8), 8)
    c = net.concat(net.add(a, b), b)
    d = net.average_pool(c, 3, 2, 1)
    e = net.add(net.conv(d, 16), net.conv(net.max_pool(c), 16))
    pooled = net.global_average(e)
    return net.model(net.gemm(pooled, 16, 24), [1, 3, SIZE, SIZE])


def feeds(rng: np.random.Generator, count: int) -> list[dict[str, np.ndarray]]:
    return [{"input": rng.standard_normal((1, 3, SIZE, SIZE), dtype=np.float32)} for _ in range(count)]


def observe(model: Model, profile: str | Profile, inputs: Sequence[dict[str, np.ndarray]]) -> list[Observed]:
    """What a device with this arithmetic would send back: the codes of every tensor."""
    runs = []
    for x in inputs:
        trace = model.trace(x, profile=profile)
        codes = {name: array for name, array in trace.items() if array.dtype.kind in "iu"}
        # a lowering that computes int8 codes as uint8 shows them as the file has them
        runs.append(
            Observed(x, {name: shifted(array, model.program().tensors[name].dtype) for name, array in codes.items()})
        )
    return runs


def device(seed: int, profile: str | Profile, count: int = 2) -> tuple[Model, list[Observed]]:
    model = qdqnp.load(network(seed))
    return model, observe(model, profile, feeds(np.random.default_rng(seed + 1), count))
