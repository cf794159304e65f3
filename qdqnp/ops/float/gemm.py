"""Gemm in float32: alpha * A B + beta * C, summed in the order of the profile's float_sum rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qdqnp.graph import Shape, Sizes
from qdqnp.numerics.questions.sums import Index
from qdqnp.numerics.rules.float_sum import GemmCall
from qdqnp.ops.float.apart import sums_apart
from qdqnp.ops.geometry.matrix import MatrixAttributes, gemm_shape
from qdqnp.ops.node_check import FLOAT32, NodeCheck
from qdqnp.ops.operator import Binding, Inferred, Operator
from qdqnp.program import Step
from qdqnp.quant import Array


@dataclass(frozen=True)
class GemmAttributes(MatrixAttributes):
    beta: float = 1.0


class Gemm(Operator):
    op = "Gemm"
    bytes_per_element = 64
    reads = ("float_sum",)
    arity = (2, 3)
    Attributes = GemmAttributes
    weight_operand = 1
    bias_operand = 2

    def infer(self, check: NodeCheck, attributes: GemmAttributes) -> Inferred:
        for index in range(2 + check.given(2)):
            check.dtype_in(index, (np.float32,))
        c = check.value(2).shape if check.given(2) else None
        return ((FLOAT32, gemm_shape(attributes, check.value(0).shape, check.value(1).shape, c)),)

    def shapes(self, attributes: GemmAttributes, a: Shape, b: Shape, c: Shape | None = None) -> tuple[Shape, ...]:
        return (gemm_shape(attributes, a, b, c),)

    def macs(self, attributes: GemmAttributes, inputs: Sequence[Sizes], output: Sizes) -> int:
        return output[0] * output[1] * inputs[0][0 if attributes.transA else 1]

    def compute(self, binding: Binding, a: Array, b: Array, c: Array | None = None) -> tuple[Array, ...]:
        attributes: GemmAttributes = binding.step.attributes
        transposed = (bool(attributes.transA), bool(attributes.transB))
        call = GemmCall(binding.constant(1), attributes.alpha, attributes.beta, transposed)
        return (binding.profile.float_sum.gemm(*_laid_out(attributes, a, b, c), call),)

    def origin(self, step: Step, output: int, index: Index, a: Array, b: Array, c: Array | None = None) -> Any:
        left, right, start = _laid_out(step.attributes, a, b, c)
        products = np.stack([left[index[0]], right[:, index[1]]], axis=1)
        return products if start is None else [*products, (start[index], 0)]

    def doubt(self, binding: Binding) -> str:
        return binding.profile.float_sum.doubt(False)

    def error(self, binding: Binding, a: Array, b: Array, c: Array | None = None) -> Array:
        attributes: GemmAttributes = binding.step.attributes
        left, right, start = _laid_out(attributes, a, b, c)
        magnitude = abs(attributes.alpha) * (np.abs(left).astype(np.float64) @ np.abs(right))
        added = 0.0 if start is None else np.abs(attributes.beta * start.astype(np.float64))
        return sums_apart(magnitude + added, left.shape[1] + 4)


def _laid_out(attributes: GemmAttributes, a: Array, b: Array, c: Array | None) -> tuple[Array, Array, Array | None]:
    """Return the left operand (M, K), the right one (K, N), and what is added (M, N)."""
    left, right = a.T if attributes.transA else a, b.T if attributes.transB else b
    return left, right, None if c is None else np.broadcast_to(c, (left.shape[0], right.shape[1]))
