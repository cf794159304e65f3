"""Random models whose sizes are computed from Shape, in the ways of exporters, for operators that take sizes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.ops import draw
from tests.ops.case import Case, one_node
from tests.ops.cases.logic import ALL, elements

F = np.float32
MOST = 5


class Sized:
    """A model under construction: x, codes of it, and tensors that follow from it by computed sizes."""

    def __init__(self, rng: draw.Rng) -> None:
        self.rng = rng
        self.opset = int(draw.pick(rng, (13, 15, 17, 21)))
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.outputs: list[str] = []
        self.sizes = draw.shape(rng, int(rng.integers(2, 5)), MOST)
        #: What the file declares of each axis: its size, a name, nothing, or -1 as some exporters write.
        self.declared = [
            draw.pick(rng, (size, f"d{axis}", f"d{axis}", None, -1)) for axis, size in enumerate(self.sizes)
        ]
        if draw.chance(rng, 0.25):
            self.declared = list(self.sizes)
        self.x = self.quantized("x") if draw.chance(rng, 0.6) else "x"

    # -- nodes and constants ---------------------------------------------------------------------------------------
    def node(self, op: str, *inputs: str, **attributes: Any) -> str:
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], name=f"{op}_{name}", **attributes))
        return name

    def constant(self, value: Any, dtype: Any = np.int64) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def quantized(self, name: str) -> str:
        scale, zero = self.constant(0.05, F), self.constant(3, np.int8)
        return self.node("DequantizeLinear", self.node("QuantizeLinear", name, scale, zero), scale, zero)

    # -- sizes -----------------------------------------------------------------------------------------------------
    def size(self, axis: int) -> str:
        """The size of an axis of x, as int64 of shape [1], in one of many ways."""
        shape = self.node("Shape", draw.pick(self.rng, (self.x, "x")))
        way = draw.pick(self.rng, ("gather", "gather", "slice", "vector", "part" if self.opset >= 15 else "gather"))
        if way == "gather":
            found = self.node("Gather", shape, self.constant(axis - draw.pick(self.rng, (0, len(self.sizes)))), axis=0)
            return self.node("Unsqueeze", self.worked(found), self.constant([0]))
        if way == "slice":
            bounds = (self.constant([at]) for at in (axis, axis + 1, 0))
            return self.worked(self.node("Slice", shape, *bounds))
        if way == "part":
            return self.worked(self.node("Shape", "x", start=axis, end=axis + 1))
        return self.worked(self.node("Gather", shape, self.constant([axis])))

    def worked(self, name: str) -> str:
        """The same number, by way of arithmetic and conversions that change nothing in the end."""
        for _ in range(int(self.rng.integers(3))):
            name = draw.pick(self.rng, self.ways())(name)
        return name

    def ways(self) -> tuple[Callable[[str], str], ...]:
        def there_and_back(op: str, back: str, number: int) -> Callable[[str], str]:
            return lambda name: self.node(back, self.node(op, name, self.constant(number)), self.constant(number))

        def cast(kind: int) -> Callable[[str], str]:
            return lambda name: self.node("Cast", self.node("Cast", name, to=kind), to=TensorProto.INT64)

        def chosen(name: str) -> str:
            is_one = self.node("Equal", name, self.constant(-1))
            return self.node("Where", is_one, self.constant(7), name)

        def negated(name: str) -> str:
            return self.node("Neg", self.node("Neg", name))

        def compared(name: str) -> str:
            low = self.node("Max", name, self.constant(0))
            high = self.node("Min", low, self.node("Mul", name, self.constant(1)))
            return self.node("Where", self.node("Not", self.node("Less", high, low)), high, low)

        def remainder(name: str) -> str:
            return self.node("Mod", name, self.constant(1000))

        arithmetic = (there_and_back("Mul", "Div", 3), there_and_back("Add", "Sub", 5), negated, remainder)
        return (*arithmetic, cast(TensorProto.INT32), cast(TensorProto.FLOAT), chosen, compared)

    def vector(self, parts: list[str]) -> str:
        return self.node("Concat", *parts, axis=0) if len(parts) > 1 else parts[0]

    def all_sizes(self) -> list[str]:
        return [self.size(axis) for axis in range(len(self.sizes))]

    # -- operators that take sizes ---------------------------------------------------------------------------------
    def reshape(self) -> str:
        parts = [self.size(int(axis)) for axis in self.rng.permutation(len(self.sizes))]
        if draw.chance(self.rng, 0.6):
            parts[int(self.rng.integers(len(parts)))] = self.constant([-1])
        elif draw.chance(self.rng, 0.5):
            parts = [self.node("Mul", parts[0], parts[1]), *parts[2:]]
        return self.node("Reshape", self.x, self.vector(parts))

    def flattened(self) -> str:
        return self.node("Reshape", self.x, self.vector([self.size(0), self.constant([-1])]))

    def counted(self) -> str:
        size = self.node("Size", self.x)
        return self.node("Reshape", self.x, self.node("Unsqueeze", size, self.constant([0])))

    def expand(self) -> str:
        wide = self.node("Unsqueeze", self.x, self.constant([0]))
        return self.node("Expand", wide, self.vector([self.constant([2]), *self.all_sizes()]))

    def slice(self) -> str:
        axis = int(self.rng.integers(len(self.sizes)))
        half = self.node("Div", self.node("Add", self.size(axis), self.constant([1])), self.constant([2]))
        ends = draw.pick(self.rng, (half, self.size(axis)))
        starts = draw.pick(self.rng, (self.constant([0]), self.node("Sub", self.size(axis), half)))
        return self.node("Slice", self.x, starts, ends, self.constant([axis]))

    def filled(self) -> str:
        value = numpy_helper.from_array(np.array([draw.pick(self.rng, (0.0, 2.5))], F))
        zeros = self.node("ConstantOfShape", self.vector(self.all_sizes()), value=value)
        return self.node("Add", self.x, zeros)

    def gathered(self) -> str:
        axis = int(self.rng.integers(len(self.sizes)))
        limit = self.node("Squeeze", self.size(axis), self.constant([0]))
        places = self.node("Range", self.constant(0), limit, self.constant(draw.pick(self.rng, (1, 2))))
        if draw.chance(self.rng, 0.4):
            places = self.node("Sub", self.node("Sub", limit, self.constant(1)), places)
        return self.node("Gather", self.x, places, axis=axis)

    def tiled(self) -> str:
        repeats = [self.node("Div", size, size) for size in self.all_sizes()]
        repeats[0] = self.node("Add", repeats[0], self.constant([1]))
        return self.node("Tile", self.x, self.vector(repeats))

    def padded(self) -> str:
        pads = [self.node("Mod", size, self.constant([2])) for size in (*self.all_sizes(), *self.all_sizes())]
        return self.node("Pad", self.x, self.vector(pads))

    def resized(self) -> str:
        sizes = self.all_sizes()
        sizes[-1] = self.node("Mul", sizes[-1], self.constant([2]))
        return self.node("Resize", self.x, "", "", self.vector(sizes), mode="nearest")

    def compared(self) -> str:
        """A mask of what lies in front of a size, as of attention."""
        limit = self.node("Squeeze", self.size(len(self.sizes) - 1), self.constant([0]))
        places = self.node("Range", self.constant(0), limit, self.constant(1))
        mask = self.node("Greater", places, self.node("Div", limit, self.constant(2)))
        return self.node("Where", mask, self.x, self.constant(-1.5, F))

    def sizes_themselves(self) -> str:
        return self.node("Concat", self.node("Shape", self.x), self.size(0), axis=0)

    def build(self) -> Case:
        uses = (self.reshape, self.flattened, self.counted, self.expand, self.slice, self.filled, self.gathered)
        more = (self.tiled, self.padded, self.resized, self.compared, self.sizes_themselves)
        for _ in range(int(self.rng.integers(1, 4))):
            made = draw.pick(self.rng, (*uses, *more))()
            self.outputs.append(made)
        outputs = [onnx.ValueInfoProto(name=name) for name in self.outputs]
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None] * len(self.sizes))
        for dim, declared in zip(x.type.tensor_type.shape.dim, self.declared, strict=True):
            if isinstance(declared, str):
                dim.dim_param = declared
            elif declared is not None:
                dim.dim_value = declared
        graph = helper.make_graph(self.nodes, "sizes", [x], outputs, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=9)
        return Case(model, {"x": self.values(self.sizes)})

    def values(self, sizes: tuple[int, ...]) -> draw.Array:
        return np.asarray(self.rng.normal(0, 2, sizes), F)

    def others(self) -> Iterator[dict[str, draw.Array]]:
        """Inputs of other sizes, where the file leaves them open."""
        for _ in range(2):
            sizes = [
                size if declared == size else draw.size(self.rng, MOST)
                for size, declared in zip(self.sizes, self.declared, strict=True)
            ]
            yield {"x": self.values(tuple(sizes))}


def sized(rng: draw.Rng) -> Case:
    """A model of computed sizes, and an input of the sizes that it was drawn with."""
    return Sized(rng).build()


def shape(rng: draw.Rng) -> Case:
    """Of any type, a part of the shape from opset 15 on."""
    x = elements(rng, draw.pick(rng, ALL), draw.shape(rng))
    start, end = (draw.pick(rng, (None, 0, 1, -1, 3, -7, 9)) for _ in range(2))
    if draw.chance(rng, 0.4):
        return one_node("Shape", [("x", x)], opset=13, output=np.int64)
    return one_node("Shape", [("x", x)], opset=15, output=np.int64, start=start, end=end)


def size(rng: draw.Rng) -> Case:
    return one_node("Size", [("x", elements(rng, draw.pick(rng, ALL), draw.shape(rng)))], output=np.int64)


def constant_of_shape(rng: draw.Rng) -> Case:
    dtype, dims = draw.pick(rng, ALL), np.array(draw.shape(rng), np.int64)
    value = numpy_helper.from_array(elements(rng, dtype, (1,)), "value") if draw.chance(rng, 0.8) else None
    kind = F if value is None else dtype
    feeds = draw.pick(rng, (["dims"], []))
    return one_node("ConstantOfShape", [("dims", dims)], feeds, output=kind, value=value)


def range_(rng: draw.Rng) -> Case:
    dtype = draw.pick(rng, (np.float32, np.float64, np.int16, np.int32, np.int64))
    start, step = int(rng.integers(-9, 9)), draw.pick(rng, (1, 1, 2, -1, -3))
    numbers = [start, start + step * draw.size(rng, 9) + draw.pick(rng, (0, 0, 1, -1)), step]
    if np.dtype(dtype).kind == "f":
        numbers = [number * draw.pick(rng, (1.0, 0.1, 0.3)) for number in numbers]
    arguments = [(name, np.array(n, dtype)) for name, n in zip(("start", "limit", "delta"), numbers, strict=True)]
    return one_node("Range", arguments, draw.pick(rng, (["start", "limit", "delta"], ["limit"], [])))


def eye_like(rng: draw.Rng) -> Case:
    """Of the types that ONNX Runtime has: float, double, int32, int64, uint64."""
    kinds = (np.float32, np.float64, np.int32, np.int64, np.uint64)
    x = elements(rng, draw.pick(rng, kinds), draw.shape(rng, 2))
    output = draw.pick(rng, (None, *kinds))
    number = None if output is None else helper.np_dtype_to_tensor_dtype(np.dtype(output))
    k = draw.pick(rng, (None, 0, 1, -1, 3))
    return one_node("EyeLike", [("x", x)], output=output or x.dtype, dtype=number, k=k)


#: Operators on sizes, bit for bit as ONNX Runtime computes them.
SIZES: Mapping[str, Callable[[draw.Rng], Case]] = {
    "Shape": shape,
    "Size": size,
    "ConstantOfShape": constant_of_shape,
    "Range": range_,
    "EyeLike": eye_like,
}
