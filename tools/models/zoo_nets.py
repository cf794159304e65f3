"""Build three small float networks whose operators, together, are those of today's int8 vision models.

residual   depthwise convolutions, squeeze-and-excite with Sigmoid and HardSigmoid, residual Add, strides (MobileNetV3)
shuffle    Split, Slice, branches, Concat, channel shuffle, pooling, a symbolic batch (ShuffleNetV2)
mlp        Gemm, MatMul with Add, MatMul alone, a residual Add and a gate, Softmax; four rows at a time

Weights are drawn from a seed, with the variance that keeps activations alive from layer to layer (He et al., 2015).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from tools.models.dla import INPUT, OUTPUT
from tools.models.dla_onnx import make_model

CLASSES = 10
IMAGE = (3, 32, 32)
FEATURES = 48
ROWS = 4


class Net:
    """Collects nodes and seeded weights; every method returns the name of the tensor that it makes."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.channels: dict[str, int] = {INPUT: IMAGE[0]}

    def node(self, op: str, *inputs: str, channels: int | None = None, outputs: int = 1, **attributes: Any) -> str:
        """Append a node. Its first output is as wide as its first input unless `channels` says otherwise."""
        name = f"{op.lower()}_{len(self.nodes)}"
        names = [name, *(f"{name}_{part}" for part in range(1, outputs))]
        self.nodes.append(helper.make_node(op, inputs, names, name, **attributes))
        for each in names:
            self.channels[each] = self.channels[inputs[0]] if channels is None else channels
        return name

    def constant(self, values: NDArray[Any]) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(values, name))
        return name

    def ints(self, *values: int) -> str:
        return self.constant(np.array(values, np.int64))

    def weights(self, *shape: int, fan_in: float) -> str:
        return self.constant((self.rng.standard_normal(shape) * np.sqrt(2 / fan_in)).astype(np.float32))

    def bias(self, size: int) -> str:
        return self.constant((self.rng.standard_normal(size) * 0.2).astype(np.float32))

    def conv(self, x: str, out: int, kernel: int = 1, stride: int = 1, group: int = 1, gain: float = 1) -> str:
        """Append a convolution that keeps a square picture's size but for the stride. gain: what its weights are
        multiplied with."""
        inner = self.channels[x] // group
        weights = self.weights(out, inner, kernel, kernel, fan_in=inner * kernel * kernel / gain**2)
        return self.node(
            "Conv",
            x,
            weights,
            self.bias(out),
            channels=out,
            kernel_shape=[kernel] * 2,
            strides=[stride] * 2,
            pads=[kernel // 2] * 4,
            group=group,
        )

    def depthwise(self, x: str, kernel: int = 3, stride: int = 1) -> str:
        return self.conv(x, self.channels[x], kernel, stride, group=self.channels[x])

    def relu(self, x: str) -> str:
        return self.node("Relu", x)

    def relu6(self, x: str) -> str:
        limits = (self.constant(np.array(limit, np.float32)) for limit in (0, 6))
        return self.node("Clip", x, *limits)

    def gemm(self, x: str, out: int, **attributes: Any) -> str:
        fan_in = self.channels[x]
        shape = (out, fan_in) if attributes.get("transB") else (fan_in, out)
        return self.node("Gemm", x, self.weights(*shape, fan_in=fan_in), self.bias(out), channels=out, **attributes)

    def matmul(self, x: str, out: int) -> str:
        return self.node("MatMul", x, self.weights(self.channels[x], out, fan_in=self.channels[x]), channels=out)

    def model(self, name: str, y: str, shape: tuple[int | str, ...]) -> onnx.ModelProto:
        self.nodes[-1].output[0] = OUTPUT
        return make_model(
            helper.make_graph(
                self.nodes,
                name,
                [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, shape)],
                [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, (shape[0], self.channels[y]))],
                self.constants,
            )
        )


