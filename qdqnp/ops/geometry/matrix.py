"""Matrix products: attributes, shapes, and which products an output element adds up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from qdqnp.graph import Shape, Sizes
from qdqnp.lazy import lazy
from qdqnp.numerics.questions.sums import Index, SumWeights
from qdqnp.numerics.rules.accumulate import AccumulateRule, SumTerms, integer_product
from qdqnp.numerics.width import wrap
from qdqnp.ops.geometry.broadcast import broadcast_shapes, may_equal
from qdqnp.ops.operator import ShapeError
from qdqnp.quant import Array, Codes, Quant


@dataclass(frozen=True)
class MatrixAttributes:
    alpha: float = 1.0
    transA: int = 0  # noqa: N815 - ONNX spelling
    transB: int = 0  # noqa: N815


def gemm_shape(attributes: MatrixAttributes, a: Shape, b: Shape, c: Shape | None) -> Shape:
    """Return the shape (M, N) of a Gemm. Raises ShapeError where the operands or the bias do not fit."""
    if len(a) != 2 or len(b) != 2:
        raise ShapeError("matrices", f"{list(a)} and {list(b)}")
    rows, inner = (a[1], a[0]) if attributes.transA else (a[0], a[1])
    other, cols = (b[1], b[0]) if attributes.transB else (b[0], b[1])
    if isinstance(inner, int) and isinstance(other, int) and inner != other:
        transposed = (attributes.transA, attributes.transB)
        raise ShapeError("equal inner sizes", f"{list(a)} and {list(b)} (transposed: {transposed})")
    if c is not None and (len(c) > 2 or not may_equal(broadcast_shapes([(rows, cols), c]), (rows, cols))):
        raise ShapeError(f"a bias that broadcasts to {[rows, cols]}", str(list(c)))
    return (rows, cols)


def matmul_shape(a: Shape, b: Shape) -> Shape:
    """Return NumPy's matmul shape. Raises ShapeError where the operands do not fit."""
    if not a or not b:
        raise ShapeError("operands of rank 1 or more", f"{list(a)} and {list(b)}")
    left = (1, *a) if len(a) == 1 else a
    right = (*b, 1) if len(b) == 1 else b
    inner, other = left[-1], right[-2]
    if isinstance(inner, int) and isinstance(other, int) and inner != other:
        raise ShapeError("equal inner sizes", f"{list(a)} and {list(b)}")
    batch = broadcast_shapes([left[:-2], right[:-2]])
    rows = () if len(a) == 1 else (left[-2],)
    cols = () if len(b) == 1 else (right[-1],)
    return (*batch, *rows, *cols)


def batches(a: Array, b: Array) -> tuple[Array, Array]:
    """Return both operands of a matmul as stacks of matrices of one batch shape, as views."""
    left = a[None] if a.ndim == 1 else a
    right = b[:, None] if b.ndim == 1 else b
    batch = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    return np.broadcast_to(left, (*batch, *left.shape[-2:])), np.broadcast_to(right, (*batch, *right.shape[-2:]))


def matrix_weights(b: Codes, quant: Quant) -> SumWeights:
    """Return the weights (K, N) of a matrix product as one group; zero points, if several, go by column."""
    return SumWeights(b.T[None], quant.zero_point.reshape(-1, 1), np.arange(b.shape[0]))


def integer_matmul(a: Codes, b: Codes, a_zero: Array, b_zero: Array, accumulate: AccumulateRule) -> Array:
    """Return the int32 sums of (a - a_zero)(b - b_zero), which wrap, in the shape of NumPy's matmul.

    a_zero: int64, broadcastable to a; b_zero likewise.
    accumulate: how a CPU adds up products of raw codes: it may saturate pairs of them.
    """
    centered = a.astype(np.int64) - a_zero, b.astype(np.int64) - b_zero
    if not accumulate.saturates(a.dtype, b.dtype, False):
        return wrap(integer_product(*centered), 32).astype(np.int32)
    (left, right), (left_centered, right_centered) = batches(a, b), batches(*centered)
    sums = np.zeros((*left.shape[:-1], right.shape[-1]), np.int64)
    for index in np.ndindex(*left.shape[:-2]):
        columns, weights, factors, others = (
            side[index].T[None].astype(np.int64) for side in (left, right, left_centered, right_centered)
        )
        terms = SumTerms(columns, factors, weights, others, np.arange(left.shape[-1]))
        sums[index] = accumulate.total(terms)[0].T
    vectors = (sums.ndim - 2,) * (a.ndim == 1) + (sums.ndim - 1,) * (b.ndim == 1)
    sums = np.squeeze(sums, vectors)
    return wrap(sums, 32).astype(np.int32)


def matmul_origin(index: Index, a: Array, b: Array) -> Any:
    """Return the products that an element of a matmul adds up, as `Operator.origin` does."""
    left, right = batches(a, b)
    if b.ndim == 1:
        index = (*index, 0)
    if a.ndim == 1:
        index = (*index[:-1], 0, index[-1])
    *batch, row, column = index
    return np.stack([left[tuple(batch)][row], right[tuple(batch)][:, column]], axis=1)


@dataclass(frozen=True, eq=False)
class MatrixProduct:
    """The products of a (rows, K) and b (K, N). Positions count the rows."""

    a: Codes
    b: Codes
    x: Quant
    w: Quant
    #: Maps (row, k) to the index of the element in the step's first operand.
    a_at: Callable[[int, int], Index]
    #: Maps (k, column) to the index of the element in the step's second operand.
    b_at: Callable[[int, int], Index]

    @property
    def shape(self) -> Sizes:
        return (self.a.shape[0], self.b.shape[1])

    @lazy
    def weights(self) -> SumWeights:
        return matrix_weights(self.b, self.w)

    def columns(self) -> Codes:
        return self.a.T[None]

    def terms(self, position: int, channel: int) -> Iterator[tuple[Index | None, Index]]:
        for k in range(self.a.shape[1]):
            yield self.a_at(position, k), self.b_at(k, channel)
