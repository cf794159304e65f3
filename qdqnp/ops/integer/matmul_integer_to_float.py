"""com.microsoft.MatMulIntegerToFloat: the sums of (a - z_a)(b - z_b), times their scales, and a bias, in float32."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from qdqnp.graph import MICROSOFT, Shape, Sizes
from qdqnp.numerics.questions.sums import Index
from qdqnp.ops.geometry.broadcast import may_equal
from qdqnp.ops.geometry.matrix import integer_matmul, matmul_origin, matmul_shape
from qdqnp.ops.integer.zero_points import (
    as_zero,
    check_fit,
    check_one,
    check_single,
    check_zero_point,
    fits,
    is_one,
    numbers_of,
    of_slice,
    placed,
)
from qdqnp.ops.node_check import FLOAT32, NodeCheck
from qdqnp.ops.operator import Binding, Inferred, Operator, ShapeError
from qdqnp.program import Step
from qdqnp.quant import EIGHT_BIT, Array, Float32


class MatMulIntegerToFloat(Operator):
    """Its inputs: a, b, a's scale, b's scale, a's zero point, b's zero point, bias; b's may be several, by column.

    ONNX Runtime makes it of MatMulInteger, Cast and Mul, and of a MatMul of two DequantizeLinears that no
    QuantizeLinear reads.
    """

    op = "MatMulIntegerToFloat"
    domain = MICROSOFT
    arity = (4, 7)
    reads = ("accumulate",)
    bytes_per_element = 64

    def infer(self, check: NodeCheck, attributes: Any) -> Inferred:
        check.dtype_in(0, EIGHT_BIT, "a")
        check.dtype_in(1, EIGHT_BIT, "b")
        for index in (2, 3):
            check.dtype_in(index, (np.float32,), "scale")
        several = 3 if is_one(check.value(2).shape) else 2  # the optimizer may have exchanged the scales
        by_column(check, several, "b_scale")
        check_one(check, 5 - several, "a_scale")
        check_zero_point(check, 4, 0)
        check_one(check, 4, "a_zero_point")
        check_zero_point(check, 5, 1)
        by_column(check, 5, "b_zero_point")
        check_bias(check, 6)
        return ((FLOAT32, matmul_shape(check.value(0).shape, check.value(1).shape)),)

    def shapes(
        self,
        attributes: Any,
        a: Shape,
        b: Shape,
        a_scale: Shape,
        b_scale: Shape,
        a_zero: Shape | None = None,
        b_zero: Shape | None = None,
        bias: Shape | None = None,
    ) -> tuple[Shape, ...]:
        one, several = (a_scale, b_scale) if is_one(a_scale) else (b_scale, a_scale)
        check_single("scale", one)
        check_fit("scale", several, b, -1)
        check_single("zero point", a_zero)
        check_fit("zero point", b_zero, b, -1)
        fit_bias(bias, b)
        return (matmul_shape(a, b),)

    def macs(self, attributes: Any, inputs: Sequence[Sizes], output: Sizes) -> int:
        return math.prod(output) * inputs[0][-1]

    def compute(
        self,
        binding: Binding,
        a: Array,
        b: Array,
        a_scale: Float32,
        b_scale: Float32,
        a_zero: Array | None = None,
        b_zero: Array | None = None,
        bias: Float32 | None = None,
    ) -> tuple[Array, ...]:
        sums = integer_matmul(a, b, as_zero(a_zero), as_zero(b_zero), binding.profile.accumulate)
        return (scaled(sums, a_scale, b_scale, bias),)

    def origin(self, step: Step, output: int, index: Index, a: Array, b: Array, *others: Array | None) -> Any:
        """Return both factors of each product, and the scales, zero points and bias of the column."""
        place = placed(index, a, b)
        a_scale, b_scale, a_zero, b_zero, bias = (*others, None, None, None)[:5]
        parameters = (a_scale, b_scale, a_zero, b_zero, None if bias is None else bias.reshape(-1))
        return numbers_of(matmul_origin(index, a, b), *(of_slice(array, place, -1) for array in parameters))


def scaled(sums: Array, a_scale: Float32, b_scale: Float32, bias: Float32 | None) -> Float32:
    """Return f32(sums) * f32(a_scale * b_scale) + bias, each operation rounded to float32.

    Source: ONNX Runtime 1.32, contrib_ops/cpu/quantization/dynamic_quantize_matmul.cc and
    core/mlas/lib/qpostprocessor.cpp.
    """
    product = sums.astype(np.float32) * (a_scale * b_scale)
    return np.asarray(product if bias is None else product + bias.reshape(-1))


def by_column(check: NodeCheck, index: int, what: str) -> None:
    """Refuse an input, if it is given, that is neither one value nor one for each column of b."""
    if not check.given(index):
        return
    shape = check.value(index).shape
    if not fits(shape, check.value(1).shape, -1):
        check.refuse(f"input {index} ({what})", "one value, or one for each column of b", f"shape {list(shape)}")


def check_bias(check: NodeCheck, index: int) -> None:
    """Refuse a bias, if it is given, that is not float32 with one value for each column."""
    if check.given(index):
        check.dtype_in(index, (np.float32,), "bias")
        fit_bias(check.value(index).shape, check.value(1).shape)


def fit_bias(bias: Shape | None, b: Shape) -> None:
    """Raise ShapeError where a bias has not one value for each column of b; an absent one fits."""
    column = (b[-1] if len(b) > 1 else 1,)
    if bias is not None and not (bias and may_equal(bias, (1,) * (len(bias) - 1) + column)):
        raise ShapeError(f"a bias of shape {list(column)}", str(list(bias)))
