"""A 1x1 convolution: pixels times weights, from where the pixels lie."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from qdqnp.quant import Array
from qdqnp.schedule.finish import tile_floats
from qdqnp.schedule.form import Banded, Call, bands
from qdqnp.schedule.image import PlacedImage
from qdqnp.schedule.layer import ConvolvedLayer
from qdqnp.schedule.products import Product, multiplied, products
from qdqnp.schedule.store import stored

#: Floats of a tile, which should stay in the cache of a core. Measured; it decides speed only.
TILE = 512 * 1024


def is_pointwise(layer: ConvolvedLayer) -> bool:
    """Tell whether every output pixel reads the input pixel at its place, and all of its channels."""
    window = layer.window
    return window.kernel == (1, 1) and window.strides == (1, 1) and not any(window.pads) and len(layer.weights) == 1


class Pointwise(Banded):
    """sums = pixels (rows * width, C) @ weights (C, M); for blocks of output channels one after the other."""

    kind = "1x1 in place"

    def __init__(self, layer: ConvolvedLayer, blocks: int = 1) -> None:
        """Make the form. blocks: of the output's channels, in each of which channels lie next to each other."""
        self.layer, self.label, self.reads, self.output = layer, layer.label, layer.reads, layer.y
        self.proof, self.products = layer.proof, layer.products
        out, self._blocks = layer.y, blocks
        self._inner = out.channels // blocks
        weights = layer.weights[0, 0, 0].astype(np.float32)
        self._weights = np.ascontiguousarray(weights.reshape(-1, blocks, self._inner).transpose(1, 0, 2))
        self.bands = bands(out.height, TILE // max(1, out.width * out.channels))
        floats = blocks * tile_floats(self.bands[0][1] * out.width, self._inner)
        self.work = (floats, floats, layer.finish.wide_floats * floats)

    def in_blocks(self, blocks: int) -> Pointwise | None:
        if blocks == 1:
            return self
        finish = self.layer.finish.in_blocks(blocks)
        if finish is None or self.layer.shortcut is not None:
            return None
        return Pointwise(replace(self.layer, finish=finish), blocks)

    def band(self, placed: Mapping[str, PlacedImage], work: Sequence[Array], first: int, count: int) -> Call:
        layer, out = self.layer, self.output
        x, y = placed[layer.x.name], placed[out.name]
        flat, spare, wide = work
        pixels = count * out.width
        left = x.rows(first, first + count).reshape(pixels, layer.x.channels)
        tile = flat[: self._blocks * tile_floats(pixels, self._inner)]
        sums = tile.reshape(self._blocks, -1, self._inner)[:, :pixels]
        made = products(left[None], self._weights, sums)
        by_pixel = sums.reshape(self._blocks, count, out.width, self._inner).transpose(1, 2, 0, 3)
        rows = by_pixel if self._blocks > 1 else by_pixel[:, :, 0]
        finish = layer.finish.bind(tile, wide)
        last = stored(rows, layer.finish.settle, first, y, layer.shortcut, placed, spare)
        return banded(made, finish, last)


def banded(made: Sequence[Product], finish: Callable[[], None], last: Callable[[], None]) -> Call:
    """Return what computes products, finishes and stores them."""

    def call(_: Mapping[str, Array]) -> None:
        multiplied(made)
        finish()
        last()

    return call
