"""Ten random layers of each kind in one model, each on inputs of its own: the firmware tests' material."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

MS = "com.microsoft"
KINDS = ("conv", "depthwise", "add", "max_pool", "average_pool", "global_average_pool", "concat")


class Layers:
    """Builds the model. Node 'conv_3' is the fourth convolution."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.inputs: dict[str, tuple[int, ...]] = {}
        self.outputs: list[str] = []

    def const(self, value: Any, dtype: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def quant(self, scale: Any = None, zero: int | None = None) -> list[str]:
        scale = self.rng.uniform(0.01, 0.1) if scale is None else scale
        zero = int(self.rng.integers(-60, 61)) if zero is None else zero
        return [self.const(scale, np.float32), self.const(zero, np.int8)]

    def input(self, name: str, *shape: int) -> str:
        self.inputs[name] = shape
        return name

    def node(self, op: str, name: str, inputs: list[str], domain: str = MS, **attributes: Any) -> None:
        self.outputs.append(f"{name}_y")
        self.nodes.append(helper.make_node(op, inputs, [f"{name}_y"], name, domain=domain, **attributes))

    def window(self, size: tuple[int, int], dilated: bool = True) -> dict[str, list[int]]:
        """Kernel, strides, dilations and uneven pads that fit an image."""
        pick = self.rng.integers
        kernel = [int(pick(2, 4)) for _ in size]
        dilations = [int(pick(1, 3)) if dilated else 1 for _ in size]
        pads = [int(pick(0, k)) for k in (*kernel, *kernel)]
        return {
            "kernel_shape": kernel,
            "strides": [int(pick(1, 3)) for _ in size],
            "pads": pads,
            **({"dilations": dilations} if dilated else {}),
        }

    def conv(self, name: str, index: int, depthwise: bool) -> None:
        """Multipliers around 1/250, so that codes spread and saturate; of every third layer powers of two and small
        weights, which meet ties."""
        rng = self.rng
        channels = int(rng.integers(2, 5))
        group = channels if depthwise else 1
        out = channels * int(rng.integers(1, 3)) if depthwise else int(rng.integers(2, 7))
        size = (int(rng.integers(6, 10)), int(rng.integers(6, 10)))
        window = self.window(size)
        x_scale = 0.03125 if index % 3 == 0 else rng.uniform(0.01, 0.1)
        y_scale = 0.0625 if index % 3 == 0 else rng.uniform(0.01, 0.1)
        real = 2.0 ** rng.integers(-7, -4, out) if index % 3 == 0 else rng.uniform(0.5, 2, out) / 150
        w_scale = real * y_scale / x_scale
        reach = 31 if index % 3 == 0 else 127
        weights = rng.integers(-reach, reach + 1, (out, channels // group, *window["kernel_shape"]))
        inputs = [
            self.input(f"{name}_x", 1, channels, *size),
            *self.quant(x_scale),
            self.const(weights, np.int8),
            self.const(w_scale, np.float32),
            self.const(np.zeros(out), np.int8),
            *self.quant(y_scale),
            self.const(rng.integers(-6000, 6001, out), np.int32),
        ]
        self.node("QLinearConv", name, inputs, "", group=group, **window)

    def add(self, name: str, index: int) -> None:
        shape = [int(size) for size in self.rng.integers(2, 6, 4)]
        scales = (0.5, 0.25, 0.5) if index % 3 == 0 else (None, None, None)
        a, b, y = (self.quant(scale) for scale in scales)
        inputs = [self.input(f"{name}_a", *shape), *a, self.input(f"{name}_b", *shape), *b, *y]
        self.node("QLinearAdd", name, inputs)

    def pool(self, name: str, op: str, same: bool) -> None:
        """same: equal scales of input and output, which TFLite's average asks for."""
        rng = self.rng
        size = (int(rng.integers(6, 10)), int(rng.integers(6, 10)))
        x = self.input(f"{name}_x", 1, int(rng.integers(1, 4)), *size)
        if op == "MaxPool":
            self.node(op, name, [x], "", **self.window(size))
            return
        quant = self.quant()
        inputs = [x, *quant, *(quant if same else self.quant())]
        self.node(op, name, inputs, **({} if "Global" in op else self.window(size, dilated=False)))

    def concat(self, name: str) -> None:
        """Two to four inputs, one of which has the output's scale and zero point."""
        rng, axis = self.rng, int(self.rng.integers(1, 4))
        shape, y = [int(size) for size in rng.integers(2, 5, 4)], self.quant()
        inputs = list(y)
        for part in range(int(rng.integers(2, 5))):
            shape[axis] = int(rng.integers(1, 5))
            inputs += [self.input(f"{name}_{part}", *shape), *(y if part == 1 else self.quant())]
        self.node("QLinearConcat", name, inputs, axis=axis)

    def model(self) -> onnx.ModelProto:
        inputs = [helper.make_tensor_value_info(n, TensorProto.INT8, s) for n, s in self.inputs.items()]
        outputs = [helper.make_tensor_value_info(n, TensorProto.INT8, None) for n in self.outputs]
        graph = helper.make_graph(self.nodes, "layers", inputs, outputs, self.constants)
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid(MS, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def ten_of_each(seed: int, same_average: bool) -> onnx.ModelProto:
    net = Layers(seed)
    for index in range(10):
        net.conv(f"conv_{index}", index, depthwise=False)
        net.conv(f"depthwise_{index}", index, depthwise=True)
        net.add(f"add_{index}", index)
        net.pool(f"max_pool_{index}", "MaxPool", same=True)
        net.pool(f"average_pool_{index}", "QLinearAveragePool", same_average)
        net.pool(f"global_average_pool_{index}", "QLinearGlobalAveragePool", same=False)
        net.concat(f"concat_{index}")
    return net.model()


def code_feeds(model: onnx.ModelProto, seed: int) -> Mapping[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shapes = {i.name: [d.dim_value for d in i.type.tensor_type.shape.dim] for i in model.graph.input}
    return {name: rng.integers(-128, 128, shape, dtype=np.int8) for name, shape in shapes.items()}
