"""Sums in one chain of fused multiply-adds for each element, by BLAS where this BLAS is seen to add just so.

MLAS keeps one accumulator for each element of a product, and so do most kernels of OpenBLAS. That is not taken for
granted: the order and the fusing are found by probing a product of the same shape and the same strides, once in a
process. A sum of a huge number, its negative and ones counts the terms that are added after the first two; all such
counts together determine the order (Xie et al., FPRev: Revealing Floating-Point Accumulation Orders, 2024). A residue
of a product that one rounding loses shows the fusing. What fails is computed by the definition.

Only OpenBLAS is asked. It chooses its kernel by shape, strides and processor alone, and a product of at most 2^18
multiplications is never cut among threads (OpenBLAS, interface/gemm.c: GEMM_MULTITHREAD_THRESHOLD); others may choose
by alignment or by load, which no probe can see.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from qdqnp.quant import Float32

F32 = np.float32
Product = Callable[..., Any]  # np.matmul's signature

#: Multiplications of one product that OpenBLAS computes in one thread, however many it has.
MOST = 2**18
#: Below as many multiplications the definition is as fast. The number decides speed only.
FEWEST = 20_000
#: Terms of a probe that everything before them is lost in, until its negative is added.
HUGE = 2.0**60
#: Columns of a product are cut in multiples of this many, which the kernels of OpenBLAS compute alike.
LANES = 16


@dataclass(frozen=True)
class Tiling:
    """How products are cut so that every element is one chain."""

    #: Rows come in multiples of this many.
    rows: int
    #: As many columns at both ends are computed and thrown away.
    margin: int
    #: No product has more columns, margins included.
    columns: int


#: Found by probing: the first holds for OpenBLAS's kernels with AVX-512, the second for those with AVX2, which add in
#: two accumulators at both ends of a row.
TILINGS = (Tiling(4, 0, MOST), Tiling(12, 8, 320))


def chained_sums(left: Float32, right: Float32) -> Float32 | None:
    """Compute acc = fma(left[k], right[k], acc) from k = 0 on, acc = 0, for every element; None where BLAS does not.

    left: (G, M, K). right: (G, K, N). Returns (G, M, N).
    """
    _, rows, terms = left.shape
    if rows * terms * right.shape[2] < FEWEST or not is_openblas():
        return None
    for tiling in TILINGS:
        sums = _cut_sums(left, right, tiling)
        # what is not a number has a sign and a payload, of which no probe tells
        if sums is not None:
            return sums if _finite(sums) else None
    return None


def _finite(sums: Float32) -> bool:
    """Tell whether all are finite: a finite total says so in one pass, and costs no memory."""
    with np.errstate(all="ignore"):
        return bool(np.isfinite(np.add.reduce(sums, axis=None)) or np.isfinite(sums).all())


def tiling_for(rows: int, terms: int, columns: int) -> Tiling | None:
    """Return how a product of (rows, terms) and (terms, columns) is cut here; None where the definition computes it."""
    left, right = np.ones((1, rows, terms), F32), np.ones((1, terms, columns), F32)
    found = (tiling for tiling in TILINGS if _cut_sums(left, right, tiling) is not None)
    return next(found, None) if rows * terms * columns >= FEWEST and is_openblas() else None


@cache
def is_openblas() -> bool:
    """Tell whether NumPy's products are OpenBLAS's, by what NumPy says of how it was built."""
    return "openblas" in str(numpy_built().get("Build Dependencies", {}).get("blas", {}).get("name", ""))


def numpy_built() -> dict[str, Any]:
    """Return what NumPy says of how it was built."""
    show_config: Any = np.show_config  # NumPy 2.1's stubs know no mode
    found: dict[str, Any] = show_config(mode="dicts")
    return found


def _cut_sums(left: Float32, right: Float32, tiling: Tiling) -> Float32 | None:
    """Compute the product in pieces of one shape; None where such a piece is no chain.

    The last columns are computed in a piece that overlaps the one before: no second shape has to be probed.
    """
    groups, rows, terms = left.shape
    columns = right.shape[2]
    height, width = _piece(rows, terms, columns, tiling)
    if height * terms * (width + 2 * tiling.margin) > MOST:
        return None
    high, wide = -(-rows // height) * height, max(columns, width)
    left = _padded(left, high, terms, 0).reshape(groups, -1, 1, height, terms)
    right = _padded(right, terms, wide, tiling.margin)
    out = np.empty((groups, high, wide), F32)
    if not is_chain(height, terms, width, tiling.margin, right.strides[1] // F32().itemsize, wide):
        return None
    windows = sliding_window_view(right, width + 2 * tiling.margin, axis=2).swapaxes(1, 2)[
        :, None
    ]  # (G, 1, at, K, width)
    whole = wide // width * width
    for start, end in ((0, whole), (wide - width, wide))[: 1 if whole == wide else 2]:
        place = out[:, :, start:end].reshape(groups, -1, height, (end - start) // width, width).swapaxes(2, 3)
        _multiply(left, windows[:, :, start:end:width], place, tiling.margin)
    return out[:, :rows, :columns]


def _piece(rows: int, terms: int, columns: int, tiling: Tiling) -> tuple[int, int]:
    """Return the height and the width of a piece, the margins not counted."""
    area = MOST // terms
    most = max(tiling.rows, math.isqrt(area) // tiling.rows * tiling.rows)
    height = -(-rows // (-(-rows // most) * tiling.rows)) * tiling.rows
    widest = min(area // height, tiling.columns) - 2 * tiling.margin
    # a call costs as much as some columns
    width = min(range(LANES, max(widest, LANES) + 1, LANES), key=lambda w: -(-columns // w) * (w + LANES // 2))
    return height, width


def _padded(stack: Float32, rows: int, columns: int, margin: int) -> Float32:
    """Return the matrices with zeros at their ends, as BLAS takes them; as they are where that is so already."""
    shape = (stack.shape[0], rows, columns + 2 * margin)
    if stack.shape == shape and stack.strides[2] == stack.itemsize <= stack.strides[1] and stack.flags.aligned:
        return stack
    padded = np.zeros(shape, F32)
    padded[:, : stack.shape[1], margin : margin + stack.shape[2]] = stack
    return padded


def _multiply(left: Float32, right: Float32, out: Float32, margin: int, product: Product = np.matmul) -> None:
    """Multiply stacks of matrices, and leave out the margin of the result's columns."""
    if margin:
        out[...] = product(left, right)[..., margin:-margin]
    else:
        product(left, right, out=out)


