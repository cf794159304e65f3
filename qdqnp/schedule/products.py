"""Matrix products over views: cut so small that BLAS multiplies where the operands lie, without packing a copy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qdqnp.kernels.sums import SMALL_PRODUCT
from qdqnp.quant import Array

#: Small products are worth their calls where each has so many rows, and fewer terms than this: with more terms, what
#: BLAS packs is used often enough. Both were measured and decide speed only.
FEWEST_ROWS = 32
FEW_TERMS = 256

#: left (..., L, K), right (..., K, M), out (..., L, M).
Product = tuple[Array, Array, Array]


def view(flat: Array, offset: int, shape: Sequence[int], strides: Sequence[int]) -> Array:
    """Return a view of flat float32 memory; offset and strides count floats. It never leaves the memory."""
    return np.ndarray(tuple(shape), flat.dtype, flat, 4 * offset, tuple(4 * stride for stride in strides))


def products(left: Array, right: Array, out: Array) -> list[Product]:
    """Return the calls of matmul that together compute out = left @ right.

    left: (..., L, K); right: (..., K, M) or a broadcast of it; out: (..., L, M).
    """
    rows, terms = left.shape[-2:]
    block = SMALL_PRODUCT // max(1, terms * right.shape[-1])
    if block >= rows or block < FEWEST_ROWS or terms >= FEW_TERMS:
        return [(left, right, out)]
    count = -(-rows // block)
    block = -(-rows // count)
    whole = rows // block * block
    calls = [(_by_rows(left, block), right[..., None, :, :], _by_rows(out, block))]
    if whole < rows:
        calls.append((left[..., whole:, :], right, out[..., whole:, :]))
    return calls


def multiplied(parts: Sequence[Product]) -> None:
    """Compute products."""
    for left, right, out in parts:
        np.matmul(left, right, out=out)


def _by_rows(array: Array, block: int) -> Array:
    """View the first rows of (..., L, K) as (..., L // block, block, K)."""
    *lead, rows, columns = array.shape
    *before, row, column = array.strides
    shape, strides = (*lead, rows // block, block, columns), (*before, block * row, row, column)
    return np.lib.stride_tricks.as_strided(array, shape, strides)
