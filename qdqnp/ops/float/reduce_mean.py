"""ReduceMean in float32. The order of its sums is the compiler's, so its result carries no promise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from qdqnp.graph import Shape, concrete
from qdqnp.kernels.scratch import Scratch
from qdqnp.numerics.profile import Profile
from qdqnp.ops.base import AUTO, FLOAT32, Bound, Inferred, Operator, ShapeError, Site, sums_apart
from qdqnp.ops.float.reduce import ReduceAttributes, axes_input, reduced_axes, reduced_shape
from qdqnp.program import Operand, Step
from qdqnp.quant import Array, Float32


def packet_sum(rows: Float32) -> Float32:
    """Sums over the last axis of (rows, n) in the order observed of ONNX Runtime on x86-64: four lanes, two packets
    of four at a time, then (0 + 2) + (1 + 3), then what is left one by one."""
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

    def attributes(self, site: Site) -> Any:
        return axes_input(site, super().attributes(site), since=18)

    def infer(self, site: Site, attributes: ReduceAttributes) -> Inferred:
        site.dtype_in(0, (np.float32,), "x")
        return ((FLOAT32, self.shapes(attributes, [site.value(0).shape])[0]),)

    def step(self, site: Site, attributes: ReduceAttributes) -> Step:
        return self.make_step(site, attributes, (Operand(site.node.inputs[0]),), (Operand(site.node.outputs[0]),))

    def shapes(self, attributes: ReduceAttributes, inputs: Sequence[Shape | None]) -> tuple[Shape, ...]:
        assert inputs[0] is not None
        gone = reduced_axes(attributes, len(inputs[0]))
        if any(inputs[0][axis] == 0 for axis in gone):
            raise ShapeError("at least one element to average", str(list(inputs[0])))
        return (reduced_shape(inputs[0], gone, bool(attributes.keepdims)),)

    def bind(self, step: Step, consts: Mapping[str, Array], profile: Profile, strategy: str = AUTO) -> Bound:
        def evaluate(arrays: Sequence[Array | None], scratch: Scratch) -> tuple[Array, ...]:
            (x,) = arrays
            assert x is not None
            gone = reduced_axes(step.attributes, x.ndim)
            if not gone:
                return (x.copy(),)
            shape = concrete(self.shapes(step.attributes, [x.shape])[0])
            count = int(np.prod([x.shape[axis] for axis in gone], dtype=np.int64))
            rows = np.moveaxis(x, gone, range(x.ndim - len(gone), x.ndim)).reshape(-1, count)
            return ((packet_sum(rows) / np.float32(count)).reshape(shape),)

        def error(arrays: Sequence[Array | None]) -> Array:
            (x,) = arrays
            assert x is not None
            gone = reduced_axes(step.attributes, x.ndim)
            shape = concrete(self.shapes(step.attributes, [x.shape])[0])
            magnitude = np.abs(x).astype(np.float64).mean(axis=gone).reshape(shape)
            return sums_apart(magnitude, x.size // max(1, magnitude.size) + 1)

        return Bound(evaluate, doubt="the compiler chose its order of sums", error=error)
