"""Matrix products over views: cut so small that BLAS multiplies where the operands lie, without packing a copy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qdqnp.kernels.sums import SMALL_PRODUCT
from qdqnp.quant import Array

#: Channels of a small product, at most, and what they are a multiple of; a product of fewer rows is not worth its call.
#: All were measured and decide speed only.
MOST_CHANNELS = 64
CHANNELS_OF = 16
FEWEST_ROWS = 4

#: left (..., L, K), right (..., K, M), out (..., L, M).
Product = tuple[Array, Array, Array]


def view(flat: Array, offset: int, shape: Sequence[int], strides: Sequence[int]) -> Array:
    """Return a view of flat float32 memory; offset and strides count floats. It never leaves the memory."""
    return np.ndarray(tuple(shape), flat.dtype, flat, 4 * offset, tuple(4 * stride for stride in strides))


def products(left: Array, right: Array, out: Array) -> list[Product]:
    """Return the calls of matmul that together compute out = left @ right.

    left: (..., L, K); right: (..., K, M) or a broadcast of it; out: (..., L, M).
    """
    (rows, terms), channels = left.shape[-2:], right.shape[-1]
    if rows * terms * channels <= SMALL_PRODUCT:
        return [(left, right, out)]
    channels = _channels(channels)
    block = min(rows, SMALL_PRODUCT // max(1, terms * channels))
    if block < FEWEST_ROWS:
        return [(left, right, out)]
    block = -(-rows // -(-rows // block))
    whole = rows // block * block
    right = _by_channels(right, channels)
    parts = [(slice(whole), block)] + [(slice(whole, None), rows - whole)] * (whole < rows)
    return [
        (
            _by_rows(left[..., part, :], count)[..., None, :, :],
            right[..., None, :, :, :],
            _by_channels(_by_rows(out[..., part, :], count), channels),
        )
        for part, count in parts
    ]


def multiplied(parts: Sequence[Product]) -> None:
    """Compute products."""
    for left, right, out in parts:
        np.matmul(left, right, out=out)


def _channels(channels: int) -> int:
    """Return the channels of a small product: the most that divide all."""
    fitting = range(CHANNELS_OF, min(channels, MOST_CHANNELS) + 1, CHANNELS_OF)
    return max((count for count in fitting if channels % count == 0), default=channels)


def _by_rows(array: Array, block: int) -> Array:
    """View (..., L, K) as (..., L // block, block, K)."""
    *lead, rows, columns = array.shape
    *before, row, column = array.strides
    shape, strides = (*lead, rows // block, block, columns), (*before, block * row, row, column)
    return np.lib.stride_tricks.as_strided(array, shape, strides)


def _by_channels(array: Array, channels: int) -> Array:
    """View (..., K, M) as (..., M // channels, K, channels)."""
    *lead, rows, columns = array.shape
    *before, row, column = array.strides
    shape = (*lead, columns // channels, rows, channels)
    return np.lib.stride_tricks.as_strided(array, shape, (*before, channels * column, row, column))
