"""MatMulInteger: the int32 sums of (a - z_a)(b - z_b), with NumPy's matmul broadcasting."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qdqnp.graph import Shape, Sizes
from qdqnp.numerics.questions.sums import Index
from qdqnp.ops.geometry.matrix import integer_matmul, matmul_origin, matmul_shape
from qdqnp.ops.integer.zero_points import as_zero, check_fit, check_zero_point, numbers_of, of_slice, placed
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import Binding, Inferred, Operator
from qdqnp.quant import EIGHT_BIT, Array

INT32 = np.dtype(np.int32)


@dataclass(frozen=True)
class MatMulIntegerAttributes:
    #: Whether several zero points belong to rows of a.
    _by_row: bool = False


class MatMulInteger(Operator):
    """Its inputs: a, b, a's zero point (one, or one for each row), b's zero point (one, or one for each column)."""

    op = "MatMulInteger"
    arity = (2, 4)
    Attributes = MatMulIntegerAttributes
    reads = ("accumulate",)
    bytes_per_element = 48
    weight_operand = 1

    def attributes(self, check: NodeCheck) -> MatMulIntegerAttributes:
        return MatMulIntegerAttributes(check.given(2) and check.value(2).shape not in ((), (1,)))

    def infer(self, check: NodeCheck, attributes: MatMulIntegerAttributes) -> Inferred:
        a, b = (check.value(index) for index in (0, 1))
        check.dtype_in(0, EIGHT_BIT, "a")
        check.dtype_in(1, EIGHT_BIT, "b")
        shape = matmul_shape(a.shape, b.shape)
        for index, of, axis in ((2, 0, -2), (3, 1, -1)):
            check_fit(f"input {index} (zero point)", check_zero_point(check, index, of), check.value(of).shape, axis)
        return ((INT32, shape),)

    def shapes(self, attributes: Any, a: Shape, b: Shape, *zeros: Shape | None) -> tuple[Shape, ...]:
        for zero, side, axis in zip(zeros, (a, b), (-2, -1), strict=False):
            check_fit("zero point", zero, side, axis)
        return (matmul_shape(a, b),)

    def macs(self, attributes: Any, inputs: Sequence[Sizes], output: Sizes) -> int:
        return math.prod(output) * inputs[0][-1]

    def compute(
        self, binding: Binding, a: Array, b: Array, a_zero: Array | None = None, b_zero: Array | None = None
    ) -> tuple[Array, ...]:
        rows = as_zero(a_zero)
        if rows.ndim == 1 and rows.size > 1:  # one for each row
            rows = rows[:, None]
        return (integer_matmul(a, b, rows, as_zero(b_zero), binding.profile.accumulate),)

    def origin(
        self,
        step: Any,
        output: int,
        index: Index,
        a: Array,
        b: Array,
        a_zero: Array | None = None,
        b_zero: Array | None = None,
    ) -> Any:
        """Return both factors of each product, and the zero points of row and column."""
        place = placed(index, a, b)
        zeros = (of_slice(a_zero, place, -2), of_slice(b_zero, place, -1))
        return numbers_of(matmul_origin(index, a, b), *zeros)

    def doubt(self, binding: Binding) -> str:
        attributes: MatMulIntegerAttributes = binding.step.attributes
        return "ONNX Runtime refuses a zero point for each row" if attributes._by_row else ""
