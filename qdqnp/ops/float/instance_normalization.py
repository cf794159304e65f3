"""InstanceNormalization in float32: each channel less its mean over its deviation, scaled and shifted."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from qdqnp.graph import Shape
from qdqnp.numerics import eigen
from qdqnp.numerics.questions.sums import Index
from qdqnp.ops.geometry.broadcast import may_equal
from qdqnp.ops.node_check import FLOAT32, NodeCheck
from qdqnp.ops.operator import Binding, Inferred, Operator, ShapeError
from qdqnp.program import Step
from qdqnp.quant import Array

F = np.float32


@dataclass(frozen=True)
class InstanceNormalizationAttributes:
    epsilon: float = 1e-5


class InstanceNormalization(Operator):
    op = "InstanceNormalization"
    reads = ("float_sum",)
    arity = (3, 3)
    Attributes = InstanceNormalizationAttributes

    def infer(self, check: NodeCheck, attributes: Any) -> Inferred:
        for index, what in enumerate(("x", "scale", "bias")):
            check.dtype_in(index, (F,), what)
        check.rank_in(0, (3, 4, 5), "x")
        return ((FLOAT32, self.shapes(attributes, *(check.value(index).shape for index in range(3)))[0]),)

    def shapes(self, attributes: Any, x: Shape, scale: Shape, bias: Shape) -> tuple[Shape, ...]:
        for shape, what in ((scale, "scale"), (bias, "bias")):
            if not may_equal(shape, x[1:2]):
                raise ShapeError(f"a {what} of shape {list(x[1:2])}", str(list(shape)))
        return (x,)

    def compute(self, binding: Binding, x: Array, scale: Array, bias: Array) -> tuple[Array, ...]:
        if x.size == 0:
            return (x.copy(),)
        count = math.prod(x.shape[2:])
        rows = x.reshape(-1, count)
        with np.errstate(all="ignore"):
            mean = eigen.reduced(rows, np.add, np.arange(len(rows)) * count) / F(count)
            centered = rows - mean[:, None]
            variance = eigen.reduced(centered * centered, np.add) / F(count)
            inverse = F(1) / np.sqrt(variance + F(binding.step.attributes.epsilon))
            factor = inverse * np.tile(scale, x.shape[0])
            shift = np.tile(bias, x.shape[0]) - mean * factor
            return ((rows * factor[:, None] + shift[:, None]).reshape(x.shape),)

    def origin(self, step: Step, output: int, index: Index, x: Array, scale: Array, bias: Array) -> Any:
        return [*x[index[:2]].reshape(-1), scale[index[1]], bias[index[1]]]

    def doubt(self, binding: Binding) -> str:
        return binding.profile.float_sum.doubt(False)
