"""A convolution of few channels, straight from codes, as of a picture.

The taps of a kernel's row are laid out side by side, (rows, channels, kernel columns, width). The rows of one window
follow each other there, so that all its taps are one matrix without another copy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from qdqnp.quant import Array
from qdqnp.schedule.finish import tile_floats
from qdqnp.schedule.form import Call, Form, bands
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


class Planes(Form):
    """sums of an output row = taps (channels * kernel, width) transposed @ weights; it reads codes, not an image."""

    kind = "rows of taps, from codes"

    def __init__(self, layer: ConvolvedLayer) -> None:
        self.layer, self.label, self.output, self.proof = layer, layer.label, layer.y, layer.proof
        self.reads, self.codes = layer.reads[1:], (layer.x.name,)
        x, y, window = layer.x, layer.y, layer.window
        (rows, columns), (down, across) = window.kernel, window.strides
        self._bands = bands(y.height, TILE // max(1, y.width * (y.channels + down * x.channels * columns)))
        floats = tile_floats(self._bands[0][1] * y.width, y.channels)
        #: Of the padded picture: as far as windows reach, and at least all of it.
        top, left, bottom, right = window.pads
        self._height = max((y.height - 1) * down + rows, top + x.height + bottom)
        reach = (y.width - 1) * across + window.dilations[1] * (columns - 1) + 1
        self._width = max(reach, left + x.width + right)
        self._rows = (self._bands[0][1] - 1) * down + rows
        picture = x.channels * self._height * self._width
        taps = self._rows * x.channels * columns * y.width
        self.work = (picture, taps, floats, floats, layer.finish.wide_floats * floats)
        # (kernel rows, channels, kernel columns) are the terms
        self._weights = layer.weights[0].transpose(0, 2, 1, 3).reshape(-1, y.channels).astype(np.float32)

    def bind(self, placed: Mapping[str, PlacedImage], work: Sequence[Array]) -> Sequence[Call]:
        layer, x, y = self.layer, self.layer.x, self.output
        other = placed[layer.shortcut.other.name] if layer.shortcut is not None else None
        (rows, columns), (down, across) = layer.window.kernel, layer.window.strides
        whole, taps, tile, spare, wide = work
        height, width = self._height, self._width
        picture = whole.reshape(x.channels, height, width)
        top, left = layer.window.pads[:2]
        inside = picture[:, top : top + x.height, left : left + x.width]
        finish = layer.finish.bind(tile, wide)
        zero = np.float32(x.zero_point)
        # a view of the picture: (rows, channels, kernel columns, width)
        shifted = view(
            whole,
            0,
            (height, x.channels, columns, y.width),
            (width, height * width, layer.window.dilations[1], across),
        )
        per_row = x.channels * columns * y.width

        def read(values: Mapping[str, Array]) -> None:
            picture[...] = 0
            np.copyto(inside, values[x.name][0])
            if zero:
                np.subtract(inside, zero, out=inside)

        calls: list[Call] = [read]
        for first, count in self._bands:
            sums = tile[: count * y.width * y.channels].reshape(count, y.width, y.channels)
            need = (count - 1) * down + rows
            terms = rows * x.channels * columns
            left_ = view(taps, 0, (count, y.width, terms), (down * per_row, 1, y.width))
            source = shifted[first * down : first * down + need]
            target = taps[: need * per_row].reshape(source.shape)
            last = stored(sums, layer.finish.settle, first, placed[y.name], layer.shortcut, other, spare)

            def call(
                _: Mapping[str, Array],
                source: Array = source,
                target: Array = target,
                left: Array = left_,
                sums: Array = sums,
                last: Any = last,
            ) -> None:
                np.copyto(target, source)
                np.matmul(left, self._weights, out=sums)
                finish()
                last()

            calls.append(call)
        return calls
