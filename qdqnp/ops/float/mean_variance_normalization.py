"""MeanVarianceNormalization in float32: elements less their mean, over their deviation, along axes.

Source: ONNX Runtime 1.32, core/providers/cpu/tensor/mean_variance_normalization.cc.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from qdqnp.graph import Shape
from qdqnp.numerics import eigen
from qdqnp.numerics.questions.sums import Index
from qdqnp.ops.geometry.axes import axis_of
from qdqnp.ops.node_check import FLOAT32, NodeCheck
from qdqnp.ops.operator import Binding, Inferred, Operator, ShapeError
from qdqnp.program import Step
from qdqnp.quant import Array

F = np.float32


@dataclass(frozen=True)
class MeanVarianceNormalizationAttributes:
    axes: tuple[int, ...] = (0, 2, 3)


class MeanVarianceNormalization(Operator):
    op = "MeanVarianceNormalization"
    reads = ("float_sum",)
    Attributes = MeanVarianceNormalizationAttributes
    example_shapes = ((2, 3, 4, 4),)

    def infer(self, check: NodeCheck, attributes: MeanVarianceNormalizationAttributes) -> Inferred:
        check.dtype_in(0, (F,), "x")
        if not attributes.axes:
            check.refuse("attribute 'axes'", "at least one axis", "none")
        return ((FLOAT32, self.shapes(attributes, check.value(0).shape)[0]),)

    def shapes(self, attributes: MeanVarianceNormalizationAttributes, x: Shape) -> tuple[Shape, ...]:
        if len(_axes(attributes, len(x))) != len(attributes.axes):
            raise ShapeError("each axis once", str(list(attributes.axes)))
        return (x,)

    def compute(self, binding: Binding, x: Array) -> tuple[Array, ...]:
        if x.size == 0:
            return (x.copy(),)
        axes = _axes(binding.step.attributes, x.ndim)
        last = range(x.ndim - len(axes), x.ndim)
        moved = np.moveaxis(x, axes, last)
        rows = moved.reshape(-1, math.prod(x.shape[axis] for axis in axes))
        count = F(rows.shape[1])
        with np.errstate(all="ignore"):
            mean = eigen.reduced(rows, np.add, np.arange(len(rows)) * rows.shape[1]) / count
            centered = rows - mean[:, None]
            deviation = np.sqrt(eigen.reduced(centered * centered, np.add) / count)
            found = (centered / deviation[:, None]).reshape(moved.shape)
        return (np.ascontiguousarray(np.moveaxis(found, last, axes)),)

    def origin(self, step: Step, output: int, index: Index, x: Array) -> Any:
        axes = _axes(step.attributes, x.ndim)
        place: tuple[Any, ...] = tuple(slice(None) if axis in axes else at for axis, at in enumerate(index))
        return x[place].reshape(-1)

    def doubt(self, binding: Binding) -> str:
        return binding.profile.float_sum.doubt(False)


def _axes(attributes: MeanVarianceNormalizationAttributes, rank: int) -> tuple[int, ...]:
    """Return the axes in ascending order. Raises ShapeError where there is no such axis."""
    return tuple(sorted({axis_of(axis, rank) for axis in attributes.axes}))
