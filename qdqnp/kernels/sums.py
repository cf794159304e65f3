"""Exact integer sums, tile by tile: convolution by im2col in bands of rows, and matrix products.

A tile of sums is handed to `finish(tile)`, which turns it into codes while it is still in cache.
Tiles hold raw sums: products of weights with codes whose zero point has not been subtracted; `finish` corrects that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from qdqnp.kernels.pairs import SaturatingPairs
from qdqnp.kernels.scratch import Scratch
from qdqnp.kernels.strategy import FLOAT32, FLOAT64, INT64, SPLIT, Proof
from qdqnp.lazy import lazy
from qdqnp.quant import Array, Codes

# (tile of raw sums, shape (channels, positions) or (positions, channels); work memory) -> the codes, same shape, in
# any dtype that holds them. The tile may be overwritten, and returned.
Finish = Callable[[Array, Scratch], Array]

# (left, right, proof, out, work memory): out = left @ right, as `multiply` below does or in another way.
Product = Callable[[Array, Array, Proof, Array, Scratch], None]

# Elements of one im2col band, as measured: smaller bands pay for more calls, larger ones leave the caches.
BAND_ELEMENTS = 768 * 1024

# OpenBLAS multiplies up to 10^6 products without packing, a third faster for few rows; below some thirty columns
# the calls cost more than that gains. Both numbers were measured; they decide speed only.
SMALL_PRODUCT = 1_000_000
FEWEST_COLUMNS = 32

_PRODUCT_DTYPE = {FLOAT32: np.float32, SPLIT: np.float32, FLOAT64: np.float64, INT64: np.int64}
_TILE_DTYPE = {FLOAT32: np.float32, SPLIT: np.float64, FLOAT64: np.float64, INT64: np.int64}


@dataclass(frozen=True)
class Window:
    """The geometry of a 2-D sliding window, (rows, columns)."""

    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    #: The padding at the top, left, bottom and right.
    pads: tuple[int, int, int, int]

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        sizes = []
        for axis, size in enumerate((height, width)):
            reach = self.dilations[axis] * (self.kernel[axis] - 1) + 1
            sizes.append((size + self.pads[axis] + self.pads[axis + 2] - reach) // self.strides[axis] + 1)
        return sizes[0], sizes[1]


@dataclass(frozen=True, eq=False)
class Weights:
    """Weights of a proven product."""

    proof: Proof
    #: Makes the weights less their zero points, shape (groups, channels per group, K), in any dtype that holds them.
    centered: Callable[[], Array]
    #: The correction for profiles whose products saturate in pairs; None where sums are exact.
    pairs: SaturatingPairs | None = None

    @classmethod
    def of(cls, centered: Array, proof: Proof) -> Weights:
        """Return weights (groups, channels per group, K) that are there already."""
        return cls(proof, lambda: centered)

    @lazy
    def array(self) -> Array:
        """The weights, shape (groups, channels per group, K), in the product's dtype. They are made at the first
        product: a layer that a schedule computes has its own form of them, and never needs these."""
        return np.ascontiguousarray(self.centered(), self.product_dtype)

    @property
    def product_dtype(self) -> np.dtype[Any]:
        return np.dtype(_PRODUCT_DTYPE[self.proof.kind])

    @property
    def tile_dtype(self) -> np.dtype[Any]:
        return np.dtype(_TILE_DTYPE[self.proof.kind])


def multiply(left: Array, right: Array, proof: Proof, out: Array, scratch: Scratch) -> None:
    """Compute out = left @ right over the last axis of left, in the proof's arithmetic.

    out: has the proof's tile dtype.
    """
    if proof.kind != SPLIT:
        _product(left, right, out)
        return
    part = scratch.take("part", out.shape, np.float32)
    out[...] = 0
    for start, stop in pairwise(proof.parts):
        _product(left[..., start:stop], right[..., start:stop, :], part)
        np.add(out, part, out=out)


def _product(left: Array, right: Array, out: Array) -> None:
    """Multiply by NumPy's matmul, in blocks of columns where the rows are few.

    OpenBLAS then does not need a packed copy of `right`.
    """
    columns = right.shape[-1]
    block = SMALL_PRODUCT // max(1, left.shape[-2] * left.shape[-1])
    if not FEWEST_COLUMNS <= block < columns:
        np.matmul(left, right, out=out)
        return
    for start in range(0, columns, block):
        stop = start + block
        np.matmul(left, right[..., start:stop], out=out[..., start:stop])


def convolve(
    x: Codes,
    pad_code: int,
    weights: Weights,
    window: Window,
    finish: Finish,
    out: Array,
    scratch: Scratch,
    product: Product = multiply,
) -> None:
    """Write the convolution sums of codes x (N, C, H, W) to out (N, M, Ho, Wo) through `finish`.

    pad_code: the code with which x is padded.
    weights: shape (groups, M / groups, K) with K = C / groups * kernel rows * kernel columns.
    product: how left @ right is computed.
    """
    groups, per_group, terms = weights.array.shape
    rows_out, cols_out = out.shape[2:]
    if out.size == 0:
        return
    for image, result in zip(x, out, strict=True):
        patches = _patches(image, pad_code, window, rows_out, cols_out, scratch)
        band = max(1, min(rows_out, BAND_ELEMENTS // max(1, groups * terms * patches.pitch)))
        columns = scratch.take("columns", (groups * terms * band * patches.pitch,), weights.product_dtype)
        sums = scratch.take("sums", (groups * per_group * band * patches.pitch,), weights.tile_dtype)
        for row in range(0, rows_out, band):
            rows = min(band, rows_out - row)
            area = rows * patches.pitch
            column = columns[: groups * terms * area].reshape(groups, terms, area)
            patches.copy_rows(row, rows, column)
            tile = sums[: groups * per_group * area].reshape(groups, per_group, area)
            product(weights.array, column, weights.proof, tile, scratch)
            if weights.pairs is not None:
                weights.pairs.correct(column, tile)
            done = finish(tile.reshape(groups * per_group, area), scratch)
            codes = done.reshape(groups * per_group, rows, patches.pitch)[:, :, :cols_out]
            np.copyto(result[:, row : row + rows], codes, casting="unsafe")


@dataclass(frozen=True, eq=False)
class Patches:
    """im2col without the copy: a view of the padded image."""

    #: Shape (C, kernel rows, kernel columns, rows, columns).
    view: Codes
    #: Columns per output row in a tile. With stride 1 it is the padded width: a band of rows is then one contiguous run
    #: of the image for each tap, and the few columns between two rows hold sums that nobody reads.
    pitch: int
    #: Whether rows and columns are one axis of `view`, as with stride 1.
    contiguous: bool

    def copy_rows(self, row: int, rows: int, out: Array) -> None:
        """Copy output rows [row, row + rows) to out as columns, shape (groups, K, rows * pitch)."""
        if self.contiguous:
            part = self.view[..., row * self.pitch : (row + rows) * self.pitch]
        else:
            part = self.view[..., row : row + rows, :]
        np.copyto(out.reshape(part.shape), part)


def _patches(image: Codes, pad_code: int, window: Window, rows_out: int, cols_out: int, scratch: Scratch) -> Patches:
    buffer, (channels, height, width) = _padded(image, pad_code, window, scratch)
    size = buffer.itemsize
    taps = (size * height * width, size * width * window.dilations[0], size * window.dilations[1])
    if window.strides == (1, 1):
        run = (channels, *window.kernel, rows_out * width)
        return Patches(_strided(buffer, run, (*taps, size)), width, True)
    steps = (size * width * window.strides[0], size * window.strides[1])
    return Patches(_strided(buffer, (channels, *window.kernel, rows_out, cols_out), (*taps, *steps)), cols_out, False)


def _strided(buffer: Codes, shape: tuple[int, ...], strides: tuple[int, ...]) -> Codes:
    """Return a view of a flat buffer; unlike NumPy's as_strided this raises where the view would leave the buffer."""
    return np.ndarray(shape, buffer.dtype, buffer, 0, strides)


def _padded(image: Codes, pad_code: int, window: Window, scratch: Scratch) -> tuple[Codes, tuple[int, int, int]]:
    """Return the image (C, H, W) with pad_code around it, flat, and its padded shape.

    The buffer goes on after the image for as long as a contiguous run of the last tap may reach, with any codes.
    """
    top, left, bottom, right = window.pads
    channels, height, width = image.shape
    if not any(window.pads) and window.kernel == (1, 1):
        return np.ascontiguousarray(image).reshape(-1), (channels, height, width)
    shape = (channels, height + top + bottom, width + left + right)
    size = shape[0] * shape[1] * shape[2]
    beyond = window.dilations[1] * (window.kernel[1] - 1)
    buffer = scratch.take("padded", (size + beyond,), image.dtype)
    buffer[size:] = pad_code
    padded = buffer[:size].reshape(shape)
    padded[:, :top] = pad_code
    padded[:, top + height :] = pad_code
    padded[:, top : top + height, :left] = pad_code
    padded[:, top : top + height, left + width :] = pad_code
    padded[:, top : top + height, left : left + width] = image
    return buffer, shape
