"""Float32 products with weights that are quantized in blocks, in the orders of ONNX Runtime's MLAS with AVX512-VNNI.

Weights are codes (N, blocks, L): N columns, each in blocks of L codes that share a scale and a zero point. What differs
between CPUs is in which lanes of a vector products are added up: on a CPU without AVX512-VNNI the last bits differ.
Source: ONNX Runtime 1.32, core/mlas/lib/qnbitgemm.cpp and sqnbitgemm_kernel_avx512*; compared with it bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from qdqnp.numerics.float32 import fma32
from qdqnp.numerics.products import fused_sums
from qdqnp.quant import Codes, Float32

F32 = np.float32
# Products worked on at a time. The number decides speed and memory only.
TILE = 2**18
Lanes = Callable[[Float32, Float32], Float32]
Fold = Callable[[Float32], Float32]


def dequantized(codes: Codes, scales: Float32, zeros: Float32, terms: int) -> Float32:
    """Return the weights as real values, (N, terms).

    codes: (N, blocks, L). scales, zeros: (N, blocks). terms: K; the rest of the last block is left out.
    """
    real = (codes.astype(F32) - zeros[..., None]) * scales[..., None]
    return np.ascontiguousarray(real.reshape(codes.shape[0], -1)[:, :terms])


def real_products(a: Float32, weights: Float32, bias: Float32 | None) -> Float32:
    """Multiply real rows (M, K) by dequantized weights (N, K), to (M, N).

    Several rows: one fused accumulator each, from k = 0 on. A single row: sixteen lanes, which are added up at last.
    """
    if a.shape[0] == 1:
        terms = a.shape[1]
        pad = -terms % 16
        row, columns = np.pad(a[0], (0, pad)), np.pad(weights, ((0, 0), (0, pad)))
        lanes = np.zeros((len(weights), 16), F32)
        for k in range(0, terms, 16):
            lanes = fma32(columns[:, k : k + 16], row[k : k + 16], lanes)
        sums = _by_columns(lanes, _fold_16, _sum_16)[None]
    else:
        sums = fused_sums(a[None], np.ascontiguousarray(weights.T)[None])[0]
    return sums if bias is None else sums + bias


def quantized_blocks(a: Float32, length: int) -> tuple[Float32, Float32]:
    """Return int8 codes of rows (M, K) as float32, (M, blocks, length), and their scales, (M, blocks).

    A block's scale is its largest magnitude over 127; the last block is filled up with zeros.
    """
    rows = np.pad(a, ((0, 0), (0, -a.shape[1] % length))).reshape(a.shape[0], -1, length)
    largest = np.abs(rows).max(axis=2, initial=0)
    inverse = np.divide(F32(127), largest, out=np.zeros_like(largest), where=largest != 0)
    return np.rint(rows * inverse[..., None]), largest / F32(127)


def integer_products(
    a: Float32, codes: Codes, scales: Float32, zeros: Float32, bias: Float32 | None, bits: int
) -> Float32:
    """Quantize rows (M, K) by blocks, and multiply them by weights, to (M, N).

    Per block and lane the sum of the products of codes is exact; it is multiplied by both scales as it is added. What
    the zero points contribute is a product of its own, added at last.

        codes: (N, blocks, L), with `bits` bits. scales, zeros: (N, blocks).
    """
    length = codes.shape[2]
    quantized, row_scales = quantized_blocks(a, length)
    row_sums = row_scales * quantized.sum(axis=2)  # integers below 2^24
    offsets = fused_sums(row_sums[None], np.ascontiguousarray(-(scales * zeros).T)[None])[0]
    weights = codes.astype(F32)
    out = np.empty((a.shape[0], codes.shape[0]), F32)
    for rows, columns in _tiles(out.shape, codes[0].size):
        products = quantized[rows, None] * weights[columns]
        factors = row_scales[rows, None] * scales[columns]
        lanes = _lanes(length)(products, factors)
        out[rows, columns] = _folded(lanes, rows.start, a.shape[0], length, bits)
    return np.asarray((out if bias is None else out + bias) + offsets)


def _tiles(shape: tuple[int, ...], terms: int) -> Iterator[tuple[slice, slice]]:
    """Cut a product into tiles; all begin at an even row, and at a column that is a multiple of 4."""
    width = max(4, min(shape[1], TILE // max(1, 2 * terms)) // 4 * 4)
    height = max(2, TILE // max(1, width * terms) // 2 * 2)
    for row in range(0, shape[0], height):
        for column in range(0, shape[1], width):
            yield slice(row, min(row + height, shape[0])), slice(column, min(column + width, shape[1]))


# -- sums of products by lanes: products (M, N, blocks, L), exact integers; factors (M, N, blocks) --------------------
def _lanes(length: int) -> Lanes:
    return {16: _lanes_16, 32: _lanes_32, 64: _lanes_64}.get(length, _lanes_128)


def _crossed(products: Float32) -> Float32:
    """Add up sixteens of products (..., 16 n) to pairs (..., n, 2): elements 0-3 with 8-11, 4-7 with 12-15."""
    fours = products.reshape(*products.shape[:-1], -1, 2, 2, 4).sum(axis=-1)
    crossed: Float32 = fours.sum(axis=-2)
    return crossed


def _lanes_16(products: Float32, factors: Float32) -> Float32:
    """Take eight blocks at a time, each in two of sixteen lanes; those that are left in eight lanes, two by two."""
    blocks, lanes = products.shape[2], np.zeros((*products.shape[:2], 16), F32)
    whole = blocks // 8 * 8
    order = [0, 0, 4, 4, 1, 1, 5, 5, 2, 2, 6, 6, 3, 3, 7, 7]
    for k in range(0, whole, 8):
        pairs = _crossed(products[:, :, k : k + 8])[:, :, [0, 4, 1, 5, 2, 6, 3, 7], 0]
        lanes = fma32(pairs.reshape(lanes.shape), factors[:, :, k : k + 8][..., order], lanes)
    left = lanes[..., :8] + lanes[..., 8:]
    for k in range(whole, blocks):
        twos = products[:, :, k].reshape(*left.shape, 2).sum(axis=-1)
        left = fma32(twos, factors[:, :, k, None], left)
    return left


def _lanes_32(products: Float32, factors: Float32) -> Float32:
    """Take four blocks at a time, each in four of sixteen lanes; those that are left in eight lanes, four by four."""
    blocks, lanes = products.shape[2], np.zeros((*products.shape[:2], 16), F32)
    whole = blocks // 4 * 4
    order = [0, 0, 2, 2, 0, 0, 2, 2, 1, 1, 3, 3, 1, 1, 3, 3]
    for k in range(0, whole, 4):
        pairs = _crossed(products[:, :, k : k + 4])  # (M, N, block, half, 2)
        placed = pairs[:, :, [0, 2, 0, 2, 1, 3, 1, 3], [0, 0, 1, 1, 0, 0, 1, 1]]
        lanes = fma32(placed.reshape(lanes.shape), factors[:, :, k : k + 4][..., order], lanes)
    left = lanes[..., :8] + lanes[..., 8:]
    for k in range(whole, blocks):
        fours = products[:, :, k].reshape(*left.shape, 4).sum(axis=-1)
        left = fma32(fours, factors[:, :, k, None], left)
    return left


def _lanes_64(products: Float32, factors: Float32) -> Float32:
    """Take two blocks at a time, in turn in sixteen lanes; the one that is left in all of them."""
    blocks, lanes = products.shape[2], np.zeros((*products.shape[:2], 16), F32)
    for k in range(0, blocks - 1, 2):
        pairs = _crossed(products[:, :, k : k + 2])  # (M, N, block, quarter, 2)
        placed = np.moveaxis(pairs, 2, -1)  # lanes of a quarter: block 0, block 1, block 0, block 1
        lanes = fma32(placed.reshape(lanes.shape), factors[:, :, k : k + 2][..., [0, 1] * 8], lanes)
    if blocks % 2:
        fours = products[:, :, -1].reshape(*lanes.shape, 4).sum(axis=-1)
        lanes = fma32(fours, factors[:, :, -1, None], lanes)
    return lanes


def _lanes_128(products: Float32, factors: Float32) -> Float32:
    """Take 128 products at a time, eight in each of sixteen lanes."""
    images, columns, blocks, length = products.shape
    sums = products.reshape(images, columns, blocks, length // 128, 2, 16, 4).sum(axis=(-3, -1))
    lanes = np.zeros((images, columns, 16), F32)
    for k in range(blocks):
        for part in range(length // 128):
            lanes = fma32(sums[:, :, k, part], factors[:, :, k, None], lanes)
    return lanes


# -- sums across lanes -------------------------------------------------------------------------------------------------
def _folded(lanes: Float32, first: int, rows: int, length: int, bits: int) -> Float32:
    """Add up the lanes of (M, N, lanes).

    Four columns at a time are folded, and the columns that are left are summed. With long blocks rows go in pairs,
    whose columns are all summed.

        first: the number of the first row. rows: how many rows the whole product has.
    """
    if lanes.shape[-1] == 8:
        return _by_columns(lanes, _fold_8, _sum_8)
    if length == 64 and bits == 8:
        return _by_columns(lanes, _fold_16, _sum_16)
    out = _sum_16(lanes)
    if rows % 2 and first + len(lanes) == rows:
        out[-1] = _by_columns(lanes[-1], _fold_16, _sum_16)
    return out


def _by_columns(lanes: Float32, fold: Fold, add: Fold) -> Float32:
    fours = lanes.shape[-2] // 4 * 4
    return np.concatenate([fold(lanes[..., :fours, :]), add(lanes[..., fours:, :])], axis=-1)


def _quarter(lanes: Float32, at: int) -> Float32:
    return np.asarray(((lanes[..., at] + lanes[..., at + 1]) + lanes[..., at + 2]) + lanes[..., at + 3])


def _fold_8(lanes: Float32) -> Float32:
    return _quarter(lanes, 0) + _quarter(lanes, 4)


def _fold_16(lanes: Float32) -> Float32:
    return (_quarter(lanes, 0) + _quarter(lanes, 8)) + (_quarter(lanes, 4) + _quarter(lanes, 12))


def _sum_8(lanes: Float32) -> Float32:
    fours = lanes[..., :4] + lanes[..., 4:]
    twos = fours[..., :2] + fours[..., 2:]
    return np.asarray(twos[..., 0] + twos[..., 1])


def _sum_16(lanes: Float32) -> Float32:
    return _sum_8(lanes[..., :8] + lanes[..., 8:])
