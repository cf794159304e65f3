"""An image is a tensor of codes as the schedule holds it: code less zero point, float32, channels last, one picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from qdqnp.lazy import lazy
from qdqnp.quant import EIGHT_BIT, Array, Codes, Float32, Quant, all_codes, code_range

#: Values that are made codes at a time, so that they stay in cache. The number was measured and decides speed only.
PIECE = 32 * 1024

#: Codes that go from channels last to channels first at a time, so that they stay in the nearest cache; likewise.
TURNED = 24 * 1024


def centered(quant: Quant) -> Float32:
    """Return all codes less the zero point, in the order of their bytes."""
    return all_codes(quant.dtype).astype(np.float32) - np.float32(int(quant.zero_point))


@dataclass(frozen=True)
class Image:
    """What is known of an image before a run."""

    name: str
    height: int
    width: int
    channels: int
    #: The dtype of the codes.
    dtype: np.dtype[Any]
    zero_point: int

    @classmethod
    def of(cls, name: str, shape: tuple[int, ...], quant: Quant) -> Image:
        """Return the image of codes of a shape (1, C, H, W)."""
        return cls(name, shape[2], shape[3], shape[1], quant.dtype, int(quant.zero_point))

    @property
    def range(self) -> tuple[int, int]:
        """The least and the largest value: the codes' range less the zero point."""
        low, high = code_range(self.dtype)
        return low - self.zero_point, high - self.zero_point

    @property
    def size(self) -> int:
        return self.height * self.width * self.channels

    @lazy
    def zero(self) -> np.float32:
        """The zero point."""
        return np.float32(self.zero_point)

    @lazy
    def held(self) -> np.dtype[Any] | None:
        """The dtype of a byte that holds every value; None where none does."""
        low, high = self.range
        fitting = [dtype for dtype in EIGHT_BIT if code_range(dtype)[0] <= low and high <= code_range(dtype)[1]]
        return fitting[0] if fitting else None


@dataclass(frozen=True, eq=False)
class PlacedImage:
    """An image in memory."""

    image: Image
    #: float32 (rows above + height + rows below, width, channels); between two pixels may lie channels of others.
    array: Array
    #: Rows of zeros above.
    above: int

    @lazy
    def inside(self) -> Array:
        """The image without the rows of zeros, (height, width, channels)."""
        return self.rows(0, self.image.height)

    def rows(self, first: int, stop: int, step: int = 1) -> Array:
        """Return rows of the image, counted without the rows of zeros, which -1 and height reach."""
        return self.array[self.above + first : self.above + stop : step]

    def parts(self, values: Array, first: int, step: int = 1) -> list[tuple[Array, Array]]:
        """Return what is to be copied, (to, from), so that values (rows, width, channels) are rows of the image.

        first: the first row; the others are each `step` below.
        """
        pieces = self.pieces(first, first + (len(values) - 1) * step + 1, step)
        return [(piece, values[at :: len(pieces)].reshape(piece.shape)) for at, piece in enumerate(pieces)]

    def pieces(self, first: int, stop: int, step: int = 1) -> list[Array]:
        """Return rows of the image in pieces, each an array: with n of them, a piece has every n-th of the rows."""
        return [self.rows(first, stop, step)]

    def clear_borders(self) -> None:
        """Write the rows of zeros: the memory may have held another image."""
        self.array[: self.above] = 0
        self.array[self.above + self.image.height :] = 0

    def take(self, codes: Codes) -> None:
        """Write codes (1, C, H, W) to the image."""
        inside = self.inside
        np.copyto(inside, codes[0].transpose(1, 2, 0))
        if self.image.zero_point:
            np.subtract(inside, self.image.zero, out=inside)

    def codes(self) -> Codes:
        """Return the image's codes (1, C, H, W)."""
        image, narrow = self.image, self._narrow()
        shape = (1, image.channels, image.height, image.width)
        if image.height * image.width == 1:
            return narrow.reshape(shape)
        pixels = narrow.reshape(-1, image.channels)
        found = np.empty((image.channels, len(pixels)), image.dtype)
        count = max(1, TURNED // image.channels)
        for first in range(0, len(pixels), count):
            found[:, first : first + count] = pixels[first : first + count].T
        return found.reshape(shape)

    def _narrow(self) -> Codes:
        """Return the image's codes, channels last."""
        image, inside = self.image, self.inside
        narrow = np.empty(inside.shape, image.dtype)
        if image.held is not None:  # bytes are added modulo 256, which is cheaper than floats
            np.copyto(narrow.view(image.held), inside, casting="unsafe")
            np.add(narrow.view(np.uint8), np.uint8(image.zero_point % 256), out=narrow.view(np.uint8))
            return narrow
        rows = min(image.height, max(1, PIECE // max(1, image.width * image.channels)))
        shifted = np.empty((rows, *inside.shape[1:]), np.float32)
        for first in range(0, image.height, rows):
            part = inside[first : first + rows]
            part = np.add(part, image.zero, out=shifted[: len(part)])
            np.copyto(narrow[first : first + rows], part, casting="unsafe")
        return narrow
