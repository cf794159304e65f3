"""Random QDQ models: chains with branches, shared and equal parameters, fan-out, graph outputs here and there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st
from onnx import TensorProto

from tests.lowering.models import F, Net

SCALES = (0.05, 0.05, 0.1, 6 / 255, 0.02)
ZEROS = {np.int8: (0, -128, 3), np.uint8: (0, 128, 3), np.int16: (0, 5), np.uint16: (0, 32768)}
KINDS = ((np.int8,), (np.int8,), (np.uint8,), (np.uint8,), (np.int8, np.uint8), (np.int8, np.int16))


class Builder:
    """Grows a net; `pick` makes every decision. `pool` has the float tensors so far, by name, with their shapes."""

    def __init__(self, pick: Callable[[Any], Any]) -> None:
        self.pick = pick
        self.net = Net(opset=pick((13, 17, 17, 21, 22)), seed=pick(range(4)))
        self.kinds = pick(KINDS)
        if self.net.opset < 21:
            self.kinds = tuple(kind for kind in self.kinds if kind != np.int16)
        self.pool: dict[str, tuple[int, ...]] = {}
        self.last = ""

    def build(self) -> Net:
        for _ in range(self.pick((1, 1, 2))):
            self.start()
        for _ in range(self.pick(range(1, 9))):
            self.grow()
        self.finish()
        return self.net

    def start(self) -> None:
        net, shape = self.net, (1, 4, 6, 6)
        way = self.pick(("q", "q", "q", "int", "float"))
        if way == "int":
            scale, zero, kind = self.parameters()
            codes = TensorProto.INT8 if kind == np.int8 else TensorProto.UINT8 if kind == np.uint8 else None
            if codes is not None:
                self.add(net.dq(net.input(shape, codes), scale, zero, kind), shape)
                return
        name = net.input(shape)
        self.add(self.qdq(name) if way != "float" else name, shape)

    def parameters(self) -> tuple[float, int, Any]:
        kind = self.pick(self.kinds)
        return self.pick(SCALES), self.pick(ZEROS[kind]), kind

    def qdq(self, name: str) -> str:
        net, (scale, zero, kind) = self.net, self.parameters()
        codes = net.q(name, scale, zero, kind)
        if self.pick(range(12)) == 0:
            net.output(codes)
        if self.pick(range(6)) == 0:  # a second DQ of the same codes
            self.pool[net.dq(codes, scale, zero, kind)] = self.shape_hint
        return net.dq(codes, scale, zero, kind)

    shape_hint: tuple[int, ...] = (1, 4, 6, 6)

    def add(self, name: str, shape: tuple[int, ...]) -> None:
        self.pool[name] = shape
        self.last = name

    def take(self, rank: int = 4) -> str | None:
        fitting = [name for name, shape in self.pool.items() if len(shape) == rank]
        if not fitting:
            return None
        return self.last if self.last in fitting and self.pick((1, 1, 1, 0)) else str(self.pick(fitting))

    def after(self, name: str, shape: tuple[int, ...]) -> None:
        """What happens to an operator's result: an activation, Q and DQ, being an output, a second Q."""
        net = self.net
        self.shape_hint = shape
        for at in range(self.pick((0, 0, 0, 1, 1, 2))):
            name = self.activation(name, first=at == 0)
        if self.pick(range(12)) == 0:
            net.output(name)
        fate = self.pick(("q", "q", "q", "q", "q", "float", "both", "two"))
        if fate in ("both", "two"):
            self.pool[name if fate == "both" else self.qdq(name)] = shape
        self.add(name if fate == "float" else self.qdq(name), shape)

    def activation(self, name: str, first: bool) -> str:
        net = self.net
        # Of two that Q implies, ONNX Runtime takes out one, then fuses the other with a float Conv: no change in
        # numbers, but in form.
        implied = ("Relu", "Relu", "Clip", "Clip6") if first else ()
        way = self.pick((*implied, "LeakyRelu", "Identity", "Dropout"))
        if way == "Clip":
            return str(net.node("Clip", name, net.const(F(self.pick((0, -20)))), net.const(F(self.pick((6, 40))))))
        if way == "Clip6":
            return str(net.node("Clip", name, "", net.const(F(6))))
        return str(net.node(way, name))

    def grow(self) -> None:
        getattr(self, self.pick(OPS))()

    def finish(self) -> None:
        used = {name for node in self.net.nodes for name in node.input} | set(self.net.outputs)
        free = [name for name in self.pool if name not in used]
        made = {name for node in self.net.nodes for name in node.output}
        self.net.output(*(name for name in free if name in made))
        if not self.net.outputs:
            self.net.output(str(self.net.node("Tanh", next(iter(self.pool)))))

    # -- operators -------------------------------------------------------------------------------------------------
    def weight(self, *shape: int, axis: int) -> str:
        net, way, kind = self.net, self.pick(("q", "q", "axis", "axis", "float", "u8")), np.int8
        if way == "float":
            return net.floats(*shape)
        if way == "u8":
            kind = np.uint8
        if way != "axis":
            return net.weight(*shape, scale=0.01, zero=self.pick((0, 3)), dtype=kind)
        size = shape[axis]
        return net.weight(*shape, scale=np.arange(1, size + 1) / F(100), zero=np.zeros(size), axis=axis)

    def biased(self, size: int) -> list[str]:
        net, way = self.net, self.pick(("", "f", "q", "q"))
        if way == "q":
            scale = self.pick((0.05 * 0.01, 0.1 * 0.01, 0.05 * 0.01 * np.arange(1, size + 1)))
            return [net.dq(net.const(np.arange(size, dtype=np.int32)), scale, None, np.int32, axis=0)]
        return [net.floats(size)] if way else []

    def conv(self) -> None:
        x = self.take()
        if x is None:
            return
        _, c, h, w = self.pool[x]
        k = self.pick((1, 3)) if h > 2 and w > 2 else 1
        pads = [1, 1, 1, 1] if k == 3 else [0, 0, 0, 0]
        y = self.net.node("Conv", x, self.weight(4, c, k, k, axis=0), *self.biased(4), pads=pads)
        self.after(y, (1, 4, h, w))

    def binary(self) -> None:
        x = self.take()
        if x is None:
            return
        shape, op = self.pool[x], self.pick(("Add", "Add", "Mul", "Sub"))
        same = [name for name, other in self.pool.items() if other == shape]
        way = self.pick(("pool", "pool", "pool", "const", "float"))
        if way == "float" and self.made_by(x, "Conv", "MatMul"):
            way = "const"  # float weights would take up the constant
        y = self.pick(same) if way == "pool" else None
        if way == "const":
            y = self.net.weight(1, shape[1], 1, 1, scale=0.05)
        self.after(self.net.node(op, x, y or self.net.floats(1, shape[1], 1, 1)), shape)

    def made_by(self, name: str, *ops: str) -> bool:
        return any(name in node.output and node.op_type in (*ops, "Identity", "Dropout") for node in self.net.nodes)

    def concat(self) -> None:
        x = self.take()
        if x is None:
            return
        n, c, h, w = self.pool[x]
        others = [name for name, s in self.pool.items() if len(s) == 4 and s[2:] == (h, w)]
        chosen = [self.pick(others) for _ in range(self.pick((1, 1, 2)))]
        self.after(self.net.node("Concat", x, *chosen, axis=1), (n, c + sum(self.pool[o][1] for o in chosen), h, w))

    def pool_op(self) -> None:
        x = self.take()
        if x is None or self.pool[x][2] < 2 or self.pool[x][3] < 2:
            return
        n, c, h, w = self.pool[x]
        op = self.pick(("MaxPool", "MaxPool", "AveragePool"))
        self.after(self.net.node(op, x, kernel_shape=[2, 2], strides=[1, 1]), (n, c, h - 1, w - 1))

    def unary(self) -> None:
        x = self.take(self.pick((4, 4, 2)))
        if x is not None:
            hard = ("HardSwish",) if self.net.opset >= 14 else ()
            op = self.pick(("Sigmoid", "LeakyRelu", "Softmax", "Tanh", "HardSigmoid", *hard))
            self.after(self.net.node(op, x), self.pool[x])

    def global_pool(self) -> None:
        x = self.take()
        if x is not None:
            self.after(self.net.node("GlobalAveragePool", x), (*self.pool[x][:2], 1, 1))

    def move(self) -> None:
        x = self.take()
        if x is None:
            return
        net, (n, c, h, w) = self.net, self.pool[x]
        way = self.pick(("slice", "resize", "pad", "flatten", "squeeze", "split", "halves", "gather"))
        if way == "slice" and h > 1:
            at = [net.const(np.array([v], np.int64)) for v in (0, h - 1, 2)]
            self.after(net.node("Slice", x, *at), (n, c, h - 1, w))
        elif way == "resize" and h < 8:
            self.after(
                net.node("Resize", x, "", net.const(np.array([1, 1, 2, 1], F)), mode="nearest"), (n, c, 2 * h, w)
            )
        elif way == "pad":
            sizes = net.const(np.array([0, 0, 1, 0, 0, 0, 0, 1], np.int64))
            self.after(net.node("Pad", x, sizes), (n, c, h + 1, w + 1))
        elif way == "flatten":
            self.after(net.node("Flatten", x), (n, c * h * w))
        elif way == "squeeze":
            axes = net.const(np.array([0], np.int64))
            y = net.node("Squeeze", x, axes)
            self.shape_hint = (c, h, w)
            self.after(net.node("Unsqueeze", self.qdq(y) if self.pick((0, 1)) else y, axes), (n, c, h, w))
        elif way == "split" and c % 2 == 0:
            more = {"num_outputs": 2} if net.opset >= 18 else {}
            for part in net.node("Split", x, outputs=2, axis=1, **more):
                self.after(part, (n, c // 2, h, w))

        elif way == "halves" and c % 2 == 0:
            for start in (0, c // 2):
                bounds = [net.const(np.array([v], np.int64)) for v in (start, start + c // 2, 1)]
                self.after(net.node("Slice", x, *bounds), (n, c // 2, h, w))
        elif way == "gather":
            indices = np.array(self.pick(([0], [c - 1, 0])), np.int64)
            self.after(net.node("Gather", x, net.const(indices), axis=1), (n, indices.size, h, w))

    def matrix(self) -> None:
        x = self.take(2)
        if x is None:
            return self.move()
        net, (n, k) = self.net, self.pool[x]
        if self.pick((0, 1)):
            transposed = self.pick((0, 1))
            shape = (5, k) if transposed else (k, 5)
            weight = self.weight(*shape, axis=0 if transposed else 1)
            return self.after(net.node("Gemm", x, weight, *self.biased(5), transB=transposed), (n, 5))
        y = net.node("MatMul", x, self.weight(k, 5, axis=1))
        if self.pick((0, 1)):
            y = net.node("Add", y, *(self.biased(5) or [net.floats(5)]))
        return self.after(y, (n, 5))


OPS = (
    "conv",
    "conv",
    "conv",
    "binary",
    "binary",
    "concat",
    "pool_op",
    "pool_op",
    "unary",
    "global_pool",
    "move",
    "matrix",
)


@st.composite
def nets(draw: st.DrawFn) -> Net:
    return Builder(lambda options: draw(st.sampled_from(options))).build()
