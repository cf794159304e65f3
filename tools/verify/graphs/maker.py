"""The maker of a random graph: its tensors so far, and the parts that all genes are made from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

F32 = np.float32
SCALES = (0.05, 0.05, 0.1, 6 / 255, 0.02, 1 / 128)
CODES = (np.int8, np.int8, np.uint8)
SHAPES = ((1, 4, 6, 6), (1, 8, 4, 4), (1, 6, 6, 4), (2, 5, 8), (4, 6), (1, 3, 8))


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
        return (self.rng.standard_normal(shape) * spread).astype(F32)

    def parameters(self, kind: Any) -> tuple[str, str]:
        zeros = (0, -128, 3) if kind == np.int8 else (128, 0, 131)
        return self.const(F32(self.pick(SCALES))), self.const(kind(self.pick(zeros)))

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
            return str(
                self.node(way, name, self.const(self.pick((F32(0.5), F32(1.5), F32(3), self.floats(1) + F32(3)))))
            )
        if way in ("Neg", "Relu"):
            return str(self.node(way, name))
        if way == "Clip":
            return str(self.node("Clip", name, self.const(F32(-0.7)), self.const(F32(0.9))))
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
                scale = self.const((np.arange(1, size + 1) / 400).astype(F32))
                zero = self.const(np.zeros(size, np.int8))
                return str(self.node("DequantizeLinear", codes, scale, zero, axis=axis))
            return str(self.node("DequantizeLinear", codes, self.const(F32(0.01)), self.const(np.int8(0))))
        values = self.floats(*shape, spread=0.5)
        if way == "qdq":
            return self.qdq(self.computed(values), (self.const(F32(0.01)), self.const(np.int8(0))))
        return self.computed(values) if way == "computed" else self.const(values)

    def bias(self, size: int) -> list[str]:
        return [self.computed(self.floats(size))] if self.chance(0.5) else []

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
