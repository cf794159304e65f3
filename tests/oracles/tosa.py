"""The TOSA reference model (PyPI tosa-tools) as an oracle: graphs of TOSA operators, written and run."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.oracles.fixed_point import quantize_multiplier

Array = NDArray[Any]


@functools.cache
def missing() -> str:
    """Why the reference model can't be run here; empty where it can."""
    try:
        import tosa_reference_model
        import tosa_serializer
    except ImportError as error:
        return f"needs tosa-tools: {error}"
    return "" if tosa_reference_model and tosa_serializer else "needs tosa-tools"


@dataclass(frozen=True)
class Value:
    """A tensor of the graph, by name."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


class Graph:
    """A TOSA graph in the making. Images are NHWC. Every RESCALE has a 32-bit multiplier."""

    def __init__(self, double: bool) -> None:
        import tosa_serializer as ts

        self.ts = ts
        self.graph = ts.TosaSerializer()
        self.mode = ts.RoundingMode.DOUBLE_ROUND if double else ts.RoundingMode.SINGLE_ROUND
        self.feeds: list[Array] = []

    def _type(self, dtype: Any) -> Any:
        return getattr(self.ts.DType, np.dtype(dtype).name.upper())

    def input(self, values: Array) -> Value:
        made = Value(f"input{len(self.feeds)}", values.shape, values.dtype)
        tensor = self.ts.TosaSerializerTensor(made.name, list(values.shape), self._type(values.dtype))
        self.graph.addInputTensor(tensor)
        self.feeds.append(values)
        return made

    def const(self, values: Any, dtype: Any = np.int8) -> Value:
        array = np.atleast_1d(np.asarray(values, dtype))
        made = self.graph.addConst(list(array.shape), self._type(dtype), array)
        return Value(made.name, array.shape, array.dtype)

    def op(self, name: str, inputs: Sequence[Value], shape: Sequence[int], dtype: Any, *attributes: Any) -> Value:
        """An operator; `attributes` are those of its TOSA name, `Conv2d` for CONV2D."""
        upper = {"Conv2d": "CONV2D", "AvgPool2d": "AVG_POOL2D", "MaxPool2d": "MAX_POOL2D"}
        attribute = self.ts.TosaSerializerAttribute()
        getattr(attribute, f"{name}Attribute")(*attributes)
        made = self.graph.addIntermediate(list(shape), self._type(dtype))
        kind = getattr(self.ts.Op, upper.get(name, re.sub("(?<!^)(?=[A-Z])", "_", name).upper()))
        self.graph.addOperator(kind, [value.name for value in inputs], [made.name], attribute)
        return Value(made.name, tuple(shape), np.dtype(dtype))

    def keep(self, value: Value) -> Value:
        """Make the value one of the outputs, by an IDENTITY."""
        out = self.graph.addOutput(list(value.shape), self._type(value.dtype))
        attribute = self.ts.TosaSerializerAttribute()
        attribute.IdentityAttribute()
        self.graph.addOperator(self.ts.Op.IDENTITY, [value.name], [out.name], attribute)
        return value

    def run(self) -> list[Array]:
        """The kept values. Raises ValueError where the model finds the graph or a value unpredictable."""
        import tosa_reference_model

        outputs, status = tosa_reference_model.run(self.graph.serialize(), self.feeds)
        if status != tosa_reference_model.GraphStatus.TOSA_VALID:
            raise ValueError(f"the reference model says {status}")
        return [np.asarray(output) for output in outputs]

    # -- operators -----------------------------------------------------------------------------------------------------
    def rescale(self, x: Value, real: Any, zero_in: int, zero_out: int, dtype: Any = np.int8) -> Value:
        """RESCALE by a real number, or by one for each channel (the last axis)."""
        integers = [quantize_multiplier(float(each)) for each in np.atleast_1d(real)]
        return self.rescale_by(x, [m for m, _ in integers], [s for _, s in integers], zero_in, zero_out, dtype)

    def rescale_by(
        self, x: Value, multiplier: Any, shift: Any, zero_in: int, zero_out: int, dtype: Any = np.int8
    ) -> Value:
        multipliers, shifts = self.const(multiplier, np.int32), self.const(shift, np.int8)
        zeros = self.const(zero_in, x.dtype), self.const(zero_out, dtype)
        per_channel = len(np.atleast_1d(multiplier)) > 1
        attributes = (True, self.mode, per_channel, False, False)
        return self.op("Rescale", [x, multipliers, shifts, *zeros], x.shape, dtype, *attributes)

    def conv(self, x: Value, w: Array, bias: Array, zero: int, strides: Any, pads: Any, dilations: Any) -> Value:
        """CONV2D with weights (out, height, width, in); pads are top, bottom, left, right. int32 sums."""
        extent = [dilations[i] * (w.shape[1 + i] - 1) + 1 for i in range(2)]
        x, pads = self._exactly(x, extent, strides, pads)
        sizes = [
            (x.shape[1 + i] + sum(pads[2 * i : 2 * i + 2]) - dilations[i] * (w.shape[1 + i] - 1) - 1) // strides[i] + 1
            for i in range(2)
        ]
        inputs = [x, self.const(w), self.const(bias, np.int32), self.const(zero), self.const(0)]
        shape = (x.shape[0], *sizes, w.shape[0])
        return self.op("Conv2d", inputs, shape, np.int32, pads, strides, dilations, False, self.ts.DType.INT32)

    def average(self, x: Value, zeros: tuple[int, int], kernel: Any, strides: Any, pads: Any) -> Value:
        x, pads = self._exactly(x, kernel, strides, pads)
        inputs = [x, self.const(zeros[0]), self.const(zeros[1])]
        shape = self._pooled(x, kernel, strides, pads)
        return self.op("AvgPool2d", inputs, shape, np.int8, kernel, strides, pads, self.ts.DType.INT32)

    def maximum(self, x: Value, kernel: Any, strides: Any, pads: Any) -> Value:
        x, pads = self._exactly(x, kernel, strides, pads)
        mode = self.ts.NanPropagationMode.PROPAGATE
        return self.op("MaxPool2d", [x], self._pooled(x, kernel, strides, pads), np.int8, kernel, strides, pads, mode)

    def _pooled(self, x: Value, kernel: Any, strides: Any, pads: Any) -> tuple[int, ...]:
        sizes = [(x.shape[1 + i] + sum(pads[2 * i : 2 * i + 2]) - kernel[i]) // strides[i] + 1 for i in range(2)]
        return (x.shape[0], *sizes, x.shape[3])

    def _exactly(self, x: Value, extent: Any, strides: Any, pads: Any) -> tuple[Value, list[int]]:
        """Leave out what no window reaches, at the bottom and at the right: TOSA refuses what is left over."""
        pads, size = list(pads), list(x.shape)
        for i in range(2):
            rest = (x.shape[1 + i] + sum(pads[2 * i : 2 * i + 2]) - extent[i]) % strides[i]
            cut = min(rest, pads[2 * i + 1])
            pads[2 * i + 1] -= cut
            size[1 + i] -= rest - cut
        if size == list(x.shape):
            return x, pads
        start, shape = self._shape([0] * len(size)), self._shape(size)
        return self.op("Slice", [x, start, shape], size, x.dtype), pads

    def summed(self, x: Value, axis: int) -> Value:
        shape = [1 if i == axis else n for i, n in enumerate(x.shape)]
        return self.op("ReduceSum", [x], shape, x.dtype, axis)

    def reshaped(self, x: Value, shape: Sequence[int]) -> Value:
        return self.op("Reshape", [x, self._shape(shape)], shape, x.dtype)

    def _shape(self, sizes: Sequence[int]) -> Value:
        made = self.graph.addConst([len(sizes)], self.ts.DType.SHAPE, list(sizes))
        return Value(made.name, (len(sizes),), np.dtype(np.int64))

    # -- what TensorFlow's converter writes for one operator of TFLite -------------------------------------------------
    def add(self, a: Value, b: Value, q_a: Any, q_b: Any, q_y: Any) -> Value:
        """Codes with (scale, zero point): two RESCALEs to a common scale, ADD, RESCALE."""
        twice = 2 * max(q_a[0], q_b[0])
        double = self.mode == self.ts.RoundingMode.DOUBLE_ROUND
        wide = []
        for x, (scale, zero) in ((a, q_a), (b, q_b)):
            if double and scale / twice != 0.5:
                first = self.rescale(x, 2**20, zero, 0, np.int32)
                wide.append(self.rescale(first, scale / twice, 0, 0, np.int32))
            else:
                wide.append(self.rescale(x, scale / twice * 2**20, zero, 0, np.int32))
        shape = np.broadcast_shapes(a.shape, b.shape)
        total = self.op("Add", wide, shape, np.int32)
        return self.rescale(total, twice / (q_y[0] * 2**20), 0, q_y[1])

    def mul(self, a: Value, b: Value, q_a: Any, q_b: Any, q_y: Any) -> Value:
        wide = [self.rescale(x, 1.0, zero, 0, np.int32) for x, (_, zero) in ((a, q_a), (b, q_b))]
        shape = np.broadcast_shapes(a.shape, b.shape)
        product = self.op("Mul", [*wide, self.const(0)], shape, np.int32)
        return self.rescale(product, q_a[0] * q_b[0] / q_y[0], 0, q_y[1])

    def mean(self, x: Value, q_x: Any, q_y: Any, axes: Sequence[int] = (1, 2)) -> Value:
        """RESCALE to int32, a REDUCE_SUM for each axis, RESCALE."""
        total = self.rescale(x, 1.0, q_x[1], 0, np.int32)
        for axis in axes:
            total = self.summed(total, axis)
        count = int(np.prod([x.shape[axis] for axis in axes]))
        return self.rescale(total, 1 / count * q_x[0] / q_y[0], 0, q_y[1])


def rescale(acc: Array, multiplier: Array, shift: Array, zero: int, double: bool) -> Array:
    """RESCALE of int32 (n, channels) by a multiplier (int32) and a shift (int8) per channel to int8 codes."""
    graph = Graph(double)
    graph.keep(graph.rescale_by(graph.input(acc.astype(np.int32)), multiplier, shift, 0, zero))
    return graph.run()[0]
