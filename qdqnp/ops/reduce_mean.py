"""ReduceMean in float32. The order of its sums is the compiler's, so its result carries no promise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qdqnp.graph import Shape, concrete
from qdqnp.kernels.scratch import Scratch
from qdqnp.numerics.profile import Profile
from qdqnp.ops.base import AUTO, FLOAT32, Bound, Inferred, Operator, ShapeError, Site, sums_apart
from qdqnp.ops.movement import int_list
from qdqnp.program import Operand, Step
from qdqnp.quant import Array, Float32


@dataclass(frozen=True)
class ReduceAttributes:
    """axes None: every axis, or with noop_with_empty_axes none."""

    axes: tuple[int, ...] | None = None
    keepdims: int = 1
    noop_with_empty_axes: int = 0


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
        given = super().attributes(site)
        if site.opset < 18 or not site.given(1):
            return given
        if given.axes is not None:
            site.refuse("attribute 'axes'", "an input since opset 18", given.axes)
        return replace(given, axes=int_list(site, 1, "axes") or None)

    def infer(self, site: Site, attributes: ReduceAttributes) -> Inferred:
        site.dtype_in(0, (np.float32,), "x")
        return ((FLOAT32, self.shapes(attributes, [site.value(0).shape])[0]),)

    def step(self, site: Site, attributes: ReduceAttributes) -> Step:
        return self.make_step(site, attributes, (Operand(site.node.inputs[0]),), (Operand(site.node.outputs[0]),))

    def shapes(self, attributes: ReduceAttributes, inputs: Sequence[Shape | None]) -> tuple[Shape, ...]:
        assert inputs[0] is not None
        gone = _axes(attributes, len(inputs[0]))
        if attributes.keepdims:
            return (tuple(1 if axis in gone else size for axis, size in enumerate(inputs[0])),)
        return (tuple(size for axis, size in enumerate(inputs[0]) if axis not in gone),)

    def bind(self, step: Step, consts: Mapping[str, Array], profile: Profile, strategy: str = AUTO) -> Bound:
        def evaluate(arrays: Sequence[Array | None], scratch: Scratch) -> tuple[Array, ...]:
            (x,) = arrays
            assert x is not None
            gone = sorted(_axes(step.attributes, x.ndim))
            if not gone:
                return (x.copy(),)
            shape = concrete(self.shapes(step.attributes, [x.shape])[0])
            count = int(np.prod([x.shape[axis] for axis in gone], dtype=np.int64))
            rows = np.moveaxis(x, gone, range(x.ndim - len(gone), x.ndim)).reshape(-1, count)
            return ((packet_sum(rows) / np.float32(count)).reshape(shape),)

        def error(arrays: Sequence[Array | None]) -> Array:
            (x,) = arrays
            assert x is not None
            gone = tuple(_axes(step.attributes, x.ndim))
            shape = concrete(self.shapes(step.attributes, [x.shape])[0])
            magnitude = np.abs(x).astype(np.float64).mean(axis=gone).reshape(shape)
            return sums_apart(magnitude, x.size // max(1, magnitude.size) + 1)

        return Bound(evaluate, doubt="the compiler chose its order of sums", error=error)


def _axes(attributes: ReduceAttributes, rank: int) -> set[int]:
    if attributes.axes is None:
        return set() if attributes.noop_with_empty_axes else set(range(rank))
    if not all(-rank <= axis < rank for axis in attributes.axes):
        raise ShapeError(f"axes in [{-rank}, {rank - 1}]", str(list(attributes.axes)))
    return {axis % rank for axis in attributes.axes}
