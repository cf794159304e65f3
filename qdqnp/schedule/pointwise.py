"""A 1x1 convolution: pixels times weights, from where the pixels lie."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from qdqnp.quant import Array
from qdqnp.schedule.finish import tile_floats
from qdqnp.schedule.form import Banded, Call, bands
from qdqnp.schedule.image import PlacedImage
from qdqnp.schedule.layer import ConvolvedLayer
from qdqnp.schedule.products import Product, multiplied, products
from qdqnp.schedule.store import stored

#: Floats of a tile, which should stay in the cache of a core. Measured; it decides speed only.
TILE = 256 * 1024


def is_pointwise(layer: ConvolvedLayer) -> bool:
    """Tell whether every output pixel reads the input pixel at its place, and all of its channels."""
    window = layer.window
    return window.kernel == (1, 1) and window.strides == (1, 1) and not any(window.pads) and len(layer.weights) == 1


class Pointwise(Banded):
    """sums = pixels (rows * width, C) @ weights (C, M)."""

    kind = "1x1 in place"

    def __init__(self, layer: ConvolvedLayer) -> None:
        self.layer, self.label, self.reads, self.output = layer, layer.label, layer.reads, layer.y
        self.proof = layer.proof
        self._weights = layer.weights[0, 0, 0].astype(np.float32)
        out = layer.y
        self.bands = bands(out.height, TILE // max(1, out.width * out.channels))
        floats = tile_floats(self.bands[0][1] * out.width, out.channels)
        self.work = (floats, floats, layer.finish.wide_floats * floats)

    def band(self, placed: Mapping[str, PlacedImage], work: Sequence[Array], first: int, count: int) -> Call:
        layer, out = self.layer, self.output
        x, y = placed[layer.x.name], placed[out.name]
        other = placed[layer.shortcut.other.name] if layer.shortcut is not None else None
        tile, spare, wide = work
        pixels = count * out.width
        left = x.rows(first, first + count).reshape(pixels, layer.x.channels)
        sums = tile[: pixels * out.channels]
        made = products(left, self._weights, sums.reshape(pixels, out.channels))
        made_here = sums.reshape(count, out.width, out.channels)
        finish = layer.finish.bind(tile[: tile_floats(pixels, out.channels)], wide)
        last = stored(made_here, layer.finish.settle, first, y, layer.shortcut, other, spare)
        return banded(made, finish, last)


def banded(made: Sequence[Product], finish: Callable[[], None], last: Callable[[], None]) -> Call:
    """Return what computes products, finishes and stores them."""

    def call(_: Mapping[str, Array]) -> None:
        multiplied(made)
        finish()
        last()

    return call
