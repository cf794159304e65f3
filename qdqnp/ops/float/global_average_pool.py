"""GlobalAveragePool in float32, summed in the order of the profile's float_sum rule."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from qdqnp.graph import Shape, concrete
from qdqnp.numerics.questions.sums import Index
from qdqnp.ops.float.apart import sums_apart
from qdqnp.ops.geometry.pool import global_shape
from qdqnp.ops.node_check import FLOAT32, NodeCheck
from qdqnp.ops.operator import Binding, Inferred, Operator
from qdqnp.program import Step
from qdqnp.quant import Array


class GlobalAveragePool(Operator):
    op = "GlobalAveragePool"
    reads = ("float_sum",)

    def infer(self, check: NodeCheck, attributes: Any) -> Inferred:
        check.dtype_in(0, (np.float32,), "x")
        check.rank_in(0, (3, 4, 5), "x")
        return ((FLOAT32, global_shape(check.value(0).shape)),)

    def shapes(self, attributes: Any, x: Shape) -> tuple[Shape, ...]:
        return (global_shape(x),)

    def compute(self, binding: Binding, x: Array) -> tuple[Array, ...]:
        rows = x.reshape(x.shape[0] * x.shape[1], math.prod(x.shape[2:]))
        mean = binding.profile.float_sum.global_sums(rows) / np.float32(rows.shape[1])
        return (mean.reshape(concrete(global_shape(x.shape))),)

    def origin(self, step: Step, output: int, index: Index, x: Array) -> Any:
        return x[index[:2]].reshape(-1)

    def doubt(self, binding: Binding) -> str:
        return binding.profile.float_sum.doubt(True)

    def error(self, binding: Binding, x: Array) -> Array:
        magnitude = np.abs(x).mean(axis=tuple(range(2, x.ndim)), keepdims=True, dtype=np.float64)
        return sums_apart(magnitude, math.prod(x.shape[2:]) + 1)
