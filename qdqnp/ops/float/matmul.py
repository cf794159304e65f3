"""MatMul in float32, summed in the order of the profile's float_sum rule."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from qdqnp.graph import Shape, Sizes, concrete
from qdqnp.numerics.questions.sums import Index
from qdqnp.numerics.rules.float_sum import GemmCall
from qdqnp.ops.float.apart import sums_apart
from qdqnp.ops.geometry.matrix import batches, matmul_origin, matmul_shape
from qdqnp.ops.node_check import FLOAT32, NodeCheck
from qdqnp.ops.operator import Binding, Inferred, Operator
from qdqnp.program import Step
from qdqnp.quant import Array


class MatMul(Operator):
    op = "MatMul"
    reads = ("float_sum",)
    arity = (2, 2)
    weight_operand = 1
    channel_axis = -1

    def infer(self, check: NodeCheck, attributes: Any) -> Inferred:
        check.dtype_in(0, (np.float32,), "a")
        check.dtype_in(1, (np.float32,), "b")
        return ((FLOAT32, matmul_shape(check.value(0).shape, check.value(1).shape)),)

    def shapes(self, attributes: Any, a: Shape, b: Shape) -> tuple[Shape, ...]:
        return (matmul_shape(a, b),)

    def macs(self, attributes: Any, inputs: Sequence[Sizes], output: Sizes) -> int:
        return math.prod(output) * inputs[0][-1]

    def compute(self, binding: Binding, a: Array, b: Array) -> tuple[Array, ...]:
        rule, call = binding.profile.float_sum, GemmCall(binding.constant(1) and b.ndim == 2)
        out = np.empty(concrete(matmul_shape(a.shape, b.shape)), np.float32)
        if 1 < b.ndim <= a.ndim and math.prod(b.shape[:-2]) == 1:  # one product of all rows
            count, inner, columns = math.prod(a.shape[:-1]), b.shape[-2], b.shape[-1]
            rows, matrix = a.reshape(count, inner), b.reshape(inner, columns)
            np.copyto(out.reshape(count, columns), rule.gemm(rows, matrix, None, call))
            return (out,)
        # a product by a vector is one product for each row
        left, right = batches(a[..., None, :] if 1 in (a.ndim, b.ndim) else a, b)
        target = out.reshape(*left.shape[:-1], right.shape[-1])
        for index in np.ndindex(*left.shape[:-2]):
            target[index] = rule.gemm(left[index], right[index], None, call)
        return (out,)

    def origin(self, step: Step, output: int, index: Index, a: Array, b: Array) -> Any:
        return matmul_origin(index, a, b)

    def doubt(self, binding: Binding) -> str:
        return binding.profile.float_sum.doubt(False)

    def error(self, binding: Binding, a: Array, b: Array) -> Array:
        magnitude = np.matmul(np.abs(a).astype(np.float64), np.abs(b))
        return sums_apart(np.asarray(magnitude), a.shape[-1])
