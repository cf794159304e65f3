"""A convolution by the rows of its kernel, without im2col.

A band of rows is copied to a buffer whose rows have zeros at both ends. There, the taps of one kernel row lie side by
side: pixels x to x + kernel columns are one run of floats. Every q-th output pixel's runs do not overlap, so that they
are the rows of a matrix, and q such matrices (`phases`) are all output pixels. Rows of a stride go to buffers of their
own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from qdqnp.quant import Array
from qdqnp.schedule.finish import tile_floats
from qdqnp.schedule.form import Banded, Call, bands
from qdqnp.schedule.image import PlacedImage
from qdqnp.schedule.layer import ConvolvedLayer
from qdqnp.schedule.products import Product, multiplied, products, view
from qdqnp.schedule.store import stored

#: Floats that a band works on, which should stay in the cache of a core. Measured; it decides speed only.
BAND = 512 * 1024


def fits(layer: ConvolvedLayer) -> bool:
    """Tell whether the taps of a kernel row lie side by side."""
    return layer.window.dilations[1] == 1 or layer.window.kernel[1] == 1


class KernelRows(Banded):
    """sums = over kernel rows, and for each block: runs (pixels, kernel columns * C) @ weights, added up."""

    kind = "kernel rows in place"

    def __init__(self, layer: ConvolvedLayer) -> None:
        self.layer, self.label, self.reads, self.output = layer, layer.label, layer.reads, layer.y
        self.proof = layer.proof
        (kernel_rows, kernel_columns), (down, across) = layer.window.kernel, layer.window.strides
        self.blocks, _, _, self.inner, self.outer = layer.weights.shape
        self.left = layer.window.pads[1]
        #: Where windows are one column wide, columns that none of them reads are not copied: the stride is then 1.
        self.skip = across if kernel_columns == 1 and not self.left else 1
        self.across = across = across // self.skip
        self.phases = -(-kernel_columns // across)
        #: Pixels from one row of a phase's matrix to the next.
        self.unit = self.phases * across
        y = layer.y
        self.pitch = -(-((y.width - 1) * across + kernel_columns) // self.unit) * self.unit
        #: Output pixels of a row, of which the first `y.width` are meant.
        self.out_pitch = self.pitch // across
        #: For each kernel row: the buffer among those of the stride, and rows down in it.
        shifts = [row * layer.window.dilations[0] for row in range(kernel_rows)]
        self.places = [(shift % down, shift // down) for shift in shifts]
        #: Columns of the input that are copied.
        self.columns = min(-(-layer.x.width // self.skip), self.pitch - self.left)
        self.rows_read = (kernel_rows, down, layer.window.dilations[0], layer.window.pads[0])
        self.borders = self._borders(y.height)
        self._plan()

    def _borders(self, rows: int) -> tuple[int, int]:
        """Return the rows of zeros that `rows` rows of output read above and below the input."""
        start, stop = self.needs(0, rows)
        return -start, max(0, stop - self.layer.x.height)

    def _plan(self) -> None:
        """Choose bands, and size the work memory."""
        y, buffers = self.output, 1 + max(buffer for buffer, _ in self.places)
        per_row = self.pitch * self.layer.x.channels * buffers + self.out_pitch * y.channels * 2
        self.bands = bands(y.height, BAND // max(1, per_row))
        rows = self.bands[0][1]
        self.rows = rows + max(down for _, down in self.places)
        source = self.blocks * buffers * self.rows * self.pitch * self.inner
        tile = tile_floats(rows * self.out_pitch, y.channels)
        slack = (self.layer.window.kernel[1] + self.unit) * self.inner
        self.work = (source + slack, tile, tile, self.layer.finish.wide_floats * tile)
        weights = self.layer.weights.astype(np.float32)
        shape = (self.blocks, 1, -1, self.outer)
        self.weights = [np.ascontiguousarray(weights[:, row]).reshape(shape) for row in range(weights.shape[1])]

    def _source(self, flat: Array) -> Array:
        """View work memory as (blocks, buffers of the stride, rows, pixels, channels of a block)."""
        buffers = 1 + max(buffer for buffer, _ in self.places)
        shape = (self.blocks, buffers, self.rows, self.pitch, self.inner)
        return flat[: int(np.prod(shape))].reshape(shape)

    def _copies(self, x: PlacedImage, source: Array, first: int, count: int) -> list[tuple[Array, Array]]:
        """Return (to, from) of the input's rows that `count` rows of output from `first` on read."""
        top, down = self.layer.window.pads[0], self.layer.window.strides[0]
        found = []
        for buffer in sorted({buffer for buffer, _ in self.places}):
            rows = count + max(shift for at, shift in self.places if at == buffer)
            start = first * down + buffer - top
            read = x.rows(start, start + (rows - 1) * down + 1, down)[:, :: self.skip][:, : self.columns]
            read = read.reshape(rows, self.columns, self.blocks, self.inner).transpose(2, 0, 1, 3)
            into = source[:, buffer, :rows, self.left : self.left + self.columns]
            if self.blocks > 1:  # the channels of a block are moved as one element: NumPy's loops are longer
                run = np.dtype((np.void, 4 * self.inner))
                into, read = into.view(run), read.view(run)
            found.append((into, read))
        return found

    def prepare(self, work: Sequence[Array]) -> Sequence[Call]:
        return [borders_cleared(self._source(work[0]), self.left, self.left + self.columns)]

    def band(self, placed: Mapping[str, PlacedImage], work: Sequence[Array], first: int, count: int) -> Call:
        layer, y = self.layer, self.output
        other = placed[layer.shortcut.other.name] if layer.shortcut is not None else None
        flat, tile, spare, wide = work
        pixels = count * self.out_pitch
        parts: list[list[Product]] = []
        for (buffer, down), weights in zip(self.places, self.weights, strict=True):
            out = tile if not parts else spare
            parts.append(self._products(flat, buffer, down, weights, out, pixels))
        sums = tile[: pixels * y.channels].reshape(count, self.out_pitch, y.channels)[:, : y.width]
        finish = layer.finish.bind(tile[: tile_floats(pixels, y.channels)], wide)
        last = stored(sums, layer.finish.settle, first, placed[y.name], layer.shortcut, other, spare)
        copies = self._copies(placed[layer.x.name], self._source(flat), first, count)
        made = [partial(multiplied, part) for part in parts]
        return added_up(copies, made, tile[: pixels * y.channels], spare[: pixels * y.channels], finish, last)

    def _products(self, flat: Array, buffer: int, down: int, weights: Array, out: Array, pixels: int) -> list[Product]:
        """Return the products of one kernel row, in the buffer and rows down in it, for so many output pixels."""
        plane = self.rows * self.pitch * self.inner
        buffers = 1 + max(at for at, _ in self.places)
        channels = self.output.channels
        rows, terms = pixels // self.phases, weights.shape[-2]
        left = view(
            flat,
            buffer * plane + down * self.pitch * self.inner,
            (self.blocks, self.phases, rows, terms),
            (buffers * plane, self.across * self.inner, self.unit * self.inner, 1),
        )
        made = view(
            out,
            0,
            (self.blocks, self.phases, rows, self.outer),
            (self.outer, channels, self.phases * channels, 1),
        )
        return products(left, weights, made)


def borders_cleared(source: Array, left: int, right: int) -> Call:
    """Return what zeroes the columns of a buffer that no input column takes, before `left` and from `right` on."""

    def clear(_: Mapping[str, Array]) -> None:
        source[..., :left, :] = 0
        source[..., right:, :] = 0

    return clear


def added_up(
    copies: Sequence[tuple[Array, Array]],
    parts: Sequence[Callable[[], Any]],
    tile: Array,
    spare: Array,
    finish: Callable[[], None],
    last: Callable[[], None],
) -> Call:
    """Return what computes a band whose sums are added up from parts.

    copies: (to, from) of what is read.
    parts: the first writes to `tile`, each other to `spare`.
    """

    def call(_: Mapping[str, Array]) -> None:
        for into, read in copies:
            np.copyto(into, read)
        for index, part in enumerate(parts):
            part()
            if index:
                np.add(tile, spare, out=tile)
        finish()
        last()

    return call
