"""A convolution of three kernel rows by F(2, 3): four products make two rows of sums, where six would be needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from qdqnp.quant import Array
from qdqnp.schedule.form import Call, bands
from qdqnp.schedule.image import Placed
from qdqnp.schedule.layer import Layer
from qdqnp.schedule.products import products, view
from qdqnp.schedule.proof import winograd
from qdqnp.schedule.rows import BAND, Rows, borders_cleared
from qdqnp.schedule.store import stored


def winograd_proof(layer: Layer) -> str:
    """Say why the form is exact for the layer (`proof.py: winograd` has the equations); '' where it may not be used."""
    window = layer.window
    if window.kernel[0] != 3 or window.strides != (1, 1) or window.dilations[0] != 1:
        return ""
    by_row = np.moveaxis(layer.weights, (1, 4), (0, 2))  # kernel rows, blocks, channels out, kernel columns, channels in
    reasons = [winograd(by_row[:, block].reshape(3, by_row.shape[2], -1), *layer.x.range) for block in range(len(layer.weights))]
    return max(reasons) if all(reasons) else ""


class Winograd(Rows):
    """Rows of sums in pairs: p0 + p1 + p2 and p1 - p2 - p3, as `proof.py: winograd` names them."""

    kind = "kernel rows by F(2, 3)"

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer)
        self.proof = winograd_proof(layer)

    def _plan(self) -> None:
        y, channels = self.output, self.layer.x.channels
        per_row = self.pitch * (3 * channels + 3 * y.channels)
        self.bands = bands(y.height, BAND // max(1, per_row), 2)
        rows = -(-self.bands[0][1] // 2) * 2
        self.pairs, self.rows = rows // 2, rows + 2
        self.borders = self._borders(-(-y.height // 2) * 2)  # a last odd row is computed as a pair
        source = self.blocks * self.rows * self.pitch * self.inner
        plane = self.pairs * self.pitch
        slack = (self.layer.window.kernel[1] + self.unit) * self.inner
        tile = self._tile_floats(2 * plane)
        sums = max(4 * plane * y.channels, tile)
        self.work = (source, 4 * plane * channels + slack, sums, plane * y.channels, self.layer.finish.wide_floats * tile)
        g0, g1, g2 = (self.layer.weights[:, row].astype(np.float64) for row in range(3))
        forms = np.stack([g0, (g0 + g1 + g2) / 2, (g0 - g1 + g2) / 2, g2])
        self.forms = forms.reshape(4, self.blocks, 1, -1, self.outer).astype(np.float32)

    def bind(self, placed: Mapping[str, Placed], work: Sequence[Array]) -> Sequence[Call]:
        layer, y = self.layer, self.output
        other = placed[layer.sum.other.name] if layer.sum is not None else None
        flat, transformed, sums, spare, wide = work
        source = self._source(flat)
        calls: list[Call] = [borders_cleared(source, self.left, self.left + self.columns)]
        finish = layer.finish.bind(sums[: self._tile_floats(2 * self.pairs * self.pitch)], wide)
        for first, count in self.bands:
            pairs = -(-count // 2)
            plane = pairs * self.pitch
            rows = source[:, 0]
            d = [rows[:, at : at + 2 * pairs : 2] for at in range(4)]
            run = self.pitch * self.inner
            size = self.blocks * pairs * run
            v = [transformed[at * size : (at + 1) * size].reshape(d[0].shape) for at in range(4)]
            left = view(
                transformed,
                0,
                (4, self.blocks, self.phases, plane // self.phases, self.forms.shape[-2]),
                (size, pairs * run, self.inner, self.unit * self.inner, 1),
            )
            made = view(
                sums,
                0,
                (4, self.blocks, self.phases, plane // self.phases, self.outer),
                (plane * y.channels, self.outer, y.channels, self.phases * y.channels, 1),
            )
            p = [sums[at * plane * y.channels : (at + 1) * plane * y.channels] for at in range(4)]
            work_ = spare[: plane * y.channels]
            copies = self._copies(placed[layer.x.name], source, first, 2 * pairs)
            lasts = []
            for at in range(2):
                tile = p[at].reshape(pairs, self.pitch, y.channels)[: (count + 1 - at) // 2, : y.width]
                lasts.append(_alternate(tile, first + at, placed[y.name], layer, other, work_))

            def call(
                _: Mapping[str, Array],
                copies: Any = copies,
                d: Any = d,
                v: Any = v,
                calls: Any = products(left, self.forms, made),
                p: Any = p,
                work: Array = work_,
                lasts: Any = lasts,
            ) -> None:
                for into, read in copies:
                    np.copyto(into, read)
                np.subtract(d[0], d[2], out=v[0])
                np.add(d[1], d[2], out=v[1])
                np.subtract(d[2], d[1], out=v[2])
                np.subtract(d[1], d[3], out=v[3])
                for left, right, out in calls:
                    np.matmul(left, right, out=out)
                np.add(p[1], p[2], out=work)
                np.subtract(p[1], p[2], out=p[1])
                np.add(p[0], work, out=p[0])
                np.subtract(p[1], p[3], out=p[1])
                finish()
                for last in lasts:
                    last()

            calls.append(call)
        return calls


def _alternate(tile: Array, first: int, y: Placed, layer: Layer, other: Placed | None, work: Array) -> Any:
    """Return what stores a tile as every second row of an image, from `first` on."""
    return stored(tile, first, y, layer.sum, other, work, 2)
