"""GlobalMaxPool in float32: the largest element of each channel."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from qdqnp.graph import Shape, concrete
from qdqnp.kernels.float_max import largest
from qdqnp.numerics.questions.sums import Index
from qdqnp.ops.geometry.pool import global_shape
from qdqnp.ops.node_check import FLOAT32, NodeCheck
from qdqnp.ops.operator import Binding, Inferred, Operator
from qdqnp.program import Step
from qdqnp.quant import Array


class GlobalMaxPool(Operator):
    op = "GlobalMaxPool"
    monotone = True

    def infer(self, check: NodeCheck, attributes: Any) -> Inferred:
        check.dtype_in(0, (np.float32,), "x")
        check.rank_in(0, (3, 4, 5), "x")
        return ((FLOAT32, global_shape(check.value(0).shape)),)

    def shapes(self, attributes: Any, x: Shape) -> tuple[Shape, ...]:
        return (global_shape(x),)

    def compute(self, binding: Binding, x: Array) -> tuple[Array, ...]:
        rows = x.reshape(*x.shape[:2], math.prod(x.shape[2:]))
        return (largest(rows).reshape(concrete(global_shape(x.shape))),)

    def origin(self, step: Step, output: int, index: Index, x: Array) -> Any:
        return x[index[:2]].reshape(-1)
