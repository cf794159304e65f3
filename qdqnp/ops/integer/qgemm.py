"""com.microsoft.QGemm: y = requantize(alpha * sum of (a - z_a)(b - z_b), + C); real output without y_scale."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qdqnp.graph import MICROSOFT, Shape, Sizes
from qdqnp.numerics.questions import SumWeights
from qdqnp.ops.geometry.matrix import MatrixAttributes, MatrixProduct, gemm_shape, matrix_weights
from qdqnp.ops.integer.asking import PlacedProducts, SumOperator
from qdqnp.ops.node_check import FLOAT32, NodeCheck
from qdqnp.ops.operator import Inferred
from qdqnp.program import Operand, Step
from qdqnp.quant import ACTIVATIONS, EIGHT_BIT, Array, Codes, Quant


class QGemm(SumOperator):
    op = "QGemm"
    bytes_per_element = 96  # each column of weights is joined by the rows of a tile
    domain = MICROSOFT
    arity = (6, 9)
    Attributes = MatrixAttributes
    rule = "gemm"
    sums_over = MatrixProduct

    def infer(self, check: NodeCheck, attributes: MatrixAttributes) -> Inferred:
        a_dtype = check.dtype_in(0, ACTIVATIONS, "a")
        check.dtype_in(3, EIGHT_BIT if a_dtype == np.uint8 else (np.int8,), "b")
        if check.given(6):
            check.dtype_in(6, (np.int32,), "C")
        c = check.value(6).shape if check.given(6) else None
        shape = gemm_shape(attributes, check.value(0).shape, check.value(3).shape, c)
        a, b, y = self._quants(check, attributes)
        if not a.per_tensor or (y is not None and not y.per_tensor):
            check.refuse("scales of a and y", "one value each", "several")
        if not b.per_tensor and isinstance(shape[1], int) and b.scale.size != shape[1]:
            check.refuse("input 4 (b_scale)", f"1 or {shape[1]} values", b.scale.size)
        return ((FLOAT32 if y is None else y.dtype, shape),)

    def _quants(self, check: NodeCheck, attributes: MatrixAttributes) -> tuple[Quant, Quant, Quant | None]:
        a_dtype = check.value(0).dtype
        y = check.quant(7, 8, a_dtype) if check.given(7) else None
        b_axis = 0 if attributes.transB else 1
        return check.quant(1, 2, a_dtype), check.quant(4, 5, check.value(3).dtype, axis=b_axis), y

    def step(self, check: NodeCheck, attributes: MatrixAttributes) -> Step:
        names = check.node.inputs
        a, b, y = self._quants(check, attributes)
        bias = Operand(names[6]) if check.given(6) else None
        operands = (Operand(names[0], a), Operand(names[3], b), bias)
        return self.make_step(check, attributes, operands, (Operand(check.node.outputs[0], y),))

    def shapes(self, attributes: MatrixAttributes, a: Shape, b: Shape, c: Shape | None = None) -> tuple[Shape, ...]:
        return (gemm_shape(attributes, a, b, c),)

    def macs(self, attributes: MatrixAttributes, inputs: Sequence[Sizes], output: Sizes) -> int:
        return output[0] * output[1] * inputs[0][0 if attributes.transA else 1]

    def alpha(self, step: Step) -> float:
        attributes: MatrixAttributes = step.attributes
        return attributes.alpha

    def weights(self, step: Step, w: Codes) -> SumWeights:
        return matrix_weights(w.T if step.attributes.transB else w, step.quant(1))

    def products(self, step: Step, a: Codes, b: Codes, c: Array | None = None) -> Sequence[PlacedProducts]:
        flip_a, flip_b = bool(step.attributes.transA), bool(step.attributes.transB)
        left, right = a.T if flip_a else a, b.T if flip_b else b
        found = MatrixProduct(
            left,
            right,
            step.quant(0),
            step.quant(1),
            lambda row, k: (k, row) if flip_a else (row, k),
            lambda k, column: (column, k) if flip_b else (k, column),
        )
        return [PlacedProducts(found)]