def squeeze_excite(net: Net, x: str, gate: str) -> str:
    """Multiply x by a gate per channel, computed from its global averages."""
    channels = net.channels[x]
    squeezed = net.relu(net.conv(net.node("GlobalAveragePool", x), channels // 4))
    return net.node("Mul", x, net.node(gate, net.conv(squeezed, channels)))


def residual(seed: int = 0) -> onnx.ModelProto:
    """Build inverted residual blocks with squeeze-and-excite."""
    net = Net(seed)
    x = net.relu(net.conv(INPUT, 16, kernel=3, stride=2))
    for gate, activation in (("Sigmoid", Net.relu6), ("HardSigmoid", Net.relu)):
        y = activation(net, net.conv(x, 32))
        y = squeeze_excite(net, activation(net, net.depthwise(y)), gate)
        x = net.node("Add", net.conv(y, 16), x)
    y = net.node("HardSwish", net.conv(x, 48))
    y = net.node("LeakyRelu", net.depthwise(y, kernel=5, stride=2), alpha=0.1)
    x = net.relu(net.node("Add", net.conv(y, 24), net.conv(x, 24, stride=2)))
    pooled = net.node("Flatten", net.node("GlobalAveragePool", net.relu(net.conv(x, 40))))
    return net.model("residual", net.gemm(pooled, CLASSES, transB=1), (1, *IMAGE))


def channel_shuffle(net: Net, x: str, side: int) -> str:
    """Interleave the channels of two groups."""
    channels = net.channels[x]
    grouped = net.node("Reshape", x, net.ints(0, 2, channels // 2, side, side))
    return net.node("Reshape", net.node("Transpose", grouped, perm=[0, 2, 1, 3, 4]), net.ints(0, channels, side, side))


def branch(net: Net, x: str, out: int, stride: int = 1) -> str:
    y = net.depthwise(net.relu(net.conv(x, out)), stride=stride)
    return net.relu(net.conv(y, out))


def halves(net: Net, x: str, by: str) -> tuple[str, str]:
    """Return the two halves of the channels: by Split, or by two Slices."""
    half = net.channels[x] // 2
    if by == "Split":
        first = net.node("Split", x, net.ints(half, half), channels=half, outputs=2, axis=1)
        return first, f"{first}_1"
    axis, limit = net.ints(1), np.iinfo(np.int64).max
    first = net.node("Slice", x, net.ints(0), net.ints(half), axis, channels=half)
    return first, net.node("Slice", x, net.ints(-half), net.ints(limit), axis, net.ints(1), channels=half)


def shuffle(seed: int = 0) -> onnx.ModelProto:
    """Build a network that splits, transforms one half, joins and shuffles; the batch is symbolic."""
    net = Net(seed)
    x = net.relu(net.conv(INPUT, 16, kernel=3))
    x = net.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    for by in ("Split", "Slice"):
        kept, changed = halves(net, x, by)
        x = net.node("Concat", kept, branch(net, changed, 8), channels=16, axis=1)
        x = channel_shuffle(net, x, 16)
    smaller = net.node("AveragePool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    x = net.node("Concat", smaller, branch(net, x, 16, stride=2), channels=32, axis=1)
    x = channel_shuffle(net, x, 8)
    x = net.node("AveragePool", net.relu(net.conv(x, 24)), kernel_shape=[8, 8])
    y = net.gemm(net.node("Flatten", x), CLASSES)
    return net.model("shuffle", y, ("N", *IMAGE))


def mlp(seed: int = 0) -> onnx.ModelProto:
    """Build matrix products in every spelling, a gate, and Softmax at the end."""
    net = Net(seed)
    net.channels[INPUT] = FEATURES
    x = net.relu(net.gemm(INPUT, 32, transB=1))
    y = net.relu(net.node("Add", net.matmul(x, 32), net.bias(32)))
    y = net.node("Mul", y, net.node("Sigmoid", net.matmul(y, 32)))
    x = net.node("Add", x, y)
    x = net.node("LeakyRelu", net.gemm(x, 24), alpha=0.2)
    return net.model("mlp", net.node("Softmax", net.matmul(x, CLASSES), axis=-1), (ROWS, FEATURES))


NETWORKS: Mapping[str, Callable[[int], onnx.ModelProto]] = {"residual": residual, "shuffle": shuffle, "mlp": mlp}
