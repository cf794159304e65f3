"""A convolution by the rows of its kernel, without im2col.

The rows of a band are strips, which have zeros at both ends (`strips.py`); an image is copied to strips, and who makes
the input may make them instead. There, the taps of one kernel row lie side by side: pixels x to x + kernel columns are
one run of floats. Every q-th output pixel's runs do not overlap, so that they are the rows of a matrix, and q such
matrices (`phases`) are all output pixels. Matrices go on from strip to strip: of the sums, those between two rows mean
nothing.
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
from qdqnp.schedule.runs import Copy, copied, copy_of
from qdqnp.schedule.store import stored
from qdqnp.schedule.strips import PlacedStrips, Strips

#: Floats that a band works on, which should stay in the cache of a core. Measured; it decides speed only.
BAND = 1024 * 1024


def fits(layer: ConvolvedLayer) -> bool:
    """Tell whether the taps of a kernel row lie side by side."""
    return layer.window.dilations[1] == 1 or layer.window.kernel[1] == 1


class KernelRows(Banded):
    """sums = over kernel rows, and for each block: runs (pixels, kernel columns * C) @ weights, added up."""

    kind = "kernel rows in place"

    def __init__(self, layer: ConvolvedLayer) -> None:
        self.layer, self.label, self.reads, self.output = layer, layer.label, layer.reads, layer.y
        self.proof, self.products = layer.proof, layer.products
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
        self.pitch = -(-((y.width - 1) * across + kernel_columns) // across) * across
        #: Output pixels of a row, of which the first `y.width` are meant.
        self.out_pitch = self.pitch // across
        #: For each kernel row: the buffer among those of the stride, and rows down in it.
        shifts = [row * layer.window.dilations[0] for row in range(kernel_rows)]
        self.places = [(shift % down, shift // down) for shift in shifts]
        #: Columns of the input that are copied.
        self.columns = min(-(-layer.x.width // self.skip), self.pitch - self.left)
        remainders, behind = 1 + max(at for at, _ in self.places), kernel_columns + self.unit
        #: How the rows lie that the taps are read from.
        self.lines = Strips(self.blocks, down, remainders, self.pitch, self.left, self.columns, self.inner, behind)
        if self.columns == layer.x.width and remainders == down:
            self.strips = self.lines
        self.rows_read = (kernel_rows, down, layer.window.dilations[0], layer.window.pads[0])
        self.borders = self._borders(y.height)
        self._plan()

    def _borders(self, rows: int) -> tuple[int, int]:
        """Return the rows of zeros that `rows` rows of output read above and below the input."""
        start, stop = self.needs(0, rows)
        return -start, max(0, stop - self.layer.x.height)

    def _plan(self) -> None:
        """Choose bands, and size the work memory."""
        y, lines = self.output, self.lines
        per_row = self.pitch * self.layer.x.channels * lines.remainders + self.out_pitch * y.channels * 2
        self.bands = bands(y.height, BAND // max(1, per_row))
        rows = self.bands[0][1]
        #: Rows of the input that a band reads.
        self.rows = (rows + max(shift for _, shift in self.places)) * lines.down
        tile = tile_floats(self._pixels(rows), y.channels)
        self.work = (lines.floats(self.rows), tile, tile, self.layer.finish.wide_floats * tile)
        weights = self.layer.weights.astype(np.float32)
        shape = (self.blocks, 1, -1, self.outer)
        self.weights = [np.ascontiguousarray(weights[:, row]).reshape(shape) for row in range(weights.shape[1])]

    def _pixels(self, rows: int) -> int:
        """Return how many sums are made for so many rows: all phases have as many."""
        return -(-rows * self.out_pitch // self.phases) * self.phases

    def _read(self, x: PlacedImage, flat: Array, first: int, count: int) -> tuple[PlacedStrips, list[Copy]]:
        """Return strips of what `count` rows of output from `first` on read, and (to, from) of what is copied there.

        x: the input; strips of it are read where they lie, an image is copied.
        flat: work memory for them.
        """
        if isinstance(x, PlacedStrips):
            return x, []
        start, down = self.needs(first, 1)[0], self.lines.down
        strips = self.lines.place(self.layer.x, flat, self.rows, start)
        found: list[Copy] = []
        for remainder in sorted({at for at, _ in self.places}):
            begin, most = start + remainder, max(shift for at, shift in self.places if at == remainder)
            read = x.rows(begin, begin + (count + most - 1) * down + 1, down)[:, :: self.skip][:, : self.columns]
            found += strips.parts(read, begin, down)
        return strips, [copy_of(into, read) for into, read in found]

    def prepare(self, placed: Mapping[str, PlacedImage], work: Sequence[Array]) -> Sequence[Call]:
        if isinstance(placed[self.layer.x.name], PlacedStrips):
            return []
        strips = self.lines.place(self.layer.x, work[0], self.rows, 0)
        return [lambda _: strips.clear_ends()]

    def band(self, placed: Mapping[str, PlacedImage], work: Sequence[Array], first: int, count: int) -> Call:
        layer, y = self.layer, self.output
        flat, tile, spare, wide = work
        strips, copies = self._read(placed[layer.x.name], flat, first, count)
        start, pixels = self.needs(first, count)[0], self._pixels(count)
        parts: list[list[Product]] = []
        for (remainder, shift), weights in zip(self.places, self.weights, strict=True):
            out = tile if not parts else spare
            line = start + shift * self.lines.down + remainder
            parts.append(self._products(strips, line, weights, out, pixels))
        size = count * self.out_pitch * y.channels
        sums = tile[:size].reshape(count, self.out_pitch, y.channels)[:, : y.width]
        finish = layer.finish.bind(tile[: tile_floats(pixels, y.channels)], wide)
        last = stored(sums, layer.finish.settle, first, placed[y.name], layer.shortcut, placed, spare)
        made = [partial(multiplied, part) for part in parts]
        return added_up(copies, made, tile[:size], spare[:size], finish, last)

    def _products(self, strips: PlacedStrips, line: int, weights: Array, out: Array, pixels: int) -> list[Product]:
        """Return the products of one kernel row, which lies over row `line` at first, for so many sums."""
        channels = self.output.channels
        rows, terms = pixels // self.phases, weights.shape[-2]
        begin, block = strips.line(line)
        left = view(
            strips.flat,
            begin,
            (self.blocks, self.phases, rows, terms),
            (block, self.across * self.inner, self.unit * self.inner, 1),
        )
        made = view(
            out,
            0,
            (self.blocks, self.phases, rows, self.outer),
            (self.outer, channels, self.phases * channels, 1),
        )
        return products(left, weights, made)


def added_up(
    copies: Sequence[Copy],
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
        copied(copies)
        for index, part in enumerate(parts):
            part()
            if index:
                np.add(tile, spare, out=tile)
        finish()
        last()

    return call
