"""Gather takes elements of an axis, at indices that are constant or computed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qdqnp.errors import Problem, ProfileError
from qdqnp.graph import Shape
from qdqnp.numerics.questions.sums import Index
from qdqnp.ops.geometry.axes import axis_of
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import Binding, Inferred, Operator, ShapeError
from qdqnp.program import Operand, Step
from qdqnp.quant import Array


@dataclass(frozen=True, eq=False)
class GatherAttributes:
    axis: int = 0
    #: Constant indices, int64; None where they are the step's second operand.
    _indices: Array | None = None


class Gather(Operator):
    op = "Gather"
    arranges = True
    arity = (2, 2)
    Attributes = GatherAttributes
    views = True
    monotone = True

    def attributes(self, check: NodeCheck) -> Any:
        check.dtype_in(1, (np.int32, np.int64), "indices")
        given: GatherAttributes = super().attributes(check)
        indices = check.whole(1)
        return given if indices is None else replace(given, _indices=indices.astype(np.int64))

    def infer(self, check: NodeCheck, attributes: GatherAttributes) -> Inferred:
        return ((check.value(0).dtype, self.shapes(attributes, check.value(0).shape, check.value(1).shape)[0]),)

    def step(self, check: NodeCheck, attributes: GatherAttributes) -> Step:
        inputs = check.node.inputs[: 1 if attributes._indices is not None else 2]
        return self.make_step(check, attributes, tuple(map(Operand, inputs)), (Operand(check.node.outputs[0]),))

    def shapes(self, attributes: GatherAttributes, x: Shape, indices: Shape = ()) -> tuple[Shape, ...]:
        axis, constant = axis_of(attributes.axis, len(x)), attributes._indices
        size = x[axis]
        if constant is not None:
            if isinstance(size, int) and constant.size and (constant.min() < -size or constant.max() >= size):
                raise ShapeError(f"indices in [{-size}, {size - 1}]", f"{constant.min()} to {constant.max()}")
            indices = constant.shape
        return ((*x[:axis], *indices, *x[axis + 1 :]),)

    def index_places(self, attributes: GatherAttributes, x: Shape, *others: Any) -> int:
        size = x[axis_of(attributes.axis, len(x))]
        return size if isinstance(size, int) and attributes._indices is None else 0

    def compute(self, binding: Binding, x: Array, indices: Array | None = None) -> tuple[Array, ...]:
        attributes: GatherAttributes = binding.step.attributes
        axis = axis_of(attributes.axis, x.ndim)
        if attributes._indices is not None:
            return (np.take(x, attributes._indices, axis),)
        assert indices is not None
        size = x.shape[axis]
        if indices.size and (indices.min() < -size or indices.max() >= size):
            problem = Problem("the indices", f"numbers in [{-size}, {size - 1}]", f"{indices.min()} to {indices.max()}")
            raise ProfileError("an index is beyond the axis", [problem])
        return (np.take(x, indices.astype(np.int64), axis),)

    def origin(self, step: Step, output: int, index: Index, x: Array, indices: Array | None = None) -> Any:
        axis = axis_of(step.attributes.axis, x.ndim)
        if indices is None:
            return np.take(x, step.attributes._indices, axis)[index]
        # which element it is depends on the index, so that all along the axis may be it
        place: Any = (*index[:axis], slice(None), *index[axis + indices.ndim :])
        row = x[place]
        return [*row.reshape(-1), indices[index[axis : axis + indices.ndim]]]
