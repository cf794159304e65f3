"""Rows of an image as the rows of a kernel read them: each a strip with zeros at both ends.

The taps of a kernel row are one run of a strip. Strips of one remainder of the stride follow each other, so that the
rows of an image that windows skip do not lie between those that they read.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from qdqnp.quant import Array
from qdqnp.schedule.image import Image, PlacedImage


@dataclass(frozen=True)
class Strips:
    """How rows lie: by block of channels, remainder of the stride, row, pixel and channel of the block."""

    blocks: int
    #: The stride of rows, and of how many of its remainders, from 0 on, there are rows.
    down: int
    remainders: int
    #: Pixels of a strip, of which `columns` from `left` on are the image's; the others are zeros.
    pitch: int
    left: int
    columns: int
    #: Channels of a block.
    inner: int
    #: Pixels that may be read behind the last strip, whatever they hold.
    behind: int

    def floats(self, rows: int) -> int:
        """Return the memory that strips of `rows` rows of the image take."""
        return math.prod(self._shape(rows)) + self.behind * self.inner

    def place(self, image: Image, flat: Array, rows: int, low: int) -> PlacedStrips:
        """Return strips of so many rows of an image in flat memory, the first of them its row `low`."""
        shape = self._shape(rows)
        return PlacedStrips(image, flat[: math.prod(shape)].reshape(shape), -low, self, flat)

    def _shape(self, rows: int) -> tuple[int, ...]:
        return self.blocks, self.remainders, -(-rows // self.down), self.pitch, self.inner


@dataclass(frozen=True, eq=False)
class PlacedStrips(PlacedImage):
    """Rows of an image in memory; `array` is (blocks, remainders, rows, pixels, channels of a block)."""

    strips: Strips
    #: All of the memory, with what may be read behind.
    flat: Array

    def rows(self, first: int, stop: int, step: int = 1) -> Array:
        """Return rows that are a multiple of the stride apart, without what lies beside them, (rows, columns, blocks,
        channels of a block)."""
        layout = self.strips
        remainder, at = (self.above + first) % layout.down, (self.above + first) // layout.down
        count, apart = len(range(first, stop, step)), step // layout.down
        lines = self.array[:, remainder, at : at + (count - 1) * apart + 1 : max(1, apart)]
        return lines[:, :, layout.left : layout.left + layout.columns].transpose(1, 2, 0, 3)

    def pieces(self, first: int, stop: int, step: int = 1) -> list[Array]:
        count = self.strips.down // math.gcd(step, self.strips.down)
        starts = range(first, stop, step)[:count]
        return [self.rows(start, stop, count * step) for start in starts]

    def line(self, row: int) -> tuple[int, int]:
        """Return where a row's strip begins in `flat`, and how far the next block's is from it, in floats."""
        at, remainder = divmod(self.above + row, self.strips.down)
        block, of_remainder, of_row, *_ = (stride // self.array.itemsize for stride in self.array.strides)
        return remainder * of_remainder + at * of_row, block

    def clear_ends(self) -> None:
        """Write the zeros at both ends of each strip."""
        layout = self.strips
        self.array[..., : layout.left, :] = 0
        self.array[..., layout.left + layout.columns :, :] = 0
