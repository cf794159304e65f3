"""ReduceMean in float32. The order of its sums is the compiler's, so its result carries no promise."""

from __future__ import annotations

from typing import Any

import numpy as np

from qdqnp.graph import Shape, concrete
from qdqnp.numerics.questions.sums import Index
from qdqnp.ops.float.apart import sums_apart
from qdqnp.ops.geometry.reduce import (
    ReduceAttributes,
    axes_input,
    reduced_axes,
    reduced_row,
    reduced_rows,
    reduced_shape,
)
from qdqnp.ops.node_check import FLOAT32, NodeCheck
from qdqnp.ops.operator import Binding, Inferred, Operator, ShapeError
from qdqnp.program import Operand, Step
from qdqnp.quant import Array, Float32


def packet_sum(rows: Float32) -> Float32:
    """Add up the last axis of (rows, n) in the order observed of ONNX Runtime on x86-64.

    The order is: four lanes, two packets of four at a time, then (0 + 2) + (1 + 3), then what is left one by one.
    """
    count = rows.shape[-1]
    packets = [rows[:, start : start + 4] for start in range(0, count // 4 * 4, 4)]
    total = np.zeros(rows.shape[0], np.float32)
    if packets:
        pairs = len(packets) // 2
        lanes = packets[0]
        if pairs:
            other = packets[1]
            for index in range(1, pairs):
                lanes, other = lanes + packets[2 * index], other + packets[2 * index + 1]
            lanes = lanes + other
            if len(packets) % 2:
                lanes = lanes + packets[-1]
        total = (lanes[:, 0] + lanes[:, 2]) + (lanes[:, 1] + lanes[:, 3])
    for index in range(count // 4 * 4, count):
        total = total + rows[:, index]
    return total


class ReduceMean(Operator):
    op = "ReduceMean"
    arity = (1, 2)
    Attributes = ReduceAttributes

    def attributes(self, check: NodeCheck) -> Any:
        return axes_input(check, super().attributes(check), since=18)

    def infer(self, check: NodeCheck, attributes: ReduceAttributes) -> Inferred:
        check.dtype_in(0, (np.float32,), "x")
        return ((FLOAT32, self.shapes(attributes, check.value(0).shape)[0]),)

    def step(self, check: NodeCheck, attributes: ReduceAttributes) -> Step:
        return self.make_step(check, attributes, (Operand(check.node.inputs[0]),), (Operand(check.node.outputs[0]),))

    def shapes(self, attributes: ReduceAttributes, x: Shape) -> tuple[Shape, ...]:
        gone = reduced_axes(attributes, len(x))
        if any(x[axis] == 0 for axis in gone):
            raise ShapeError("at least one element to average", str(list(x)))
        return (reduced_shape(x, gone, attributes.keepdims),)

    def compute(self, binding: Binding, x: Array) -> tuple[Array, ...]:
        attributes: ReduceAttributes = binding.step.attributes
        gone = reduced_axes(attributes, x.ndim)
        if not gone:
            return (x.copy(),)
        rows = reduced_rows(x, gone)
        mean = packet_sum(rows) / np.float32(rows.shape[1])
        return (mean.reshape(concrete(self.shapes(attributes, x.shape)[0])),)

    def origin(self, step: Step, output: int, index: Index, x: Array) -> Any:
        (shape,) = self.shapes(step.attributes, x.shape)
        return reduced_row(x, reduced_axes(step.attributes, x.ndim), shape, index)

    def doubt(self, binding: Binding) -> str:
        return "the compiler chose its order of sums"

    def error(self, binding: Binding, x: Array) -> Array:
        attributes: ReduceAttributes = binding.step.attributes
        gone = reduced_axes(attributes, x.ndim)
        shape = concrete(self.shapes(attributes, x.shape)[0])
        magnitude = np.abs(x).astype(np.float64).mean(axis=gone).reshape(shape)
        return sums_apart(magnitude, x.size // max(1, magnitude.size) + 1)
