"""A depthwise convolution: one channel in and out, so that a tap is a multiplication and no product of matrices.

BLAS would multiply blocks of channels that are zeros but for their diagonal. `einsum` multiplies and adds in one pass,
over runs of pixels as long as a row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from qdqnp.quant import Array
from qdqnp.schedule.finish import ROW, tile_floats
from qdqnp.schedule.form import Banded, Call, bands
from qdqnp.schedule.image import PlacedImage
from qdqnp.schedule.layer import ConvolvedLayer
from qdqnp.schedule.products import view
from qdqnp.schedule.rows import BAND, added_up
from qdqnp.schedule.store import stored


def is_depthwise(layer: ConvolvedLayer) -> bool:
    """Tell whether every channel of output reads the channel of input at its place alone."""
    *_, inner, outer = layer.weights.shape
    return inner == outer and not (layer.weights * (1 - np.eye(inner, dtype=np.int32))).any()


class Depthwise(Banded):
    """sums = over the taps: a run of pixels times the tap's weights, repeated along the run."""

    kind = "taps times weights"

    def __init__(self, layer: ConvolvedLayer) -> None:
        self.layer, self.label, self.reads, self.output = layer, layer.label, layer.reads, layer.y
        self.proof, self.products = layer.proof, layer.products
        y, window = layer.y, layer.window
        (rows, columns), (down, across), (tall, wide) = window.kernel, window.strides, window.dilations
        self.rows_read = (rows, down, tall, window.pads[0])
        start, stop = self.needs(0, y.height)
        self.borders = -start, max(0, stop - layer.x.height)
        #: Columns of a kernel whose taps lie at one distance from each other: those of one remainder of the stride.
        self._alike = [
            [column for column in range(columns) if column * wide % across == phase] for phase in range(across)
        ]
        # Pixels of a run: inner loops are long, and yet the repeated weights take no more than BYTES_PER_WEIGHT says.
        most = max(1, min(-(-ROW // y.channels), 3 * layer.weights.shape[-1] // 2))
        self._runs = -(-y.width // most)
        self._run = -(-y.width // self._runs)
        #: Pixels of a row of sums, of which the first `y.width` are meant, and of a row of each remainder.
        self._out_pitch = self._runs * self._run
        self._pitch = self._out_pitch + (columns - 1) * wide // across
        per_row = y.channels * (across * down * self._pitch + 2 * self._out_pitch)
        self.bands = bands(y.height, BAND // max(1, per_row))
        self._rows = (self.bands[0][1] - 1) * down + (rows - 1) * tall + 1
        tile = tile_floats(self.bands[0][1] * self._out_pitch, y.channels)
        source = across * self._rows * self._pitch * y.channels
        self.work = (source, tile, tile, layer.finish.wide_floats * tile)
        each = np.diagonal(layer.weights, axis1=3, axis2=4).transpose(1, 2, 0, 3).reshape(rows, columns, y.channels)
        self._weights = np.tile(each.astype(np.float32), self._run)

    def _source(self, flat: Array) -> Array:
        """View work memory as (remainders of the stride, rows, pixels, channels)."""
        return flat.reshape(self.layer.window.strides[1], self._rows, self._pitch, self.output.channels)

    def prepare(self, placed: Mapping[str, PlacedImage], work: Sequence[Array]) -> Sequence[Call]:
        return [self._padded(self._source(work[0]))]

    def band(self, placed: Mapping[str, PlacedImage], work: Sequence[Array], first: int, count: int) -> Call:
        layer, y = self.layer, self.output
        flat, tile, spare, wide = work
        size = count * self._out_pitch * y.channels
        taps = [
            self._sums(flat, columns, count, spare if index else tile)
            for index, columns in enumerate(columns for columns in self._alike if columns)
        ]
        sums = tile[:size].reshape(count, self._out_pitch, y.channels)[:, : y.width]
        finish = layer.finish.bind(tile[: tile_floats(count * self._out_pitch, y.channels)], wide)
        last = stored(sums, layer.finish.settle, first, placed[y.name], layer.shortcut, placed, spare)
        copies = self._copies(placed[layer.x.name], self._source(flat), first, count)
        return added_up(copies, taps, tile[:size], spare[:size], finish, last)

    def _inside(self, phase: int) -> tuple[int, int, int]:
        """Return which pixels of a remainder's rows are no padding, first and stop, and the first one's column of the
        input."""
        left, across = self.layer.window.pads[1], self.layer.window.strides[1]
        first = min(self._pitch, max(0, -(-(left - phase) // across)))
        start = first * across + phase - left
        return first, min(self._pitch, first + max(0, -(-(self.layer.x.width - start) // across))), start

    def _padded(self, source: Array) -> Call:
        """Return what zeroes the columns of padding."""

        def clear(_: Mapping[str, Array]) -> None:
            for phase, rows in enumerate(source):
                first, stop, _start = self._inside(phase)
                rows[:, :first] = 0
                rows[:, stop:] = 0

        return clear

    def _copies(self, x: PlacedImage, source: Array, first: int, count: int) -> list[tuple[Array, Array]]:
        """Return (to, from) of the input's pixels that `count` rows of output from `first` on read."""
        across, (begin, stop_row) = self.layer.window.strides[1], self.needs(first, count)
        rows, read, found = stop_row - begin, x.rows(begin, stop_row), []
        for phase, columns in enumerate(self._alike):
            if columns:
                into, stop, start = self._inside(phase)
                pixels = read[:, start::across][:, : stop - into]
                found.append((source[phase, :rows, into:stop], pixels))
        return found

    def _sums(self, flat: Array, columns: Sequence[int], count: int, out: Array) -> Callable[[], Array]:
        """Return what computes `count` rows of sums of the taps in some kernel columns of one remainder."""
        window, channels = self.layer.window, self.output.channels
        (down, across), (tall, wide) = window.strides, window.dilations
        row, step = self._pitch * channels, self._run * channels
        phase = columns[0] * wide % across
        begin = phase * self._rows * row + columns[0] * wide // across * channels
        apart = (columns[-1] - columns[0]) * wide // across // max(1, len(columns) - 1) * channels
        # (kernel rows, columns, output rows, runs, floats of a run)
        shape = (window.kernel[0], len(columns), count, self._runs, step)
        taps = view(flat, begin, shape, (tall * row, apart, down * row, step, 1))
        sums = out[: count * self._runs * step].reshape(shape[2:])
        return partial(np.einsum, "ijrnk,ijk->rnk", taps, self._weights[:, columns], out=sums)
