"""The end of a convolution: values are settled and stored, or added to another image first.

To settle is the last operation to codes less their zero point, which the layer's finish knows (`finish.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from qdqnp.quant import Array
from qdqnp.schedule.addition import Addition, PairTable
from qdqnp.schedule.image import Image, PlacedImage

#: Writes what a finish left of a tile, as codes less their zero point, to another place.
Settle = Callable[[Array, Array], None]


@dataclass(frozen=True, eq=False)
class Shortcut:
    """An addition that a convolution computes before it stores: its own values are the left operand."""

    other: Image
    addition: Addition | PairTable


def store(tile: Array, settle: Settle, out: Array) -> Callable[[], None]:
    """Return what writes a tile to `out`."""
    return lambda: settle(tile, out)


def add_and_store(
    tile: Array, settle: Settle, other: Array, addition: Addition | PairTable, work: Array, out: Array
) -> Callable[[], None]:
    """Return what settles a tile, adds `other`, and writes the rounded sums to `out`. All have one shape."""

    def write() -> None:
        settle(tile, tile)
        addition(tile, other, tile, work)
        np.rint(tile, out=out)

    return write


def stored(
    tile: Array,
    settle: Settle,
    first: int,
    out: PlacedImage,
    shortcut: Shortcut | None,
    other: PlacedImage | None,
    work: Array,
    step: int = 1,
) -> Callable[[], None]:
    """Return what stores a tile (rows, columns, channels) as rows of an image: `first`, and then every `step`-th.

    settle: the last operation of the layer's finish.
    shortcut: the addition that comes before; `other` is its right operand.
    work: flat memory of as many floats as the tile has; it is used by an addition alone.
    """
    stop = first + (len(tile) - 1) * step + 1
    rows = out.rows(first, stop, step)
    if shortcut is None or other is None:
        return store(tile, settle, rows)
    spare = work[: tile.size].reshape(tile.shape)
    return add_and_store(tile, settle, other.rows(first, stop, step), shortcut.addition, spare, rows)
