"""A convolution of few channels, straight from codes, as of a picture.

The taps of a kernel's row are laid out side by side, (rows, channels, kernel columns, width). The rows of one window
follow each other there, so that all its taps are one matrix without another copy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from qdqnp.quant import Array
from qdqnp.schedule.finish import tile_floats
from qdqnp.schedule.form import Banded, Call, bands
from qdqnp.schedule.image import PlacedImage
from qdqnp.schedule.layer import ConvolvedLayer
from qdqnp.schedule.pointwise import TILE
from qdqnp.schedule.products import view
from qdqnp.schedule.store import stored

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
        self.reads, self.codes = layer.reads[1:], (layer.x.name,)
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
        taps = most * x.channels * columns * y.width
        self.work = (picture, taps, floats, floats, layer.finish.wide_floats * floats)
        # (kernel rows, channels, kernel columns) are the terms
        self._weights = layer.weights[0].transpose(0, 2, 1, 3).reshape(-1, y.channels).astype(np.float32)

    def band(self, placed: Mapping[str, PlacedImage], work: Sequence[Array], first: int, count: int) -> Call:
        layer, x, y = self.layer, self.layer.x, self.output
        other = placed[layer.shortcut.other.name] if layer.shortcut is not None else None
        (rows, columns), (down, across) = layer.window.kernel, layer.window.strides
        whole, taps, tile, spare, wide = work
        top, left = layer.window.pads[:2]
        # the rows of the padded picture that windows reach, of which rows of the input are a part
        start, height = first * down - top, (count - 1) * down + rows
        begin, stop = max(0, start), max(0, min(x.height, start + height))
        picture = whole[: x.channels * height * self._width].reshape(x.channels, height, self._width)
        inside = picture[:, begin - start : max(begin, stop) - start, left : left + x.width]
        # a view of them: (rows, channels, kernel columns, width)
        shape = (height, x.channels, columns, y.width)
        source = view(whole, 0, shape, (self._width, height * self._width, layer.window.dilations[1], across))
        target = taps[: source.size].reshape(shape)
        per_row = x.channels * columns * y.width
        matrices = view(taps, 0, (count, y.width, rows * x.channels * columns), (down * per_row, 1, y.width))
        sums = tile[: count * y.width * y.channels].reshape(count, y.width, y.channels)
        finish = layer.finish.bind(tile[: tile_floats(count * y.width, y.channels)], wide)
        last = stored(sums, layer.finish.settle, first, placed[y.name], layer.shortcut, other, spare)
        zero = np.float32(x.zero_point)

        def call(values: Mapping[str, Array]) -> None:
            picture[...] = 0
            np.copyto(inside, values[x.name][0][:, begin:stop])
            if zero:
                np.subtract(inside, zero, out=inside)
            np.copyto(target, source)
            np.matmul(matrices, self._weights, out=sums)
            finish()
            last()

        return call
