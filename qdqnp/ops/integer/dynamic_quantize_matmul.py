"""com.microsoft.DynamicQuantizeMatMul: DynamicQuantizeLinear of a, and its float32 product with constant codes b."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from qdqnp.graph import MICROSOFT, Shape, Sizes
from qdqnp.numerics import float32
from qdqnp.numerics.questions.sums import Index
from qdqnp.ops.geometry.matrix import integer_matmul, matmul_origin, matmul_shape
from qdqnp.ops.integer.dynamic_quantize_linear import UINT8, parameters_of
from qdqnp.ops.integer.matmul_integer_to_float import by_column, check_bias, fit_bias, scaled
from qdqnp.ops.integer.zero_points import as_zero, check_fit, check_zero_point, numbers_of, of_slice, placed
from qdqnp.ops.node_check import FLOAT32, NodeCheck
from qdqnp.ops.operator import Binding, Inferred, Operator
from qdqnp.program import Step
from qdqnp.quant import EIGHT_BIT, Array, Float32


class DynamicQuantizeMatMul(Operator):
    """Its inputs: a (float32), b (codes), b's scale, b's zero point, bias; scale and zero point may go by column."""

    op = "DynamicQuantizeMatMul"
    domain = MICROSOFT
    arity = (3, 5)
    reads = ("accumulate",)
    bytes_per_element = 64

    def infer(self, check: NodeCheck, attributes: Any) -> Inferred:
        check.dtype_in(0, (np.float32,), "a")
        check.dtype_in(1, EIGHT_BIT, "b")
        check.dtype_in(2, (np.float32,), "scale")
        by_column(check, 2, "b_scale")
        check_zero_point(check, 3, 1)
        by_column(check, 3, "b_zero_point")
        check_bias(check, 4)
        return ((FLOAT32, matmul_shape(check.value(0).shape, check.value(1).shape)),)

    def shapes(
        self,
        attributes: Any,
        a: Shape,
        b: Shape,
        b_scale: Shape,
        b_zero: Shape | None = None,
        bias: Shape | None = None,
    ) -> tuple[Shape, ...]:
        check_fit("scale", b_scale, b, -1)
        check_fit("zero point", b_zero, b, -1)
        fit_bias(bias, b)
        return (matmul_shape(a, b),)

    def macs(self, attributes: Any, inputs: Sequence[Sizes], output: Sizes) -> int:
        return math.prod(output) * inputs[0][-1]

    def compute(
        self,
        binding: Binding,
        a: Float32,
        b: Array,
        b_scale: Float32,
        b_zero: Array | None = None,
        bias: Float32 | None = None,
    ) -> tuple[Array, ...]:
        a_scale, a_zero = parameters_of(a)
        codes = float32.quantize(a, a_scale, a_zero, UINT8)
        sums = integer_matmul(codes, b, as_zero(a_zero), as_zero(b_zero), binding.profile.accumulate)
        return (scaled(sums, a_scale, b_scale, bias),)

    def origin(self, step: Step, output: int, index: Index, a: Array, b: Array, *others: Array | None) -> Any:
        """Return all of a, whose range decides its scale, and the column of b with its parameters."""
        column = matmul_origin(index, a, b)[:, 1]
        b_scale, b_zero, bias = (*others, None, None)[:3]
        parameters = (b_scale, b_zero, None if bias is None else bias.reshape(-1))
        return numbers_of(a, column, *(of_slice(array, placed(index, a, b), -1) for array in parameters))
