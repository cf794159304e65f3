"""QLinearMatMul: y = requantize(sum over k of (a - z_a)(b - z_b)), with NumPy's matmul broadcasting."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from qdqnp.graph import Shape, Sizes
from qdqnp.numerics.questions import SumWeights
from qdqnp.numerics.questions.sums import Index
from qdqnp.ops.geometry.matrix import MatrixProduct, batches, matmul_shape, matrix_weights
from qdqnp.ops.integer.asking import PlacedProducts, SumOperator
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import Inferred
from qdqnp.program import Operand, Step
from qdqnp.quant import ACTIVATIONS, EIGHT_BIT, Codes, Quant


class QLinearMatMul(SumOperator):
    op = "QLinearMatMul"
    arity = (8, 8)
    rule = "matmul"
    sums_over = MatrixProduct
    channel_axis = -1
    bias_operand = None

    def infer(self, check: NodeCheck, attributes: Any) -> Inferred:
        a_dtype = check.dtype_in(0, ACTIVATIONS, "a")
        check.dtype_in(3, EIGHT_BIT if a_dtype == np.uint8 else (np.int8, a_dtype), "b")
        shape = matmul_shape(check.value(0).shape, check.value(3).shape)
        a, b, y = self._quants(check)
        if not (a.per_tensor and y.per_tensor):
            check.refuse("scales of a and y", "one value each", f"{a.scale.size} and {y.scale.size}")
        if not b.per_tensor and len(check.value(3).shape) != 2:
            check.refuse("input 4 (b_scale)", "one value, as b is no matrix", b.scale.size)
        columns = check.value(3).shape[-1]
        if not b.per_tensor and isinstance(columns, int) and b.scale.size != columns:
            check.refuse("input 4 (b_scale)", f"1 or {columns} values", b.scale.size)
        return ((y.dtype, shape),)

    def _quants(self, check: NodeCheck) -> tuple[Quant, Quant, Quant]:
        a_dtype, b = check.value(0).dtype, check.value(3)
        axis = len(b.shape) - 1
        return check.quant(1, 2, a_dtype), check.quant(4, 5, b.dtype, axis=axis), check.quant(6, 7, a_dtype)

    def step(self, check: NodeCheck, attributes: Any) -> Step:
        names = check.node.inputs
        a, b, y = self._quants(check)
        operands = (Operand(names[0], a), Operand(names[3], b))
        return self.make_step(check, attributes, operands, (Operand(check.node.outputs[0], y),))

    def shapes(self, attributes: Any, a: Shape, b: Shape) -> tuple[Shape, ...]:
        return (matmul_shape(a, b),)

    def macs(self, attributes: Any, inputs: Sequence[Sizes], output: Sizes) -> int:
        return math.prod(output) * inputs[0][-1]

    def work(self, attributes: Any, inputs: Sequence[Sizes], output: Sizes) -> int:
        """Count 2000 elements for each matrix of a batch, and the inputs.

        Each matrix is a layer of its own where its weights may be computed; setting it up takes a few milliseconds.
        """
        return 2000 * math.prod(output[:-2]) + sum(math.prod(shape) for shape in inputs)

    def weights(self, step: Step, w: Codes) -> SumWeights | None:
        return matrix_weights(w, step.quant(1)) if w.ndim == 2 else None

    def products(self, step: Step, a: Codes, b: Codes) -> Sequence[PlacedProducts]:
        """Return one product of all rows by one matrix, or one for each matrix of the batch.

        The matrices of a batch stay apart because rules may look at weights.
        """
        return list(_products(step, a, b))


def _products(step: Step, a: Codes, b: Codes) -> Iterator[PlacedProducts]:
    x, w = step.quant(0), step.quant(1)
    if b.ndim == 2:
        rows = a.reshape(math.prod(a.shape[:-1]), a.shape[-1])  # -1 would not work where K or N is 0

        def row_at(row: int, k: int) -> Index:
            return (*(int(i) for i in np.unravel_index(row, a.shape[:-1])), k) if a.ndim > 1 else (k,)

        yield PlacedProducts(MatrixProduct(rows, b, x, w, row_at, lambda k, column: (k, column)))
        return
    left, right = batches(a, b)
    for index in np.ndindex(*left.shape[:-2]):
        yield PlacedProducts(
            MatrixProduct(left[index], right[index], x, w, _at_left(index, a), _at_right(index, b)), (*index, ...)
        )


def _at_left(index: Index, a: Codes) -> Any:
    """Map (row, k) to the index in the left operand, which has no row if its rank is 1."""
    batch = _batch(index, a.shape[:-2])
    return lambda row, k: (*batch, row, k) if a.ndim > 1 else (k,)


def _at_right(index: Index, b: Codes) -> Any:
    """Map (k, column) to the index in the right operand, which has no column if its rank is 1."""
    batch = _batch(index, b.shape[:-2])
    return lambda k, column: (*batch, k, column) if b.ndim > 1 else (k,)


def _batch(index: Index, shape: Sizes) -> Index:
    """Return the index in an operand's own batch axes, which may be broadcast."""
    own = index[len(index) - len(shape) :]
    return tuple(0 if size == 1 else int(i) for i, size in zip(own, shape, strict=True))
