"""LpNormalization in float32: elements over the norm of their row along one axis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from qdqnp.graph import Shape
from qdqnp.numerics import eigen
from qdqnp.numerics.questions.sums import Index
from qdqnp.ops.geometry.axes import axis_of
from qdqnp.ops.node_check import FLOAT32, NodeCheck
from qdqnp.ops.operator import Binding, Inferred, Operator
from qdqnp.program import Step
from qdqnp.quant import Array


@dataclass(frozen=True)
class LpNormalizationAttributes:
    axis: int = -1
    p: int = 2


class LpNormalization(Operator):
    op = "LpNormalization"
    reads = ("float_sum",)
    Attributes = LpNormalizationAttributes

    def infer(self, check: NodeCheck, attributes: LpNormalizationAttributes) -> Inferred:
        check.dtype_in(0, (np.float32,), "x")
        axis_of(attributes.axis, len(check.value(0).shape))
        if attributes.p not in (1, 2):
            check.refuse("attribute 'p'", "1 or 2", attributes.p)
        return ((FLOAT32, check.value(0).shape),)

    def shapes(self, attributes: Any, x: Shape) -> tuple[Shape, ...]:
        return (x,)

    def compute(self, binding: Binding, x: Array) -> tuple[Array, ...]:
        attributes: LpNormalizationAttributes = binding.step.attributes
        if x.size == 0:
            return (x.copy(),)
        moved = np.moveaxis(x, attributes.axis, -1)
        rows = moved.reshape(-1, moved.shape[-1])
        with np.errstate(all="ignore"):
            norm = eigen.one_by_one(np.abs(rows)) if attributes.p == 1 else np.sqrt(eigen.one_by_one(rows * rows))
            found = np.where(norm[:, None] == 0, np.float32(0), rows / norm[:, None]).reshape(moved.shape)
        return (np.ascontiguousarray(np.moveaxis(found, -1, attributes.axis)),)

    def origin(self, step: Step, output: int, index: Index, x: Array) -> Any:
        axis = axis_of(step.attributes.axis, x.ndim)
        return np.moveaxis(x, axis, -1)[index[:axis] + index[axis + 1 :]]

    def doubt(self, binding: Binding) -> str:
        return binding.profile.float_sum.doubt(False)
