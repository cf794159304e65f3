"""An addition of two images, where no convolution computes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from qdqnp.quant import Array
from qdqnp.schedule.addition import Addition, PairTable
from qdqnp.schedule.form import Call, Form, bands
from qdqnp.schedule.image import Image, PlacedImage
from qdqnp.schedule.pointwise import TILE
from qdqnp.schedule.runs import copied, read
from qdqnp.schedule.store import store


class Added(Form):
    kind = "sum of images"

    def __init__(self, label: str, left: Image, right: Image, y: Image, addition: Addition | PairTable) -> None:
        self.label, self.reads, self.output, self.addition = label, (left, right), y, addition
        self.proof = addition.proof
        self._bands = bands(y.height, TILE // max(1, y.width * y.channels))
        floats = self._bands[0][1] * y.width * y.channels
        self.work = (floats, floats)

    def bind(self, placed: Mapping[str, PlacedImage], work: Sequence[Array]) -> Sequence[Call]:
        left, right = (placed[name] for name in self.inputs)
        y, calls = placed[self.output.name], []
        for first, rows in self._bands:
            part = (rows, self.output.width, self.output.channels)
            total, other = (piece[: int(np.prod(part))].reshape(part) for piece in work)
            a, b, out = (image.rows(first, first + rows) for image in (left, right, y))
            calls.append(self._band(a, b, total, other, out))
        return calls

    def _band(self, a: Array, b: Array, total: Array, other: Array, out: Array) -> Call:
        (a, of_a), (b, of_b), last = read(a, total), read(b, other), store(np.rint, [(out, total)])

        def call(_: Mapping[str, Array]) -> None:
            copied(of_a)
            copied(of_b)
            self.addition(a, b, total, other)
            last()

        return call
