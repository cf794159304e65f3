"""The end of a convolution: values are settled and stored, or added to another image first.

To settle is the last operation to codes less their zero point, which the layer's finish knows (`finish.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from qdqnp.kernels.tables import look_up
from qdqnp.numerics.profile import Profile
from qdqnp.numerics.questions import Pairs
from qdqnp.quant import Array, Float32
from qdqnp.schedule.image import Image, PlacedImage, centered

#: Writes what a finish left of a tile, as codes less their zero point, to another place.
Settle = Callable[[Array, Array], None]

#: Units in the last place by which factors of an addition are moved, and offsets, until one gives the whole table.
ULPS = (0, 1, -1, 2, -2)
OFFSETS = (0.0, 1e-6, -1e-6, 2e-6, -2e-6, 4e-6, -4e-6)


@dataclass(frozen=True, eq=False)
class Addition:
    """rint(clip(a * left + b * right + offset)) of codes less zero points: equal to the rule on all 65,536 pairs."""

    proof = "equal to the rule on all 65,536 pairs of codes"

    left: np.float32
    right: np.float32
    offset: np.float32
    low: np.float32
    high: np.float32

    def swapped(self) -> Addition:
        """Return the addition with its operands exchanged: a float32 sum of two does not have an order."""
        return Addition(self.right, self.left, self.offset, self.low, self.high)

    def __call__(self, a: Array, b: Array, total: Array, other: Array) -> None:
        """Write the unrounded sums to total. a and total may be the same array.

        other: work memory.
        """
        np.multiply(a, self.left, out=total)
        np.multiply(b, self.right, out=other)
        np.add(total, other, out=total)
        if self.offset:
            np.add(total, self.offset, out=total)
        total.clip(self.low, self.high, out=total)


@dataclass(frozen=True, eq=False)
class PairTable:
    """The rule's answers to all pairs of codes, where no `Addition` gives them."""

    #: Codes less their zero point, (256, 256); at (0, 0) that of the least codes.
    table: Float32
    #: The least codes of both operands, less their zero points.
    least: tuple[int, int]
    proof = "looked up in the rule's answers to all 65,536 pairs of codes"

    def swapped(self) -> PairTable:
        """Return the table with its operands exchanged."""
        return PairTable(np.ascontiguousarray(self.table.T), self.least[::-1])

    def __call__(self, a: Array, b: Array, total: Array, other: Array) -> None:
        """Write codes less their zero point to total; a and total may be the same array."""
        np.multiply(a, np.float32(256), out=total)
        np.add(total, b, out=total)
        np.subtract(total, np.float32(256 * self.least[0] + self.least[1]), out=total)
        look_up(self.table.reshape(-1), total)


def addition(question: Pairs, profile: Profile) -> Addition | PairTable:
    """Return what answers the question for every pair of codes: an expression where there is one, else the table."""
    everything = question.everything()
    a, b, y = question.quants
    wanted = np.asarray(everything.answer(profile)).astype(np.float32) - np.float32(int(y.zero_point))
    low, high = (np.float32(code - int(y.zero_point)) for code in y.range)
    left, right = centered(a), centered(b)
    with np.errstate(all="ignore"):
        factors = [_near(quant.scale / y.scale) for quant in (a, b)]
        for offset in OFFSETS:
            for one in factors[0]:
                for two in factors[1]:
                    found = Addition(one, two, np.float32(offset), low, high)
                    total = np.empty((256, 256), np.float32)
                    found(left[:, None], right[None, :], total, np.empty((1, 256), np.float32))
                    if np.array_equal(np.rint(total).reshape(-1), wanted):
                        return found
    rows, columns = np.argsort(left), np.argsort(right)
    table = np.ascontiguousarray(wanted.reshape(256, 256)[rows][:, columns])
    return PairTable(table, (int(left.min()), int(right.min())))


def _near(factor: Float32) -> list[np.float32]:
    return [np.float32(float(factor) * (1 + ulps * 2.0**-23)) for ulps in ULPS]


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
