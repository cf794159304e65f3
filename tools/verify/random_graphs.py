"""Random graphs of all supported operators, compared with ONNX Runtime: every output, bit for bit, and the operators of
its optimized graph with those of ours. What differs is shrunk.

    python -m tools.verify.random_graphs --count 20000 --profile ort
    python -m tools.verify.random_graphs --count 2000 --without transposes     what the graphs find without a pass
    python -m tools.verify.random_graphs --seed 4711                          one graph again, shrunk and printed

A graph is a list of genes. Each gene takes tensors from those made so far and makes one, so that any subset of the
genes is a graph too: shrinking leaves genes out while the difference stays.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import qdqnp
from qdqnp.errors import PeerError, QdqnpError
from qdqnp.graph import Graph
from qdqnp.lowering import LOWERINGS, Lowering
from qdqnp.lowering.base import Log
from qdqnp.lowering.ort.levels import optimized
from qdqnp.lowering.ort.passes.quick_gelu import DOUBT as QUICK_GELU
from qdqnp.peers.ort.session import KINDS, open_session, run_session

F = np.float32
SCALES = (0.05, 0.05, 0.1, 6 / 255, 0.02, 1 / 128)
CODES = (np.int8, np.int8, np.uint8)
SHAPES = ((1, 4, 6, 6), (1, 8, 4, 4), (1, 6, 6, 4), (2, 5, 8), (4, 6), (1, 3, 8))
FEEDS = 3


@dataclass(frozen=True)
class Gene:
    """One step in the making of a graph."""

    #: Name of the method of `Maker` that makes it.
    kind: str
    #: Seed of all its choices.
    seed: int


@dataclass(frozen=True)
class Genome:
    """A whole graph."""

    #: Seed of the opset and the inputs.
    seed: int
    #: The steps, in order.
    genes: tuple[Gene, ...]


def genome(seed: int) -> Genome:
    rng = np.random.default_rng(seed)
    theme = rng.choice(["all", "transposes", "constants", "matrices"])
    kinds = THEMES[str(theme)]
    count = int(rng.integers(2, 12))
    return Genome(seed, tuple(Gene(str(rng.choice(kinds)), int(rng.integers(2**31))) for _ in range(count)))


class Maker:
    """Grows a model."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed + 1)
        self.opset = int(self.rng.choice([11, 13, 17, 18, 21]))
        self.kind = CODES[int(self.rng.integers(len(CODES)))]
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[str] = []
        #: Float tensors by name, with their shapes.
        self.pool: dict[str, tuple[int, ...]] = {}
        self.count = 0
        for _ in range(int(self.rng.choice([1, 1, 2]))):
            self.start()

    # -- parts -----------------------------------------------------------------------------------------------------
    def pick(self, options: Sequence[Any]) -> Any:
        return options[int(self.rng.integers(len(options)))]

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def const(self, array: Any) -> str:
        self.count += 1
        self.constants.append(numpy_helper.from_array(np.asarray(array), f"c{self.count}"))
        return f"c{self.count}"

    def ints(self, *numbers: int) -> str:
        return self.const(np.array(numbers, np.int64))

    def node(self, op: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        self.count += 1
        names = [f"{op.lower()}{self.count}_{at}" for at in range(outputs)]
        self.nodes.append(helper.make_node(op, list(inputs), names, f"n{self.count}", **attributes))
        return names[0] if outputs == 1 else names

    def floats(self, *shape: int, spread: float = 1.0) -> Any:
        return (self.rng.standard_normal(shape) * spread).astype(F)

    def parameters(self, kind: Any) -> tuple[str, str]:
        zeros = (0, -128, 3) if kind == np.int8 else (128, 0, 131)
        return self.const(F(self.pick(SCALES))), self.const(kind(self.pick(zeros)))

    def qdq(self, name: str, parameters: tuple[str, str] | None = None) -> str:
        parameters = parameters or self.parameters(self.kind)
        codes = self.node("QuantizeLinear", name, *parameters)
        return str(self.node("DequantizeLinear", codes, *parameters))

    def start(self) -> None:
        shape = self.pick(SHAPES)
        name = f"in{len(self.inputs)}"
        self.inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        self.pool[self.qdq(name) if self.chance(0.75) else name] = shape

    def take(self, *ranks: int) -> tuple[str, tuple[int, ...]] | None:
        fitting = [name for name, shape in self.pool.items() if not ranks or len(shape) in ranks]
        if not fitting:
            return None
        name = fitting[-1] if self.chance(0.7) else self.pick(fitting)
        return name, self.pool[name]

    def give(self, name: str, *shape: int) -> None:
        """Add a result to the pool, perhaps behind an activation or Q and DQ, and perhaps make it an output."""
        if self.chance(0.12):
            name = str(self.node(self.pick(("Relu", "LeakyRelu", "Sigmoid", "Identity")), name))
        if self.chance(0.06):
            self.outputs.append(name)
        if self.chance(0.6):
            name = self.qdq(name)
            if self.chance(0.15):
                name = self.qdq(name)
        self.pool[name] = shape

    def computed(self, array: Any) -> str:
        """Make a constant, as it is or computed from constants."""
        way = self.pick(("", "", "Mul", "Div", "Sub", "Add", "Neg", "Clip", "Transpose", "Expand", "Relu", "Reshape"))
        name = self.const(array)
        if way in ("Mul", "Div", "Sub", "Add"):
            return str(self.node(way, name, self.const(self.pick((F(0.5), F(1.5), F(3), self.floats(1) + F(3))))))
        if way in ("Neg", "Relu"):
            return str(self.node(way, name))
        if way == "Clip":
            return str(self.node("Clip", name, self.const(F(-0.7)), self.const(F(0.9))))
        if way == "Transpose":
            order = self.rng.permutation(array.ndim)
            turned = self.const(np.ascontiguousarray(array.transpose(order)))
            return str(self.node("Transpose", turned, perm=np.argsort(order).tolist()))
        if way == "Expand" and array.ndim:
            return str(self.node("Expand", self.const(array[:1]), self.ints(*array.shape)))
        if way == "Reshape":
            return str(self.node("Reshape", self.const(array.reshape(-1)), self.ints(*array.shape)))
        return name

    def weight(self, *shape: int, axis: int = 0) -> str:
        way = self.pick(("q", "q", "axis", "float", "computed", "qdq"))
        if way in ("q", "axis"):
            codes = self.const(self.rng.integers(-127, 128, shape).astype(np.int8))
            if way == "axis" and self.opset >= 13:
                size = shape[axis]
                scale = self.const((np.arange(1, size + 1) / 400).astype(F))
                zero = self.const(np.zeros(size, np.int8))
                return str(self.node("DequantizeLinear", codes, scale, zero, axis=axis))
            return str(self.node("DequantizeLinear", codes, self.const(F(0.01)), self.const(np.int8(0))))
        values = self.floats(*shape, spread=0.5)
        if way == "qdq":
            return self.qdq(self.computed(values), (self.const(F(0.01)), self.const(np.int8(0))))
        return self.computed(values) if way == "computed" else self.const(values)

    def bias(self, size: int) -> list[str]:
        return [self.computed(self.floats(size))] if self.chance(0.5) else []

    # -- operators -------------------------------------------------------------------------------------------------
    def conv(self) -> None:
        if (found := self.take(4)) is None:
            return
        x, (n, c, h, w) = found
        k = 3 if self.chance(0.4) and min(h, w) > 2 else 1
        out = self.pick((4, 8))
        pad = k // 2
        y = self.node("Conv", x, self.weight(out, c, k, k), *self.bias(out), pads=[pad] * 4)
        if self.chance(0.15):
            y = self.node(self.pick(("Mul", "Add")), y, self.const(self.floats(out, 1, 1)))
        if self.chance(0.1):
            parts = (self.floats(out) ** 2 + F(0.5), self.floats(out), self.floats(out), self.floats(out) ** 2 + F(0.5))
            y = self.node("BatchNormalization", y, *map(self.const, parts))
        self.give(y, n, out, h, w)

    def binary(self) -> None:
        if (found := self.take()) is None:
            return
        x, shape = found
        op = self.pick(("Add", "Add", "Mul", "Sub", "Div"))
        same = [name for name, other in self.pool.items() if other == shape]
        way = self.pick(("pool", "pool", "const", "weight", "broadcast", "lower"))
        if op == "Div" or way == "const":
            other = self.computed(np.abs(self.floats(*shape)) + F(0.5))
        elif way == "weight":
            other = self.weight(*shape)
        elif way == "broadcast":
            other = self.computed(self.floats(*(s if self.chance(0.5) else 1 for s in shape)))
        elif way == "lower":
            other = self.pick((self.const(F(0.5)), self.const(F(1)), self.computed(self.floats(shape[-1]))))
        else:
            other = self.pick(same)
        pair = (x, other) if op == "Div" or self.chance(0.7) else (other, x)
        self.give(self.node(op, *pair), *shape)

    def activation(self) -> None:
        if (found := self.take()) is None:
            return
        x, shape = found
        way = self.pick(("Relu", "Clip", "LeakyRelu", "Sigmoid", "HardSigmoid", "HardSwish", "Neg", "Identity"))
        if way == "HardSwish" and self.opset < 14:
            way = "Relu"
        more = [self.const(F(self.pick((0, -1)))), self.const(F(self.pick((6, 1))))] if way == "Clip" else []
        self.give(self.node(way, x, *more), *shape)

    def silu(self) -> None:
        if (found := self.take()) is None:
            return
        x, shape = found
        if self.chance(0.6):
            x = str(self.node("Add", x, self.const(F(0.25))))
        scaled = self.node("Mul", x, self.const(F(1.702))) if self.chance(0.3) else x
        self.give(self.node("Mul", x, self.node("Sigmoid", scaled)), *shape)

    def reciprocal(self) -> None:
        if (found := self.take()) is None:
            return
        x, shape = found
        other = self.pick([name for name, size in self.pool.items() if size == shape])
        below = self.node("Add", self.node("Relu", other), self.const(F(0.5)))
        inverse = self.node("Div", self.const(F(1)), below)
        self.give(self.node("Mul", *((inverse, x) if self.chance(0.5) else (x, inverse))), *shape)

    def transpose(self) -> None:
        if (found := self.take()) is None:
            return
        x, shape = found
        orders = {4: ((0, 2, 3, 1), (0, 3, 1, 2), (0, 1, 3, 2)), 3: ((0, 2, 1), (2, 0, 1), (1, 0, 2)), 2: ((1, 0),)}
        order = self.pick(orders.get(len(shape), (tuple(self.rng.permutation(len(shape)).tolist()),)))
        y, made = self.node("Transpose", x, perm=list(order)), tuple(shape[axis] for axis in order)
        if self.chance(0.3):
            self.pool[y] = made
        else:
            self.give(y, *made)

    def sandwich(self) -> None:
        """Put an operator between two Transposes that cancel."""
        before = set(self.pool)
        self.transpose()
        made = [name for name in self.pool if name not in before]
        if not made:
            return
        for _ in range(int(self.rng.integers(0, 3))):
            getattr(self, self.pick(("binary", "activation", "pad", "slice", "concat", "reduce")))()
        name = list(self.pool)[-1]
        order = {4: [0, 3, 1, 2], 3: [0, 2, 1], 2: [1, 0]}.get(len(self.pool[name]))
        if order is not None:
            shape = self.pool[name]
            self.give(self.node("Transpose", name, perm=order), *(shape[axis] for axis in order))

    def squeeze(self) -> None:
        if (found := self.take()) is None:
            return
        x, shape = found
        if 1 in shape and self.chance(0.6) and len(shape) > 1:
            axes = [shape.index(1)]
            made = tuple(size for at, size in enumerate(shape) if at not in axes)
            self.give(self.axes_node("Squeeze", x, axes), *made)
        elif len(shape) < 5:
            axis = int(self.rng.integers(0, len(shape) + 1))
            self.give(self.axes_node("Unsqueeze", x, [axis]), *shape[:axis], 1, *shape[axis:])

    def axes_node(self, op: str, x: str, axes: list[int]) -> str:
        return str(self.node(op, x, self.ints(*axes)) if self.opset >= 13 else self.node(op, x, axes=axes))

    def reshape(self) -> None:
        if (found := self.take()) is None:
            return
        x, shape = found
        size = int(np.prod(shape))
        options = [(size // 4, 4), (1, size), (2, size // 2), (1, 4, size // 4), (1, 2, size // 4, 2), shape[::-1]]
        made = self.pick([option for option in options if int(np.prod(option)) == size])
        if self.chance(0.2):
            x = str(self.node("Reshape", x, self.ints(-1)))
        self.give(self.node("Reshape", x, self.ints(*made)), *made)

    def flatten(self) -> None:
        if (found := self.take()) is not None:
            x, shape = found
            axis = int(self.rng.integers(0, len(shape) + 1))
            self.give(self.node("Flatten", x, axis=axis), int(np.prod(shape[:axis])), int(np.prod(shape[axis:])))

    def concat(self) -> None:
        if (found := self.take()) is None:
            return
        x, shape = found
        same = [name for name, other in self.pool.items() if other == shape]
        others = [self.pick(same) if self.chance(0.8) else self.weight(*shape) for _ in range(self.pick((1, 1, 2)))]
        axis = int(self.rng.integers(0, len(shape)))
        made = (*shape[:axis], shape[axis] * (len(others) + 1), *shape[axis + 1 :])
        if int(np.prod(made)) < 4096:
            self.give(self.node("Concat", x, *others, axis=axis), *made)

    def split(self) -> None:
        if (found := self.take()) is None:
            return
        x, shape = found
        axes = [at for at, size in enumerate(shape) if size > 1]
        if not axes:
            return
        axis = self.pick(axes)
        first = int(self.rng.integers(1, shape[axis]))
        sizes = [first, shape[axis] - first]
        if self.opset >= 13:
            made = self.node("Split", x, self.ints(*sizes), outputs=2, axis=axis)
        else:
            made = self.node("Split", x, outputs=2, axis=axis, split=sizes)
        for name, size in zip(made, sizes, strict=True):
            self.give(name, *shape[:axis], size, *shape[axis + 1 :])

    def slice(self) -> None:
        if (found := self.take()) is None:
            return
        x, shape = found
        axis = int(self.rng.integers(0, len(shape)))
        start = int(self.rng.integers(0, shape[axis]))
        end = int(self.rng.integers(start + 1, shape[axis] + 1))
        whole = self.chance(0.1)
        bounds = (0, 2**63 - 1) if whole else (start, end)
        y = self.node("Slice", x, self.ints(bounds[0]), self.ints(bounds[1]), self.ints(axis))
        self.give(y, *shape[:axis], shape[axis] if whole else end - start, *shape[axis + 1 :])

    def parts(self) -> None:
        """Cut a tensor into Slices that together are the whole, which become a Split."""
        if (found := self.take()) is None:
            return
        x, shape = found
        axis = int(np.argmax(shape))
        cut = int(self.rng.integers(1, max(shape[axis], 2)))
        for start, end in ((0, cut), (cut, shape[axis])):
            if end > start:
                y = self.node("Slice", x, self.ints(start), self.ints(end), self.ints(axis))
                self.give(y, *shape[:axis], end - start, *shape[axis + 1 :])

    def gather(self) -> None:
        if (found := self.take()) is None:
            return
        x, shape = found
        axis = int(self.rng.integers(0, len(shape)))
        at = self.rng.integers(0, shape[axis], 2)
        self.give(self.node("Gather", x, self.const(at), axis=axis), *shape[:axis], 2, *shape[axis + 1 :])

    def pad(self) -> None:
        if (found := self.take()) is None:
            return
        x, shape = found
        sizes = [int(n) for n in self.rng.integers(0, 2, 2 * len(shape))]
        if len(shape) == 4:
            sizes[0] = sizes[1] = sizes[4] = sizes[5] = 0
        value = [self.const(F(self.pick((0, 0, 0.5))))] if self.chance(0.5) else []
        made = tuple(size + sizes[at] + sizes[at + len(shape)] for at, size in enumerate(shape))
        if int(np.prod(made)) < 4096:
            self.give(self.node("Pad", x, self.ints(*sizes), *value), *made)

    def tile(self) -> None:
        if (found := self.take()) is None:
            return
        x, shape = found
        repeats = [int(n) for n in self.rng.choice([1, 1, 2], len(shape))]
        made = tuple(size * count for size, count in zip(shape, repeats, strict=True))
        if int(np.prod(made)) < 2048:
            op = self.pick(("Tile", "Expand"))
            if op == "Expand":
                made = tuple(shape)
            self.give(self.node(op, x, self.ints(*(made if op == "Expand" else repeats))), *made)

    def pool_op(self) -> None:
        if (found := self.take(4)) is None:
            return
        x, (n, c, h, w) = found
        op = self.pick(("MaxPool", "MaxPool", "AveragePool", "GlobalAveragePool"))
        if op == "GlobalAveragePool":
            self.give(self.node(op, x), n, c, 1, 1)
        elif min(h, w) > 2:
            step = self.pick((1, 2))
            y = self.node(op, x, kernel_shape=[2, 2], strides=[step, step])
            self.give(y, n, c, (h - 2) // step + 1, (w - 2) // step + 1)

    def reduce(self) -> None:
        if (found := self.take()) is None:
            return
        x, shape = found
        op, keep = self.pick(("ReduceMax", "ReduceMin", "ReduceMax", "ReduceMean")), self.pick((0, 1))
        axis = int(self.rng.integers(0, len(shape)))
        if self.opset >= 18:
            y = self.node(op, x, self.ints(axis), keepdims=keep)
        else:
            y = self.node(op, x, axes=[axis], keepdims=keep)
        if len(shape) > 1 or keep:
            self.give(y, *shape[:axis], *([1] * keep), *shape[axis + 1 :])

    def arg_max(self) -> None:
        if (found := self.take()) is not None:
            self.outputs.append(
                self.node("ArgMax", found[0], axis=int(self.rng.integers(0, len(found[1]))), keepdims=0)
            )

    def softmax(self) -> None:
        if (found := self.take()) is not None:
            self.give(self.node("Softmax", found[0], axis=-1), *found[1])

    def blocks(self) -> None:
        if (found := self.take(4)) is None:
            return
        x, (n, c, h, w) = found
        if c % 4 == 0 and self.chance(0.5):
            self.give(self.node("DepthToSpace", x, blocksize=2), n, c // 4, 2 * h, 2 * w)
        elif h % 2 == 0 and w % 2 == 0:
            self.give(self.node("SpaceToDepth", x, blocksize=2), n, c * 4, h // 2, w // 2)

    def focus(self) -> None:
        """Concatenate the four phases of every second row and column, in some order."""
        if (found := self.take(4)) is None:
            return
        x, (n, c, h, w) = found
        if h % 2 or w % 2:
            return
        parts = []
        for at in self.rng.permutation(4) if self.chance(0.5) else range(4):
            starts, ends = self.ints(at // 2, at % 2), self.ints(*self.pick(((2**63 - 1, 2**63 - 1), (h, w))))
            parts.append(self.node("Slice", x, starts, ends, self.ints(2, 3), self.ints(2, 2)))
        self.give(self.node("Concat", *parts, axis=1), n, 4 * c, h // 2, w // 2)

    def resize(self) -> None:
        if (found := self.take(4)) is None:
            return
        x, (n, c, h, w) = found
        if h * w * c < 512:
            scales = self.const(np.array([1, 1, 2, 2], F))
            region = "" if self.opset >= 13 else self.const(np.zeros(0, F))
            how = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
            self.give(self.node("Resize", x, region, scales, **how), n, c, 2 * h, 2 * w)

    def scaled(self, x: str) -> str:
        """Scale by a constant scalar, or return the tensor unchanged."""
        if self.chance(0.75):
            return x
        return str(self.node(self.pick(("Mul", "Div")), x, self.const(self.pick((F(0.125), F(0.3), F(7))))))

    def turned(self, x: str, rank: int) -> str:
        return str(self.node("Transpose", x, perm=[*range(rank - 2), rank - 1, rank - 2]))

    def matmul(self) -> None:
        if (found := self.take(2, 3, 4)) is None:
            return
        x, shape = found
        if self.chance(0.2):
            x, shape = self.turned(x, len(shape)), (*shape[:-2], shape[-1], shape[-2])
        same = [name for name, other in self.pool.items() if len(other) == len(shape) and other == shape]
        if same and self.chance(0.3):
            other, n = self.turned(self.pick(same), len(shape)), shape[-2]
        else:
            n = self.pick((1, 4, 6))
            other = self.turned(self.weight(n, shape[-1]), 2) if self.chance(0.2) else self.weight(shape[-1], n, axis=1)
        left, right = self.scaled(x), self.scaled(other)
        y = self.scaled(self.node("MatMul", left, right))
        if self.chance(0.7):
            y = self.qdq(y)  # of a float product with quantized weights ONNX Runtime makes operators that we refuse
        if self.chance(0.3):
            y = self.node("Add", y, self.computed(self.floats(n)))
        self.give(y, *shape[:-1], n)

    def gemm(self) -> None:
        if (found := self.take(2)) is None:
            return
        x, (m, k) = found
        n, across = self.pick((1, 4, 8)), self.chance(0.5)
        for _ in range(self.pick((0, 0, 0, 1, 2))):
            x, m, k = self.turned(x, 2), k, m
        weight = self.weight(n, k) if across else self.weight(k, n, axis=1)
        y = self.node("Gemm", x, weight, *self.bias(n), transB=int(across))
        if self.chance(0.25):
            self.give(self.node("Transpose", y, perm=[1, 0]), n, m)
        else:
            self.give(y, m, n)

    def output(self) -> None:
        if (found := self.take()) is not None:
            self.outputs.append(found[0])

    # -- the whole -------------------------------------------------------------------------------------------------
    def model(self) -> onnx.ModelProto:
        made = {name for node in self.nodes for name in node.output}
        used = {name for node in self.nodes for name in node.input}
        free = [name for name in self.pool if name in made and name not in used]
        wanted = list(dict.fromkeys([*self.outputs, *free])) or [list(made)[-1]]
        outputs = [helper.make_empty_tensor_value_info(name) for name in wanted if name in made]
        graph = helper.make_graph(self.nodes, "g", self.inputs, outputs, self.constants)
        opsets = [helper.make_opsetid("", self.opset)]
        return onnx.shape_inference.infer_shapes(
            helper.make_model(graph, opset_imports=opsets, ir_version=8 if self.opset < 21 else 10)
        )


TRANSPOSES = (
    *("focus", "transpose", "sandwich", "squeeze", "reshape", "binary", "activation", "pad", "concat", "conv"),
    *("pool_op", "transpose"),
)
CONSTANTS = ("conv", "gemm", "matmul", "binary", "reshape", "flatten", "activation")
MATRICES = ("matmul", "matmul", "gemm", "gemm", "transpose", "binary", "reshape", "silu", "softmax", "reciprocal")
ALL = (
    *("conv", "binary", "activation", "silu", "reciprocal", "transpose", "sandwich", "squeeze", "reshape", "flatten"),
    *(
        "concat",
        "split",
        "slice",
        "parts",
        "gather",
        "pad",
        "tile",
        "pool_op",
        "reduce",
        "arg_max",
        "softmax",
        "blocks",
    ),
    *("resize", "matmul", "gemm", "output", "focus"),
)
THEMES = {"all": ALL, "transposes": TRANSPOSES, "constants": CONSTANTS, "matrices": MATRICES}


def build(given: Genome) -> onnx.ModelProto:
    maker = Maker(given.seed)
    for gene in given.genes:
        maker.rng = np.random.default_rng(gene.seed)
        getattr(maker, gene.kind)()
    if not maker.nodes:
        maker.activation()
    return maker.model()


# -- comparing ---------------------------------------------------------------------------------------------------------
@dataclass
class Verdict:
    """The result for one graph."""

    #: 'equal'; 'unpromised' (differs without a promise); 'wrong'; 'nodes' (outputs equal, operators not); 'crash'; or
    #: who refuses.
    kind: str
    #: The first thing that differs, or why it is refused.
    detail: str = ""


class Comparison:
    """One profile's session against one lowering."""

    def __init__(self, profile: str, without: Sequence[str]) -> None:
        self.profile, self.kind = profile, KINDS[profile]
        self.lowering = optimized(profile, profile == "ort", without) if without else LOWERINGS[profile]

    def judge(self, model: onnx.ModelProto, seed: int) -> Verdict:
        data = model.SerializeToString()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "optimized.onnx"
            try:
                session = open_session(data, self.kind.level, self.kind.config, save=path)
                theirs = onnx.load(path)
            except PeerError as error:
                return self._refused(data, str(error))
        try:
            ours = qdqnp.load(data)
            plan = ours.plan(self.profile, self.lowering)
        except QdqnpError as error:
            return Verdict("we refuse", "; ".join(f"{p.where}: got {p.got}" for p in error.problems[:2])[:160])
        rng, names = np.random.default_rng(seed), [output.name for output in model.graph.output]
        unpromised = False
        for _ in range(FEEDS):
            feeds = {entry.name: _feed(rng, entry) for entry in model.graph.input}
            wanted = dict(zip(names, run_session(session, names, feeds), strict=True))
            found = ours.run(feeds, profile=self.profile, lowering=self.lowering)
            for name in names:
                count = _differing(found[name], wanted[name])
                if count and plan.promises[name].exact:
                    return Verdict("wrong", f"{name}: {count} of {wanted[name].size}")
                unpromised |= bool(count)
        if unpromised:
            return Verdict("unpromised")
        nodes = self._nodes(ours.graph, theirs)
        return Verdict("nodes", nodes) if nodes else Verdict("equal")

    def _refused(self, data: bytes, why: str) -> Verdict:
        try:
            qdqnp.load(data).plan(self.profile, self.lowering)
        except QdqnpError:
            return Verdict("both refuse", why[:120])
        return Verdict("only onnxruntime refuses", why[:160])

    def _nodes(self, graph: Graph, theirs: onnx.ModelProto) -> str:
        """Return the operators that only one of both graphs has. DQ is left out, because which copies remain is
        arbitrary; so are Transposes, which do not move through pools in qdqnp."""
        lowered = _before_expansion(self.lowering, graph)
        ours = Counter(node.op for node in lowered.nodes)
        gelus = sum(node.doubt == QUICK_GELU and node.op == "Mul" for node in lowered.nodes)
        ours.update(QuickGelu=gelus, Sigmoid=-gelus, Mul=-gelus)
        others: Counter[str] = Counter()
        for node in theirs.graph.node:
            others.update(_operators(node))
        for counts in (ours, others):
            counts.pop("DequantizeLinear", None)
            counts.pop("Transpose", None)
        return " ".join(
            [f"-{op}" for op in (others - ours).elements()] + [f"+{op}" for op in (ours - others).elements()]
        )


def _before_expansion(lowering: Lowering, graph: Graph) -> Graph:
    with np.errstate(all="ignore"):
        for step in lowering.passes:
            if step.name != "expand-fused-matmul":
                graph = step.run(graph, Log())
    return graph


def _operators(node: onnx.NodeProto) -> list[str]:
    """Split a node of ONNX Runtime's graph into the operators that it is made of."""
    values = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    if node.op_type in ("FusedConv", "FusedGemm"):
        return [node.op_type.removeprefix("Fused"), values["activation"].decode()]
    if node.op_type == "QuickGelu":
        return ["QuickGelu"] + ["Mul"] * (values.get("alpha", 1.0) != 1.0)
    return [{"NhwcMaxPool": "MaxPool"}.get(node.op_type, node.op_type)]


def _feed(rng: np.random.Generator, entry: onnx.ValueInfoProto) -> Any:
    shape = [dim.dim_value for dim in entry.type.tensor_type.shape.dim]
    return (rng.standard_normal(shape) * rng.choice([0.5, 2.0, 4.0])).astype(F)


def _differing(one: Any, other: Any) -> int:
    if one.shape != other.shape or one.dtype != other.dtype:
        return int(other.size) or 1
    same = one.reshape(-1).view(np.uint8) == other.reshape(-1).view(np.uint8)
    return int((~same.reshape(-1, one.itemsize).all(axis=1)).sum())


# -- shrinking ---------------------------------------------------------------------------------------------------------
def shrink(given: Genome, fails: Callable[[Genome], bool]) -> Genome:
    """Leave genes out, from the last on, while the difference stays."""
    again = True
    while again:
        again = False
        for at in reversed(range(len(given.genes))):
            smaller = Genome(given.seed, (*given.genes[:at], *given.genes[at + 1 :]))
            if fails(smaller):
                given, again = smaller, True
    return given


def listing(model: onnx.ModelProto) -> str:
    constants = {tensor.name: list(tensor.dims) for tensor in model.graph.initializer}
    lines = [f"    opset {model.opset_import[0].version}, outputs {[output.name for output in model.graph.output]}"]
    for node in model.graph.node:
        read = [f"{name}{constants.get(name, '')}" for name in node.input]
        more = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        lines.append(f"    {', '.join(node.output)} = {node.op_type}({', '.join(read)}) {more or ''}")
    return "\n".join(lines)


@dataclass
class Tally:
    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, seed: int, verdict: Verdict) -> None:
        self.counts[verdict.kind] += 1
        self.examples.setdefault(verdict.kind, []).append(f"{seed} {verdict.detail}")


def run(comparison: Comparison, seeds: range, show: int, kinds: Sequence[str]) -> Tally:
    tally, shown, start = Tally(), 0, time.time()
    for seed in seeds:
        given = genome(seed)
        verdict = _judge(comparison, given)
        tally.add(seed, verdict)
        if verdict.kind in kinds and shown < show:
            shown += 1
            small = shrink(given, lambda smaller, kind=verdict.kind: _judge(comparison, smaller).kind == kind)  # type: ignore[misc]
            print(f"seed {seed}: {_judge(comparison, small)}\n{listing(build(small))}", flush=True)
    print(f"{comparison.profile}: {dict(tally.counts)} in {time.time() - start:.0f} s", flush=True)
    return tally


def _judge(comparison: Comparison, given: Genome) -> Verdict:
    try:
        return comparison.judge(build(given), given.seed)
    except Exception as error:  # whatever it is, it is a finding
        return Verdict("crash", f"{type(error).__name__}: {error}"[:160])


@click.command()
@click.option("--profile", type=click.Choice([name for name in KINDS if name in LOWERINGS]), default="ort")
@click.option("--count", type=int, default=1000, help="how many graphs")
@click.option("--first", type=int, default=0, help="seed of the first graph")
@click.option("--seed", type=int, help="this graph alone")
@click.option("--without", multiple=True, help="name of a pass of ours to leave out")
@click.option("--show", type=int, default=5, help="how many differences to shrink and print")
@click.option("--also", multiple=True, help="verdicts to shrink besides 'wrong' and 'crash', e.g. nodes")
def main(
    profile: str,
    count: int,
    first: int,
    seed: int | None,
    without: tuple[str, ...],
    show: int,
    also: tuple[str, ...],
) -> None:
    """Compare random graphs with ONNX Runtime; exit code 1 where something promised differs."""
    seeds = range(first, first + count) if seed is None else range(seed, seed + 1)
    tally = run(Comparison(profile, without), seeds, show, ["wrong", "crash", *also])
    for kind, examples in tally.examples.items():
        if kind != "equal":
            print(f"{kind}: {'; '.join(examples[:8])}")
    sys.exit(1 if tally.counts["wrong"] else 0)


if __name__ == "__main__":
    main()