@lru_cache(4096)
def is_chain(
    rows: int, terms: int, columns: int, margin: int, pitch: int, out_pitch: int, product: Product = np.matmul
) -> bool:
    """Tell whether every element of a product is one chain of fused multiply-adds, in the order of k.

    rows, terms, columns: the shape, (rows, terms) times (terms, columns + 2 margin).
    margin: columns at both ends that do not count.
    pitch, out_pitch: elements from a row of the right operand, or of the result, to the next.
    product: what computes it.
    """
    left = np.ones((rows, terms), F32)
    right = np.empty((terms, pitch), F32)[:, : columns + 2 * margin]
    out = np.empty((rows, out_pitch), F32)[:, :columns]
    right[...] = 1

    def all_are(value: float) -> bool:
        _multiply(left, right, out, margin, product)
        # the sign of a zero counts
        return bool((out.view(np.int32) == F32(value).view(np.int32)).all())

    # From the second term on: how many terms are added after both this one and the first.
    for k in range(1, terms):
        left[:, 0], left[:, k] = HUGE, -HUGE
        if not all_are(terms - 1 - k):
            return False
        left[:, k] = 1
    # (1 + 2^-12)^2 = 1 + 2^-11 + 2^-24: rounded, as a product of its own, it loses the last part.
    left[...] = 0
    left[:, 0] = -(1 + 2.0**-11)
    for k in range(1, terms):
        left[:, k], right[k] = 1 + 2.0**-12, 1 + 2.0**-12
        if not all_are(2.0**-24):
            return False
        left[:, k], right[k] = 0, 1
    # Sums start from +0, and nothing below the normal range is flushed to zero.
    left[...], right[...] = -0.0, 1
    if not all_are(0.0):
        return False
    left[...], right[...] = 2.0**-75, 2.0**-74
    return all_are(terms * 2.0**-149)
