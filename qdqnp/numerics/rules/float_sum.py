"""Float32 sums: the order in which operators that stay in float add up, where that order is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from qdqnp.numerics import mlas, products
from qdqnp.numerics.choices import choice
from qdqnp.numerics.rule import Rule
from qdqnp.numerics.status import ESTABLISHED, STATUSES, UNKNOWN
from qdqnp.quant import Array, Float32

ONE = 1.0


@dataclass(frozen=True)
class GemmCall:
    """What decides the order of sums of a Gemm or MatMul besides its shapes."""

    #: Whether the right operand is a constant, which is laid out in advance.
    packed: bool
    #: The factor of the product.
    alpha: float = 1.0
    #: The factor of the addend C.
    beta: float = 1.0
    #: Whether the left and the right operand are transposed, as they lie in memory.
    transposed: tuple[bool, bool] = (False, False)


class FloatSumRule(Protocol):
    """A rule of the order of float32 additions. Operands are stacks of float32 matrices, as in `numerics.products`.

    `doubt` says why the results are not promised to be exact, '' where they are. Its argument `movable` says whether a
    session's layout optimization may take the operator: a Conv with constant weights, or an average pool.
    """

    @property
    def status(self) -> str: ...

    def doubt(self, movable: bool) -> str: ...

    def conv(self, weights: Float32, columns: Float32, positions: int, whole_rows: bool) -> Float32:
        """Multiply weights (G, M, K) by im2col columns (G, K, n), to (G, M, n).

        positions: output pixels per image of the convolution.
        whole_rows: whether the columns are rows of the image, one after the other.
        """
        ...

    def gemm(self, a: Float32, b: Float32, c: Float32 | None, call: GemmCall) -> Float32:
        """Compute alpha * a (M, K) times b (K, N), + beta * c, which has the result's shape."""
        ...

    def global_sums(self, rows: Float32) -> Float32:
        """Return the sum of each row, (R, n) to (R,), of a pool over the whole image."""
        ...

    def softmax(self, rows: Float32, logarithm: bool) -> Float32:
        """Return Softmax of each row of (R, n), or its logarithm."""
        ...

    def silu(self, x: Float32) -> Float32:
        """Return x sigmoid(x), computed in one go."""
        ...

    def window_sums(self, taps: Float32, kernel: tuple[int, int], vector: bool) -> Float32:
        """Add up the first axis: the taps of an average pool's window by rows; taps outside the image are 0.

        vector: whether strides along rows are at most 2 and the kernel is at most 32.
        """
        ...


@dataclass(frozen=True)
class MlasSums(Rule, family="float_sum"):
    """ONNX Runtime on x86-64 with FMA3, one thread, without the blocked layout of level ALL.

    Source: core/mlas/lib/{convolve,sgemm,pooling}.cpp; compared with onnxruntime 1.32 bit for bit.
    """

    #: Whether the session may use the blocked layout (NCHWc) where an operator allows it; the order there is not known.
    blocked: bool = False
    #: Lanes in which Softmax adds up its exponentials: 16 on CPUs with AVX-512, 8 on those with AVX2 alone. With 16 of
    #: them x sigmoid(x) has a kernel of its own.
    lanes: int = 16
    status: str = choice(ESTABLISHED, of=STATUSES)

    def doubt(self, movable: bool) -> str:
        if self.blocked and movable:
            return "a session at level ALL may run it in a blocked layout (NCHWc), where its order of sums is not known"
        return ""

    def conv(self, weights: Float32, columns: Float32, positions: int, whole_rows: bool) -> Float32:
        rows, terms = weights.shape[1:]
        if rows == 1 and not whole_rows:
            return products.row_sums(weights[:, 0], columns)[:, None]
        if rows == 1:
            return products.column_sums(weights[:, 0], np.moveaxis(columns, 1, 2))[:, None]
        if positions == 1 and not whole_rows:
            return products.column_sums(columns[:, :, 0], weights)[:, :, None]
        parts = products.stride_parts(True, positions, terms)
        return products.blocked_sums(weights, columns, None, parts, ONE)

    def gemm(self, a: Float32, b: Float32, c: Float32 | None, call: GemmCall) -> Float32:
        alpha, beta = float(np.float32(call.alpha)), np.float32(call.beta)
        start = None if c is None or beta == 0 else c[None] if beta == 1 else (c * beta)[None]
        (rows, terms), columns = a.shape, b.shape[1]
        plain = not call.packed and alpha == 1 and (start is None or beta == 1)
        if plain and rows == 1 and not call.transposed[0]:
            first = None if start is None else start[:, 0]
            if call.transposed[1]:
                return products.column_sums(a, b.T[None], first)
            return products.row_sums(a, b[None], first)
        if plain and columns == 1 and (not call.transposed[1] or terms == 1):
            first = None if start is None else start[:, :, 0]
            if call.transposed[0]:
                return np.asarray(products.row_sums(b.T, a.T[None], first).T)
            return np.asarray(products.column_sums(b.T, a[None], first).T)
        parts = products.every(256, terms)
        if not call.packed:
            parts = products.stride_parts(not call.transposed[0], columns, terms)
        return np.asarray(products.blocked_sums(a[None], b[None], start, parts, alpha)[0])

    def global_sums(self, rows: Float32) -> Float32:
        return products.lane_sums(rows)

    def softmax(self, rows: Float32, logarithm: bool) -> Float32:
        return (mlas.log_softmax if logarithm else mlas.softmax)(rows, self.lanes)

    def silu(self, x: Float32) -> Float32:
        return mlas.silu(x) if self.lanes == 16 else np.asarray(x * mlas.sigmoid(x))

    def window_sums(self, taps: Float32, kernel: tuple[int, int], vector: bool) -> Float32:
        if vector:  # down each column of the window first, then along
            by_row = taps.reshape(*kernel, *taps.shape[1:])
            taps = _in_order(by_row)
        return _in_order(taps)


@dataclass(frozen=True)
class AnySum(Rule, family="float_sum"):
    """NumPy's own sums stand in for arithmetics whose order is not known: close, never promised."""

    #: Why the order is not known.
    reason: str
    status: str = choice(UNKNOWN, of=STATUSES)

    def doubt(self, movable: bool) -> str:
        return self.reason

    def conv(self, weights: Float32, columns: Float32, positions: int, whole_rows: bool) -> Float32:
        return np.asarray(np.matmul(weights, columns))

    def gemm(self, a: Float32, b: Float32, c: Float32 | None, call: GemmCall) -> Float32:
        product: Any = np.matmul(a, b) * np.float32(call.alpha)
        return np.asarray(product if c is None else product + np.float32(call.beta) * c)

    def global_sums(self, rows: Float32) -> Float32:
        return np.asarray(rows.sum(axis=1, dtype=np.float32))

    def softmax(self, rows: Float32, logarithm: bool) -> Float32:
        return (mlas.log_softmax if logarithm else mlas.softmax)(rows, 8)

    def silu(self, x: Float32) -> Float32:
        return np.asarray(x * mlas.sigmoid(x))

    def window_sums(self, taps: Float32, kernel: tuple[int, int], vector: bool) -> Float32:
        return np.asarray(taps.sum(axis=0, dtype=np.float32))


def _in_order(parts: Array) -> Float32:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return np.asarray(total)
