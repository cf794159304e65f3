"""Random layers of every operator that a kernel of CMSIS-NN stands for, each on inputs of its own, in one model."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper

from tests.golden_sets.nets import Layers

KINDS = (
    *("conv", "depthwise", "grouped", "line", "add", "mul", "constant", "concat", "joined", "max_pool", "average_pool"),
    *("global_average_pool", "mean", "gemm", "matmul", "softmax", "clip", "transpose", "flatten", "reshape", "squeeze"),
    *("unsqueeze", "identity", "pad", "requantize"),
)


class EveryLayer(Layers):
    """Adds the kinds that tests.golden_sets.nets does not have."""

    def size(self, least: int = 2, most: int = 6) -> int:
        return int(self.rng.integers(least, most))

    def image(self, name: str) -> tuple[str, list[int]]:
        """An input (N, C, H, W), of one or two images."""
        shape = [self.size(1, 3), self.size(1, 6), self.size(1, 7), self.size(1, 7)]
        return self.input(name, *shape), shape

    def convolution(self, name: str, group: int, inner: int, outer: int, spatial: list[int], images: int) -> None:
        """A convolution of groups of `inner` channels that makes `outer` channels of each."""
        rng, kernel = self.rng, [int(k) for k in self.rng.integers(1, 4, len(spatial))]
        ones, shared = bool(rng.integers(0, 2)), bool(rng.integers(0, 3) == 0)
        out = group * outer
        w_scale = rng.uniform(0.5, 2, () if shared else (out,)) / 150
        inputs = [
            self.input(f"{name}_x", images, group * inner, *spatial),
            *self.quant(1.0, int(rng.choice([-128, 5]))),
            self.const(rng.integers(-127, 128, (out, inner, *kernel)), np.int8),
            self.const(w_scale, np.float32),
            self.const(np.zeros(w_scale.shape), np.int8),
            *self.quant(rng.uniform(0.5, 2), int(rng.choice([-128, 0, 7]))),
        ]
        inputs += [self.const(rng.integers(-6000, 6001, out), np.int32)] if rng.integers(0, 4) else []
        steps = {
            "strides": [int(s) for s in rng.integers(1, 3, len(spatial))],
            "dilations": [1 if ones else int(d) for d in rng.integers(1, 3, len(spatial))],
            "pads": [int(rng.integers(0, k)) for k in (*kernel, *kernel)],
        }
        self.node("QLinearConv", name, inputs, "", group=group, kernel_shape=kernel, **steps)

    def conv_kind(self, name: str, kind: str, index: int) -> None:
        pick = self.size
        spatial = [pick(5, 9)] if kind == "line" else [pick(5, 9), pick(5, 9)]
        images = 2 if index % 5 == 4 else 1
        if kind == "depthwise":
            self.convolution(name, pick(2, 20), 1, 1 if index % 2 else pick(1, 5), spatial, images)
        else:
            group = pick(2, 4) if kind == "grouped" else 1
            self.convolution(name, group, pick(2 if kind == "grouped" else 1, 9), pick(1, 9), spatial, images)

    def pair(self, name: str, op: str, constant: bool) -> None:
        x, shape = self.image(f"{name}_a")
        first, second, y = self.quant(), self.quant(), self.quant()
        if constant:
            value = self.rng.integers(-128, 128, [1, shape[1], 1, 1] if self.size() % 2 else [])
            other = self.const(value, np.int8)
        else:
            other = self.input(f"{name}_b", *shape)
        operands = [x, *first, other, *second]
        self.node(op, name, [*operands, *y] if self.size() % 2 or not constant else [*operands[3:], *operands[:3], *y])

    def joined(self, name: str) -> None:
        """A Concat of codes."""
        rank, parts = self.size(1, 5), []
        axis, shape = int(self.rng.integers(0, rank)), [int(s) for s in self.rng.integers(1, 5, rank)]
        for part in range(3):
            shape[axis] = self.size(1, 4)
            parts.append(self.input(f"{name}_{part}", *shape))
        self.node("Concat", name, parts, "", axis=axis)

    def product(self, name: str, op: str) -> None:
        rng, depth, outputs = self.rng, self.size(1, 40), self.size(1, 12)
        turned, per_channel = op == "QGemm" and bool(rng.integers(0, 2)), bool(rng.integers(0, 2))
        before = [self.size(1, 4) for _ in range(1 if op == "QGemm" else self.size(1, 4))]
        w_scale = rng.uniform(0.5, 2, outputs if per_channel else ()) / 100
        zero = 0 if per_channel else int(rng.choice([0, 3]))
        inputs = [
            self.input(f"{name}_x", *before, depth),
            *self.quant(1.0, int(rng.choice([-128, 5, 0]))),
            self.const(rng.integers(-127, 128, (outputs, depth) if turned else (depth, outputs)), np.int8),
            self.const(w_scale, np.float32),
            self.const(np.full(w_scale.shape, zero), np.int8),
        ]
        y = self.quant(rng.uniform(0.5, 2), int(rng.choice([-128, 0, 7])))
        if op == "QLinearMatMul":
            self.node(op, name, [*inputs, *y], "")
            return
        bias = self.const(rng.integers(-6000, 6001, outputs), np.int32) if rng.integers(0, 3) else ""
        self.node(op, name, [*inputs, bias, *y], transB=int(turned))

    def moved(self, name: str, kind: str) -> None:
        """One of the layers that only move codes."""
        rng = self.rng
        if kind == "transpose":
            shape = [int(s) for s in rng.integers(1, 6, self.size(2, 5))]
            x = self.input(f"{name}_x", *shape)
            self.node("Transpose", name, [x], "", perm=[int(a) for a in rng.permutation(len(shape))])
            return
        x, shape = self.image(f"{name}_x")
        if kind == "flatten":
            self.node("Flatten", name, [x], "", axis=int(rng.integers(0, 4)))
        elif kind == "reshape":
            sizes = [[shape[0], -1], [shape[0], -1, shape[3]], [shape[1], shape[0], -1, 1], [-1]][
                int(rng.integers(0, 4))
            ]
            self.node("Reshape", name, [x, self.const(sizes, np.int64)], "")
        elif kind == "squeeze":
            one = self.input(f"{name}_one", *(shape[:2]), 1, shape[3])
            del self.inputs[x]
            self.node("Squeeze", name, [one, self.const([2], np.int64)], "")
        elif kind == "unsqueeze":
            flat = self.input(f"{name}_flat", *shape[:3])
            del self.inputs[x]
            self.node("Unsqueeze", name, [flat, self.const([int(rng.integers(0, 4))], np.int64)], "")
        elif kind == "identity":
            self.node("Identity", name, [x], "")
        elif kind == "pad":
            sizes = rng.integers(0, 3, 8)
            self.node(
                "Pad", name, [x, self.const(sizes, np.int64), self.const(int(rng.integers(-128, 128)), np.int8)], ""
            )
        else:
            low = int(rng.integers(-128, 0))
            limits = [self.const(low, np.int8), self.const(low + self.size(1, 100), np.int8)]
            self.node("Clip", name, [x, *limits], "")

    def requantize(self, name: str) -> None:
        """Codes of one scale as codes of another: a DequantizeLinear and the QuantizeLinear behind it."""
        x, _ = self.image(f"{name}_x")
        real = helper.make_node("DequantizeLinear", [x, *self.quant()], [f"{name}_real"], f"{name}_dq")
        self.nodes.append(real)
        self.node("QuantizeLinear", name, [f"{name}_real", *self.quant()], "")

    def softmax(self, name: str) -> None:
        x, _ = self.image(f"{name}_x")
        inputs = [x, *self.quant(self.rng.uniform(0.01, 0.2)), *self.quant(1 / 256, -128)]
        opset = int(self.rng.choice([12, 13]))
        self.node("QLinearSoftmax", name, inputs, axis=int(self.rng.integers(0, 4)), opset=opset)

    def kind(self, kind: str, index: int) -> None:
        name = f"{kind}_{index}"
        if kind in ("conv", "depthwise", "grouped", "line"):
            self.conv_kind(name, kind, index)
        elif kind in ("add", "mul", "constant"):
            op = "QLinearMul" if kind == "mul" or (kind == "constant" and index % 2) else "QLinearAdd"
            self.pair(name, op, kind == "constant")
        elif kind == "concat":
            self.concat(name)
        elif kind == "joined":
            self.joined(name)
        elif kind == "max_pool":
            self.largest(name)
        elif kind == "average_pool":
            self.pool(name, "QLinearAveragePool", same=True)
        elif kind in ("global_average_pool", "mean"):
            self.pool(name, "QLinearGlobalAveragePool", same=kind != "mean")
        elif kind in ("gemm", "matmul"):
            self.product(name, "QGemm" if kind == "gemm" else "QLinearMatMul")
        elif kind in ("softmax", "requantize"):
            getattr(self, kind)(name)
        else:
            self.moved(name, kind)

    def largest(self, name: str) -> None:
        size = (self.size(6, 10), self.size(6, 10))
        x = self.input(f"{name}_x", 1, self.size(1, 20), *size)
        ceil = int(self.rng.integers(0, 2))
        self.node("MaxPool", name, [x], "", ceil_mode=ceil, **self.window(size, dilated=False))


def every_layer(seed: int, each: int = 6, kinds: tuple[str, ...] = KINDS) -> onnx.ModelProto:
    net = EveryLayer(seed)
    for index in range(each):
        for kind in kinds:
            net.kind(kind, index)
    return net.model()
