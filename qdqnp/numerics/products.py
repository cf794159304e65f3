"""Float32 matrix products, addition by addition, in the orders of ONNX Runtime's MLAS on x86-64 with FMA3.

A float32 sum depends on the order of its additions and on where a multiplication is fused into one. Each function
here is one order. Operands are stacks of matrices: left (G, M, K), right (G, K, N); results (G, M, N).
Source: ONNX Runtime 1.32, core/mlas/lib/sgemm.cpp and x86_64/Sgemm*.S; compared with it bit for bit, one thread.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdqnp.numerics.chain import chained_sums
from qdqnp.numerics.float32 import DROPPED, MIDDLE, SMALLEST_NORMAL, fma32
from qdqnp.quant import Float32

F32 = np.float32
# Elements worked on at a time, so that they stay in cache. The number was measured and decides speed only.
TILE = 16 * 1024


def fused_sums(left: Float32, right: Float32) -> Float32:
    """Add up with one accumulator per element, from k = 0 on: acc = fma(left[k], right[k], acc), acc = 0 at first."""
    quick = chained_sums(left, right)
    return by_definition(left, right) if quick is None else quick


def by_definition(left: Float32, right: Float32) -> Float32:
    """Compute `fused_sums` one fused multiply-add after the other."""
    groups, rows, terms = left.shape
    columns = right.shape[2]
    out = np.zeros((groups, rows, columns), F32)
    if out.size == 0 or terms == 0:
        return out
    plain = _never_tiny(left, right)
    width = min(columns, TILE)
    height = max(1, TILE // width)
    depth = max(1, TILE // (width * min(height, rows)))
    for g in range(0, groups, depth):
        for n in range(0, columns, width):
            part: Any = right[g : g + depth, :, n : n + width]
            part = part.astype(np.float64) if plain else part
            for m in range(0, rows, height):
                tile = out[g : g + depth, m : m + height, n : n + width]
                (_fuse_plain if plain else _fuse)(left[g : g + depth, m : m + height], part, tile)
    return out


def _fuse(left: Float32, right: Float32, out: Float32) -> None:
    for k in range(left.shape[2]):
        out[...] = fma32(left[:, :, k, None], right[:, k, None, :], out)


def _fuse_plain(left: Float32, right: NDArray[np.float64], out: Float32) -> None:
    """Do as `_fuse`, for operands whose nonzero sums are never below float32's normal range.

    Of all float64 sums only those in the middle between two float32 can then round wrongly, and these are rare.
    """
    wide = np.moveaxis(left.astype(np.float64), 2, 0)[..., None]
    total = np.empty(out.shape, np.float64)
    acc, product = np.zeros_like(total), np.empty_like(total)
    narrow, bits = np.zeros(out.shape, F32), np.empty(out.shape, np.int64)
    for k in range(left.shape[2]):
        np.multiply(wide[k], right[:, k, None, :], out=product)
        np.add(product, acc, out=total)
        np.bitwise_and(total.view(np.int64), DROPPED, out=bits)
        if (bits == MIDDLE).any():
            narrow = fma32(left[:, :, k, None], right[:, k, None, :].astype(F32), narrow)
        else:
            np.copyto(narrow, total, casting="same_kind")
        np.copyto(acc, narrow)
    out[...] = narrow


def _never_tiny(left: Float32, right: Float32) -> bool:
    """Tell whether every partial sum is 0 or a float32 in the normal range.

    Each product is a multiple of the product of the operands' smallest steps, and so is what rounding makes of their
    sums.
    """
    return bool(_smallest_step(left) * _smallest_step(right) >= SMALLEST_NORMAL)


def _smallest_step(values: Float32) -> float:
    """Return the distance from the smallest magnitude other than 0 to the next float32."""
    magnitude = np.abs(values)
    smallest = magnitude.min(where=magnitude > 0, initial=np.float32(1))
    return float(np.spacing(np.float32(smallest)))


def blocked_sums(left: Float32, right: Float32, start: Float32 | None, parts: tuple[int, ...], alpha: float) -> Float32:
    """Add up with K cut into blocks: `fused_sums` of each, times alpha, added to the result so far in a fused step.

    start: the result at first (beta * C of a Gemm), (G, M, N); None: the first block is only multiplied by alpha.
    parts: where K is cut, (0, ..., K).
    """
    result, factor = start, np.asarray(alpha, F32)
    for begin, end in pairwise(parts):
        sums = fused_sums(left[:, :, begin:end], right[:, begin:end])
        if factor == 1:  # the fused step is an addition
            result = sums if result is None else np.add(sums, result, out=sums)
        else:
            result = sums * factor if result is None else fma32(sums, factor, result)
    assert result is not None
    return result


def stride_parts(rows_first: bool, columns: int, terms: int) -> tuple[int, ...]:
    """Return where MLAS cuts K for a product with N columns: every 128 terms, or more terms where N is small.

    rows_first: whether the left operand is not transposed; if it is transposed, the stride stays 128 for a small N.
    columns: N. terms: K.
    """
    stride_n, stride_k = 128, 128
    if columns < terms and rows_first:
        while stride_n > 16 and stride_n // 2 >= columns:
            stride_n, stride_k = stride_n // 2, stride_k * 2
    return every(stride_k, terms)


def every(stride: int, terms: int) -> tuple[int, ...]:
    """Return 0, stride, 2 * stride, ..., terms."""
    return (*range(0, terms, stride), terms) if terms else (0, 0)


def row_sums(left: Float32, right: Float32, start: Float32 | None = None) -> Float32:
    """Multiply a vector (G, K) by (G, K, N), without fusing (M = 1).

    Four products at a time are added up, then added to the result so far; the last two and the last one likewise.
    """
    terms = left.shape[1]
    result = np.zeros((right.shape[0], right.shape[2]), F32) if start is None else start
    k = 0
    while k < terms:
        count = 4 if terms - k >= 4 else 2 if terms - k >= 2 else 1
        part = left[:, k, None] * right[:, k]
        for index in range(k + 1, k + count):
            part = part + left[:, index, None] * right[:, index]
        result = part + result
        k += count
    return result


def column_sums(vector: Float32, rows: Float32, start: Float32 | None = None) -> Float32:
    """Multiply a vector (G, K) by each of the rows (G, R, K), to (G, R), without fusing.

    Eight lanes of products are summed over k, then across the lanes. That last step goes by four rows, then two, then
    one, each in an order of its own.
    """
    terms, count = vector.shape[1], rows.shape[1]
    pad = -terms % 8
    vector, rows = np.pad(vector, ((0, 0), (0, pad))), np.pad(rows, ((0, 0), (0, 0), (0, pad)))
    lanes = np.zeros((*rows.shape[:2], 8), F32)
    for k in range(0, terms, 8):
        lanes = lanes + vector[:, None, k : k + 8] * rows[:, :, k : k + 8]
    low, high = lanes[..., :4], lanes[..., 4:]
    fours, pair = count // 4 * 4, count // 4 * 4 + count % 4 // 2 * 2
    result = _in_turn(low) + _in_turn(high)
    result[:, fours:pair] = _halves(low, high)[:, fours:pair]
    result[:, pair:] = (_by_twos(low) + _by_twos(high))[:, pair:]
    return result if start is None else result + start


def _in_turn(x: Float32) -> Float32:
    return np.asarray(((x[..., 0] + x[..., 1]) + x[..., 2]) + x[..., 3])


def _by_twos(x: Float32) -> Float32:
    return np.asarray((x[..., 0] + x[..., 1]) + (x[..., 2] + x[..., 3]))


def _halves(low: Float32, high: Float32) -> Float32:
    even = (low[..., 2] + low[..., 0]) + (high[..., 2] + high[..., 0])
    odd = (low[..., 3] + low[..., 1]) + (high[..., 3] + high[..., 1])
    return np.asarray(even + odd)


def lane_sums(rows: Float32) -> Float32:
    """Add up the last axis of (R, n): four lanes, added up as (0 + 2) + (1 + 3), then what is left one by one.

    Source: core/mlas/lib/pooling.cpp, the global kernel.
    """
    whole = rows.shape[1] // 4 * 4
    lanes = np.zeros((rows.shape[0], 4), F32)
    for index in range(0, whole, 4):
        lanes = lanes + rows[:, index : index + 4]
    total = (lanes[:, 0] + lanes[:, 2]) + (lanes[:, 1] + lanes[:, 3])
    for index in range(whole, rows.shape[1]):
        total = total + rows[:, index]
    return total
