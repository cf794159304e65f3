"""BatchNormalization in float32, inference form: x * f + (bias - mean * f), f = scale * (1 / sqrt(var + epsilon))."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qdqnp.graph import Shape
from qdqnp.numerics.questions.sums import Index
from qdqnp.ops.float.apart import sums_apart
from qdqnp.ops.geometry.broadcast import may_equal
from qdqnp.ops.node_check import FLOAT32, NodeCheck
from qdqnp.ops.operator import Binding, Inferred, Operator, ShapeError
from qdqnp.program import Step
from qdqnp.quant import Array


@dataclass(frozen=True)
class BatchNormalizationAttributes:
    epsilon: float = 1e-5
    training_mode: int = 0
    #: Before opset 9: 0 for statistics of every element of an instance, not of a channel.
    spatial: int = 1


class BatchNormalization(Operator):
    op = "BatchNormalization"
    only = "for inference"
    reads = ("float_sum",)
    arity = (5, 5)
    Attributes = BatchNormalizationAttributes
    ignored = frozenset({"momentum"})  # which serves training

    def infer(self, check: NodeCheck, attributes: BatchNormalizationAttributes) -> Inferred:
        for index in range(5):
            check.dtype_in(index, (np.float32,))
        check.rank_in(0, (2, 3, 4, 5), "x")
        if attributes.training_mode:
            check.refuse("attribute 'training_mode'", "0", attributes.training_mode)
        if attributes.spatial != 1:
            check.refuse("attribute 'spatial'", "1", attributes.spatial)
        if len([name for name in check.node.outputs if name]) > 1:
            check.refuse("outputs", "one: the statistics are of training", len(check.node.outputs))
        x, *statistics = (check.value(index).shape for index in range(5))
        return ((FLOAT32, self.shapes(attributes, x, *statistics)[0]),)

    def shapes(self, attributes: Any, x: Shape, *statistics: Shape) -> tuple[Shape, ...]:
        for shape in statistics:
            if not may_equal(shape, (x[1],)):
                raise ShapeError(f"scale, bias, mean and variance of shape [{x[1]}]", str(list(shape)))
        return (x,)

    def compute(self, binding: Binding, x: Array, *statistics: Array) -> tuple[Array, ...]:
        scale, bias, mean, var = _by_channel(statistics, x.ndim)
        with np.errstate(all="ignore"):
            factor = np.float32(1) / np.sqrt(var + np.float32(binding.step.attributes.epsilon)) * scale
            return (x * factor + (bias - mean * factor),)

    def origin(self, step: Step, output: int, index: Index, x: Array, *statistics: Array) -> Any:
        return [x[index], *(array[index[1]] for array in statistics)]

    def doubt(self, binding: Binding) -> str:
        return binding.profile.float_sum.doubt(False)

    def error(self, binding: Binding, x: Array, *statistics: Array) -> Array:
        scale, bias, mean, var = (array.astype(np.float64) for array in _by_channel(statistics, x.ndim))
        factor = np.abs(scale / np.sqrt(var + float(np.float32(binding.step.attributes.epsilon))))
        return sums_apart(np.abs(x).astype(np.float64) * factor + np.abs(mean) * factor + np.abs(bias), 8)


def _by_channel(statistics: Sequence[Array], rank: int) -> list[Array]:
    """Reshape one value for each channel to broadcast over (N, C, ...)."""
    return [array.reshape(1, -1, *(1,) * (rank - 2)) for array in statistics]
