"""A convolution of three kernel rows by F(2, 3): four products make two rows of sums, where six would be needed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from qdqnp.quant import Array
from qdqnp.schedule.finish import tile_floats
from qdqnp.schedule.form import Call, bands
from qdqnp.schedule.image import PlacedImage
from qdqnp.schedule.layer import ConvolvedLayer
from qdqnp.schedule.products import Product, multiplied, products, view
from qdqnp.schedule.rows import BAND, KernelRows
from qdqnp.schedule.runs import Copy, copied
from qdqnp.schedule.store import stored

#: What is made of four rows of values d0 to d3, and the two rows of sums that are made of four products p0 to p3.
FORTH = np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]], np.float32)
BACK = np.array([[1, 1, 1, 0], [0, 1, -1, -1]], np.float32)


class Winograd(KernelRows):
    """Rows of sums in pairs: p0 + p1 + p2 and p1 - p2 - p3, as `proof.py: winograd` names them.

    What is added up on the way is a product with a small matrix, too: BLAS reads each value once.
    """

    kind = "kernel rows by F(2, 3)"
    multiple = 2

    def __init__(self, layer: ConvolvedLayer) -> None:
        super().__init__(layer)
        self.proof = layer.winograd_proof

    def _plan(self) -> None:
        y, channels = self.output, self.layer.x.channels
        per_row = self.pitch * (3 * channels + 3 * y.channels)
        self.bands = bands(y.height, BAND // max(1, per_row), 2)
        rows = -(-self.bands[0][1] // 2) * 2
        self.pairs, self.rows = rows // 2, rows + 2
        #: With one block, rows are transformed where they lie; the runs of several are strips first.
        self._gathered = self.blocks > 1
        if not self._gathered:
            self.strips = None
        source = self.lines.floats(self.rows) if self._gathered else 0
        transformed = 4 * self.pairs * self.pitch * channels + self.lines.behind * self.inner
        tile = tile_floats(rows * self.pitch, y.channels)
        sums = 4 * self._pixels(self.pairs) * y.channels
        self.work = (source, transformed, sums, tile, self.layer.finish.wide_floats * tile)
        # sums of three weights, and halves of them, are float32
        g0, g1, g2 = (self.layer.weights[:, row].astype(np.float32) for row in range(3))
        forms = np.stack([g0, (g0 + g1 + g2) / 2, (g0 - g1 + g2) / 2, g2])
        self.forms = forms.reshape(4, self.blocks, 1, -1, self.outer)

    def needs(self, first: int, count: int) -> tuple[int, int]:
        return super().needs(first, count + count % 2)  # a last odd row is computed as a pair

    def _borders(self, rows: int) -> tuple[int, int]:
        # threads and chains may begin with an odd row: the last pair then goes beyond the last row
        start, stop = super().needs(0, rows + 1)
        return -start, max(0, stop - self.layer.x.height)

    def prepare(self, placed: Mapping[str, PlacedImage], work: Sequence[Array]) -> Sequence[Call]:
        if self._gathered:
            return super().prepare(placed, work)
        transformed = self._transformed(work[1])

        def clear(_: Mapping[str, Array]) -> None:
            transformed[..., : self.left, :] = 0
            transformed[..., self.left + self.columns :, :] = 0

        return [clear]

    def _transformed(self, flat: Array) -> Array:
        """View work memory as (forms, blocks, pairs, pixels, channels of a block)."""
        shape = (4, self.blocks, self.pairs, self.pitch, self.inner)
        return flat[: math.prod(shape)].reshape(shape)

    def band(self, placed: Mapping[str, PlacedImage], work: Sequence[Array], first: int, count: int) -> Call:
        layer, y, outer = self.layer, self.output, self.output.channels
        flat, transformed, products_of, tile, wide = work
        pairs, x = -(-count // 2), placed[layer.x.name]
        v = self._transformed(transformed)[:, :, :pairs]
        copies: list[Copy] = []
        start, stop = self.needs(first, 2 * pairs)
        if self._gathered:
            strips, copies = self._read(x, flat, first, 2 * pairs)
            lines = strips.array[:, 0, strips.above + start : strips.above + stop]
        else:
            lines = x.rows(start, stop)[None, :, : self.columns]
            v = v[:, :, :, self.left : self.left + self.columns]
        size = 2 * pairs * self.pitch * outer
        sums = tile[:size].reshape(2 * pairs, self.pitch, outer)[:count, : y.width]
        row = self.pitch * outer
        p = view(products_of, 0, (pairs, 4, row), (row, self._pixels(pairs) * outer, 1))
        back = (BACK, p, tile[:size].reshape(pairs, 2, row))
        forth = (FORTH, *_in_pairs(lines, v))
        last = stored(sums, layer.finish.settle, first, placed[y.name], layer.shortcut, placed, products_of)
        made = [forth, *self._four_products(transformed, products_of, pairs), back]
        finish = layer.finish.bind(tile[: tile_floats(2 * pairs * self.pitch, outer)], wide)
        return _band(copies, made, finish, last)

    def _four_products(self, transformed: Array, sums: Array, pairs: int) -> list[Product]:
        """Return the products of all four forms for so many pairs of rows."""
        run, channels = self.pitch * self.inner, self.output.channels
        rows, terms = self._pixels(pairs) // self.phases, self.forms.shape[-2]
        left = view(
            transformed,
            0,
            (4, self.blocks, self.phases, rows, terms),
            (self.blocks * self.pairs * run, self.pairs * run, self.inner, self.unit * self.inner, 1),
        )
        made = view(
            sums,
            0,
            (4, self.blocks, self.phases, rows, self.outer),
            (self._pixels(pairs) * channels, self.outer, channels, self.phases * channels, 1),
        )
        return products(left, self.forms, made)


def _in_pairs(lines: Array, v: Array) -> tuple[Array, Array]:
    """View rows, and what is made of them, as matrices whose rows are d0 to d3 and what the forms are multiplied with.

    lines: (blocks, 2 * pairs + 2, pixels, channels); v: (4, blocks, pairs, pixels, channels).
    """
    blocks, rows, pixels, channels = lines.shape
    pairs = v.shape[2]
    assert rows == 2 * pairs + 2, "views never leave the rows that are there"
    block, row, pixel, channel = lines.strides
    form, of_block, pair, of_pixel, _ = v.strides
    runs = 1 if pixel == of_pixel == channels * channel else pixels  # matrices as long as their memory goes on
    length = pixels * channels // runs
    strided = np.lib.stride_tricks.as_strided
    return (
        strided(lines, (blocks, pairs, runs, 4, length), (block, 2 * row, pixel, row, channel)),
        strided(v, (blocks, pairs, runs, 4, length), (of_block, pair, of_pixel, form, channel)),
    )


def _band(
    copies: Sequence[Copy], made: Sequence[Product], finish: Callable[[], None], last: Callable[[], None]
) -> Call:
    """Return what computes a band."""

    def call(_: Mapping[str, Array]) -> None:
        copied(copies)
        multiplied(made)
        finish()
        last()

    return call
