"""The end of a convolution: values are settled and stored, or added to another image first.

To settle is the last operation to codes less their zero point, which the layer's finish knows (`finish.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from qdqnp.quant import Array
from qdqnp.schedule.addition import Addition, PairTable
from qdqnp.schedule.image import Image, PlacedImage
from qdqnp.schedule.runs import copied, read, written

#: Writes what a finish left of a tile, as codes less their zero point, to another place.
Settle = Callable[[Array, Array], None]


@dataclass(frozen=True, eq=False)
class Shortcut:
    """An addition that a convolution computes before it stores: its own values are the left operand."""

    other: Image
    addition: Addition | PairTable


def store(settle: Settle, parts: Sequence[tuple[Array, Array]]) -> Callable[[], None]:
    """Return what settles parts of a tile in their places. parts: (to, from) of each."""

    where = [(tile, *written(out, tile)) for out, tile in parts]

    def write() -> None:
        for tile, out, copies in where:
            settle(tile, out)
            copied(copies)

    return write


def add_and_store(
    tile: Array,
    settle: Settle,
    other: Array,
    addition: Addition | PairTable,
    work: Array,
    parts: Sequence[tuple[Array, Array]],
) -> Callable[[], None]:
    """Return what settles a tile, adds `other`, both of one shape, and writes the rounded sums to their places."""

    last = store(np.rint, parts)
    near, copies = read(other, work)

    def write() -> None:
        settle(tile, tile)
        copied(copies)
        addition(tile, near, tile, work)
        last()

    return write


def stored(
    tile: Array,
    settle: Settle,
    first: int,
    out: PlacedImage,
    shortcut: Shortcut | None,
    placed: Mapping[str, PlacedImage],
    work: Array,
) -> Callable[[], None]:
    """Return what stores a tile (rows, columns, channels) as rows of an image, from the row `first` on.

    settle: the last operation of the layer's finish.
    shortcut: the addition that comes before.
    placed: images by name, its right operand among them.
    work: flat memory of as many floats as the tile has; it is used by an addition alone.
    """
    parts = out.parts(tile, first)
    if shortcut is None:
        return store(settle, parts)
    other = placed[shortcut.other.name].rows(first, first + len(tile))
    return add_and_store(tile, settle, other, shortcut.addition, work[: tile.size].reshape(tile.shape), parts)
