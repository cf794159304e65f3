"""A convolution of few channels, straight from codes, as of a picture; or from the real values that become the codes.

The taps of a kernel's row are laid out side by side, (rows, channels, kernel columns, width). The rows of one window
follow each other there, so that all its taps are one matrix without another copy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy

import numpy as np

from qdqnp.executor.fast.scales import Quantized
from qdqnp.executor.plan import BoundStep
from qdqnp.quant import Array
from qdqnp.schedule.finish import tile_floats
from qdqnp.schedule.form import Banded, Call, bands
from qdqnp.schedule.image import PlacedImage
from qdqnp.schedule.layer import ConvolvedLayer
from qdqnp.schedule.pointwise import TILE
from qdqnp.schedule.products import view
from qdqnp.schedule.store import stored

#: How often each row of real values may become codes, as bands overlap: it is then cheaper than codes and their copies.
MOST_READ = 2

#: Channels up to which pixels are too short to be rows of a product.
FEW = 8


def is_planar(layer: ConvolvedLayer) -> bool:
    """Tell whether the form fits: one block, rows of a window next to each other."""
    return len(layer.weights) == 1 and layer.window.dilations[0] == 1


class Planes(Banded):
    """sums of an output row = taps (channels * kernel, width) transposed @ weights; it reads codes, not an image."""

    kind = "rows of taps, from codes"

    def __init__(self, layer: ConvolvedLayer) -> None:
        self.layer, self.label, self.output, self.proof = layer, layer.label, layer.y, layer.proof
        self.products = layer.products
        self.reads, self.codes = layer.reads[1:], (layer.x.name,)
        #: What makes the codes of real values; None where codes are read.
        self._quantized: Quantized | None = None
        x, y, window = layer.x, layer.y, layer.window
        (rows, columns), (down, across) = window.kernel, window.strides
        self.bands = bands(y.height, TILE // max(1, y.width * (y.channels + down * x.channels * columns)))
        floats = tile_floats(self.bands[0][1] * y.width, y.channels)
        _, left, _, right = window.pads
        reach = (y.width - 1) * across + window.dilations[1] * (columns - 1) + 1
        #: Of a padded row: as far as windows reach, and at least all of it.
        self._width = max(reach, left + x.width + right)
        most = (self.bands[0][1] - 1) * down + rows
        picture = x.channels * most * self._width
        taps = most * x.channels * max(columns * y.width, x.width)
        self.work = (picture, taps, floats, floats, layer.finish.wide_floats * floats)
        # (kernel rows, channels, kernel columns) are the terms
        self._weights = layer.weights[0].transpose(0, 2, 1, 3).reshape(-1, y.channels).astype(np.float32)

    def of_reals(self, bound: BoundStep) -> Planes | None:
        """Return the form that also computes the step that makes its codes.

        None where that is not a QuantizeLinear of float32 values with one scale, or rows would be read too often.
        """
        name, kernel = bound.step.input_names[0], bound.kernel
        if not isinstance(kernel, Quantized) or bound.tensors[name].dtype != np.float32:
            return None
        read = sum(stop - start for start, stop in (self._rows(*rows) for rows in self.bands))
        if read > MOST_READ * self.layer.x.height:
            return None
        made = copy(self)
        made.label, made.kind = f"{bound.step.label}, {self.label}", "rows of taps, from real values"
        made.codes, made._quantized = (name,), kernel
        return made

    def _rows(self, first: int, count: int) -> tuple[int, int]:
        """Return the rows of the input, from and to, that some rows of output read."""
        start, height = first * self.layer.window.strides[0] - self.layer.window.pads[0], self._reach(count)
        return max(0, start), max(0, start, min(self.layer.x.height, start + height))

    def _reach(self, count: int) -> int:
        """Return the rows that windows of so many rows of output reach."""
        return (count - 1) * self.layer.window.strides[0] + self.layer.window.kernel[0]

    def band(self, placed: Mapping[str, PlacedImage], work: Sequence[Array], first: int, count: int) -> Call:
        layer, x, y = self.layer, self.layer.x, self.output
        (rows, columns), (down, across) = layer.window.kernel, layer.window.strides
        whole, taps, tile, spare, wide = work
        top, left = layer.window.pads[:2]
        # the rows of the padded picture that windows reach, of which rows of the input are a part
        height, (begin, stop) = self._reach(count), self._rows(first, count)
        above, below = begin - first * down + top, stop - first * down + top
        picture = whole[: x.channels * height * self._width].reshape(x.channels, height, self._width)
        inside = picture[:, above:below, left : left + x.width]
        sides = picture[:, above:below, :left], picture[:, above:below, left + x.width :]
        borders = [part for part in (picture[:, :above], picture[:, below:], *sides) if part.size]
        # a view of them: (rows, channels, kernel columns, width)
        shape = (height, x.channels, columns, y.width)
        source = view(whole, 0, shape, (self._width, height * self._width, layer.window.dilations[1], across))
        target = taps[: source.size].reshape(shape)
        per_row = x.channels * columns * y.width
        matrices = view(taps, 0, (count, y.width, rows * x.channels * columns), (down * per_row, 1, y.width))
        sums = tile[: count * y.width * y.channels].reshape(count, y.width, y.channels)
        finish = layer.finish.bind(tile[: tile_floats(count * y.width, y.channels)], wide)
        last = stored(sums, layer.finish.settle, first, placed[y.name], layer.shortcut, placed, spare)
        (given,), quantized = self.codes, self._quantized
        real = taps[: inside.size].reshape(inside.shape)

        def call(values: Mapping[str, Array]) -> None:
            for part in borders:
                part.fill(0)
            planes = values[given][0][:, begin:stop]
            if quantized is None:
                np.subtract(planes, x.zero, out=inside, dtype=np.float32)
            else:
                quantized.centered(planes, real)
                np.copyto(inside, real)
            np.copyto(target, source)
            np.matmul(matrices, self._weights, out=sums)
            finish()
            last()

        return call
