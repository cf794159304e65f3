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
from qdqnp.schedule.proof import winograd
from qdqnp.schedule.rows import BAND, KernelRows, borders_cleared
from qdqnp.schedule.store import stored


def winograd_proof(layer: ConvolvedLayer) -> str:
    """Say why the form is exact for the layer (`proof.py: winograd` has the equations); '' where it may not be used."""
    window = layer.window
    if window.kernel[0] != 3 or window.strides != (1, 1) or window.dilations[0] != 1:
        return ""
    by_row = np.moveaxis(
        layer.weights.astype(np.int64), (1, 4), (0, 2)
    )  # kernel rows, blocks, channels out, kernel columns, channels in
    blocks = (by_row[:, block].reshape(3, by_row.shape[2], -1) for block in range(by_row.shape[1]))
    reasons = [winograd(block, *layer.x.range) for block in blocks]
    return max(reasons) if all(reasons) else ""


class Winograd(KernelRows):
    """Rows of sums in pairs: p0 + p1 + p2 and p1 - p2 - p3, as `proof.py: winograd` names them."""

    kind = "kernel rows by F(2, 3)"
    multiple = 2

    def __init__(self, layer: ConvolvedLayer) -> None:
        super().__init__(layer)
        self.proof = winograd_proof(layer)

    def _plan(self) -> None:
        y, channels = self.output, self.layer.x.channels
        per_row = self.pitch * (3 * channels + 3 * y.channels)
        self.bands = bands(y.height, BAND // max(1, per_row), 2)
        rows = -(-self.bands[0][1] // 2) * 2
        self.pairs, self.rows = rows // 2, rows + 2
        #: With one block, rows are transformed where they lie; the runs of several are gathered first.
        self._gathered = self.blocks > 1
        source = self.blocks * self.rows * self.pitch * self.inner if self._gathered else 0
        plane = self.pairs * self.pitch
        slack = (self.layer.window.kernel[1] + self.unit) * self.inner
        tile = tile_floats(2 * plane, y.channels)
        sums = max(4 * plane * y.channels, tile)
        transformed = 4 * plane * channels + slack
        self.work = (source, transformed, sums, plane * y.channels, self.layer.finish.wide_floats * tile)
        # sums of three weights, and halves of them, are float32
        g0, g1, g2 = (self.layer.weights[:, row].astype(np.float32) for row in range(3))
        forms = np.stack([g0, (g0 + g1 + g2) / 2, (g0 - g1 + g2) / 2, g2])
        self.forms = forms.reshape(4, self.blocks, 1, -1, self.outer)

    def needs(self, first: int, count: int) -> tuple[int, int]:
        return super().needs(first, count + count % 2)  # a last odd row is computed as a pair

    def prepare(self, work: Sequence[Array]) -> Sequence[Call]:
        if self._gathered:
            return super().prepare(work)
        return [borders_cleared(self._transformed(work[1]), self.left, self.left + self.columns)]

    def _transformed(self, flat: Array) -> Array:
        """View work memory as (forms, blocks, pairs, pixels, channels of a block)."""
        shape = (4, self.blocks, self.pairs, self.pitch, self.inner)
        return flat[: math.prod(shape)].reshape(shape)

    def band(self, placed: Mapping[str, PlacedImage], work: Sequence[Array], first: int, count: int) -> Call:
        layer, y, outer = self.layer, self.output, self.output.channels
        other = placed[layer.shortcut.other.name] if layer.shortcut is not None else None
        flat, transformed, sums, spare, wide = work
        pairs, x = -(-count // 2), placed[layer.x.name]
        v = self._transformed(transformed)[:, :, :pairs]
        copies: list[tuple[Array, Array]] = []
        if self._gathered:
            source = self._source(flat)
            copies = self._copies(x, source, first, 2 * pairs)
            d = [source[:, 0, at : at + 2 * pairs : 2] for at in range(4)]
        else:
            start, _ = self.needs(first, 2 * pairs)
            d = [x.rows(start + at, start + at + 2 * pairs - 1, 2)[:, : self.columns] for at in range(4)]
            v = v[:, 0, :, self.left : self.left + self.columns]
        p = _quarters(sums, pairs * self.pitch * outer)
        area = spare[: p[0].size]
        lasts = []
        for at in range(2):
            tile = p[at].reshape(pairs, self.pitch, outer)[: (count + 1 - at) // 2, : y.width]
            if len(tile):
                lasts.append(
                    stored(tile, layer.finish.settle, first + at, placed[y.name], layer.shortcut, other, area, 2)
                )
        made = self._four_products(transformed, sums, pairs)
        finish = layer.finish.bind(sums[: tile_floats(2 * pairs * self.pitch, outer)], wide)
        return _band(copies, d, list(v), made, p, area, finish, lasts)

    def _four_products(self, transformed: Array, sums: Array, pairs: int) -> list[Product]:
        """Return the products of all four forms for so many pairs of rows."""
        run, channels = self.pitch * self.inner, self.output.channels
        rows, terms = pairs * self.pitch // self.phases, self.forms.shape[-2]
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
            (pairs * self.pitch * channels, self.outer, channels, self.phases * channels, 1),
        )
        return products(left, self.forms, made)


def _quarters(flat: Array, size: int) -> list[Array]:
    return [flat[at * size : (at + 1) * size] for at in range(4)]


def _band(
    copies: Sequence[tuple[Array, Array]],
    d: Sequence[Array],
    v: Sequence[Array],
    made: Sequence[Product],
    p: Sequence[Array],
    spare: Array,
    finish: Callable[[], None],
    lasts: Sequence[Callable[[], None]],
) -> Call:
    """Return what computes a band.

    d: the rows of the input, of which each pair of rows of sums reads one of each.
    v: what the forms are multiplied with.
    p: the four products, of which the first two become the rows of sums.
    """

    def call(_: Mapping[str, Array]) -> None:
        for into, read in copies:
            np.copyto(into, read)
        np.subtract(d[0], d[2], out=v[0])
        np.add(d[1], d[2], out=v[1])
        np.subtract(d[2], d[1], out=v[2])
        np.subtract(d[1], d[3], out=v[3])
        multiplied(made)
        np.add(p[1], p[2], out=spare)
        np.subtract(p[1], p[2], out=p[1])
        np.add(p[0], spare, out=p[0])
        np.subtract(p[1], p[3], out=p[1])
        finish()
        for last in lasts:
            last()

    return call
