"""An image is a tensor of codes as the schedule holds it: code less zero point, float32, channels last, one picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from qdqnp.lazy import lazy
from qdqnp.quant import EIGHT_BIT, Array, Codes, Float32, Quant, all_codes, code_range


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

    def alike(self, other: Image) -> bool:
        """Tell whether both have the same size and codes, but for the number of channels."""
        mine, others = ((image.height, image.width, image.dtype, image.zero_point) for image in (self, other))
        return mine == others

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
