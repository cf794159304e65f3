"""A small float network and its int8 form, built by hand: Conv, Relu, Conv, Add, GlobalAveragePool, MatMul, Add."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tools.models.make_zoo import batches
from tools.models.quantize import Recipe, preprocess, quantize
from tools.models.zoo_nets import NETWORKS

Array = np.ndarray[Any, Any]
CHANNELS, SIDE, CLASSES = 4, 6, 5


@dataclass
class Built:
    """A network that is being built."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)

    def node(self, op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, inputs, [output], f"{output}_node", **attributes))
        return output

    def const(self, name: str, array: Array) -> str:
        self.constants[name] = array
        return name

    def model(self, y: str = "y") -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes,
            "net",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
            [helper.make_tensor_value_info(y, TensorProto.FLOAT, [1, CLASSES])],
            [numpy_helper.from_array(array, name) for name, array in self.constants.items()],
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def weights() -> dict[str, Array]:
    rng = np.random.default_rng(0)
    shapes = {
        "w1": (CHANNELS, 3, 3, 3),
        "b1": (CHANNELS,),
        "w2": (CHANNELS, CHANNELS, 3, 3),
        "b2": (CHANNELS,),
        "w3": (CHANNELS, CLASSES),
        "b3": (CLASSES,),
    }
    return {name: (rng.standard_normal(shape) * 0.4).astype(np.float32) for name, shape in shapes.items()}


def float_net(rename: Callable[[str], str] = lambda name: name) -> onnx.ModelProto:
    """Return the float network; `rename` gives its tensors other names, but for its input and its output."""
    net, given = Built(), weights()
    name = {key: rename(key) for key in ("c1", "r1", "c2", "a", "g", "f", "m", *given)}
    for key, array in given.items():
        net.const(name[key], array)
    net.node("Conv", ["x", name["w1"], name["b1"]], name["c1"], pads=[1] * 4)
    net.node("Relu", [name["c1"]], name["r1"])
    net.node("Conv", [name["r1"], name["w2"], name["b2"]], name["c2"], pads=[1] * 4)
    net.node("Add", [name["c2"], name["r1"]], name["a"])
    net.node("GlobalAveragePool", [name["a"]], name["g"])
    net.node("Flatten", [name["g"]], name["f"])
    net.node("MatMul", [name["f"], name["w3"]], name["m"])
    net.node("Add", [name["m"], name["b3"]], "y")
    return net.model()


#: Scale and zero point of each quantized tensor; r1 begins at its Relu's 0.
QUANTS = {
    "x": (0.025, 0),
    "r1": (0.03, -128),
    "c2": (0.1, 3),
    "a": (0.1, -30),
    "g": (0.0085, -30),
    "f": (0.0085, -30),
    "y": (0.01, 5),
}


@dataclass
class Quantized(Built):
    """The int8 form, tensor by tensor."""

    quants: dict[str, tuple[float, int]] = field(default_factory=dict)

    def qdq(self, name: str, output: str = "") -> str:
        scale, zero = self.quants[name]
        given = [self.const(f"{name}_scale", np.float32(scale)), self.const(f"{name}_zero", np.int8(zero))]
        self.node("QuantizeLinear", [name if not output else f"{name}_real", *given], f"{name}_q")
        return self.node("DequantizeLinear", [f"{name}_q", *given], output or f"{name}_d")

    def weights(self, name: str, axis: int, scale: Array | None = None) -> tuple[str, Array]:
        array = weights()[name]
        others = tuple(at for at in range(array.ndim) if at != axis)
        scales = np.abs(array).max(axis=others) / 127 if scale is None else scale
        scales = scales.astype(np.float32)
        shape = [-1 if at == axis else 1 for at in range(array.ndim)]
        codes = np.clip(np.rint(array / scales.reshape(shape)), -128, 127).astype(np.int8)
        zeros = np.zeros(scales.shape, np.int8)
        inputs = [
            self.const(f"{name}_codes", codes),
            self.const(f"{name}_scale", scales),
            self.const(f"{name}_zero", zeros),
        ]
        return self.node("DequantizeLinear", inputs, f"{name}_d", axis=axis), scales

    def bias(self, name: str, x: str, scales: Array) -> str:
        scale = (np.float32(self.quants[x][0]) * scales).astype(np.float32)
        codes = np.rint(weights()[name] / scale).astype(np.int32)
        inputs = [self.const(f"{name}_codes", codes), self.const(f"{name}_scale", scale)]
        inputs.append(self.const(f"{name}_zero", np.zeros(scale.shape, np.int32)))
        return self.node("DequantizeLinear", inputs, f"{name}_d", axis=0)


def int8_net(
    rescaled: dict[str, float] | None = None, w1: Array | None = None, kept_relu: bool = False
) -> onnx.ModelProto:
    """Return the int8 network in QDQ form.

    rescaled: by tensor, a factor of its scale.
    w1: the scales of the first weights, by channel, where they are not those of ranges.
    kept_relu: whether the Relu stays behind a quantizer of its own.
    """
    quants = {name: (scale * (rescaled or {}).get(name, 1.0), zero) for name, (scale, zero) in QUANTS.items()}
    quants["c1"] = quants["r1"][0] * (rescaled or {}).get("c1", 1.0), quants["r1"][1]
    net = Quantized(quants=quants)
    x = net.qdq("x")
    weights1, scales1 = net.weights("w1", 0, w1)
    first = "c1" if kept_relu else "r1"
    net.node("Conv", [x, weights1, net.bias("b1", "x", scales1)], first, pads=[1] * 4)
    if kept_relu:
        net.node("Relu", [net.qdq("c1")], "r1")
    r1 = net.qdq("r1")
    weights2, scales2 = net.weights("w2", 0)
    net.node("Conv", [r1, weights2, net.bias("b2", "r1", scales2)], "c2", pads=[1] * 4)
    net.node("Add", [net.qdq("c2"), r1], "a")
    net.node("GlobalAveragePool", [net.qdq("a")], "g")
    net.node("Flatten", [net.qdq("g")], "f")
    weights3, scales3 = net.weights("w3", 1)
    net.node("Gemm", [net.qdq("f"), weights3, net.bias("b3", "f", scales3)], "y_real")
    net.qdq("y", "y")
    return net.model()


def data(count: int = 6, seed: int = 1) -> list[dict[str, Array]]:
    rng = np.random.default_rng(seed)
    return [{"x": np.clip(rng.standard_normal((1, 3, SIDE, SIDE)), -3, 3).astype(np.float32)} for _ in range(count)]


@cache
def zoo(network: str, seed: int = 0, recipe: Recipe = Recipe()) -> tuple[bytes, bytes, tuple[Array, ...]]:  # noqa: B008
    """Return a float network of the zoo, what ONNX Runtime's quantizer makes of it, and what it was calibrated on."""
    model = NETWORKS[network](seed)
    inputs = tuple(batches(model, seed + 1))
    made = quantize(preprocess(model), iter(inputs), recipe)
    return model.SerializeToString(), made.SerializeToString(), inputs
