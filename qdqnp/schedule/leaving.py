"""An image becomes codes, channels first: floats become bytes in work memory, which are then turned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from qdqnp.quant import Array, Codes
from qdqnp.schedule.form import bands
from qdqnp.schedule.image import Image, PlacedImage

#: Values that are made codes at a time, so that they stay in cache. The number was measured and decides speed only.
PIECE = 32 * 1024

#: Codes that go from channels last to channels first at a time, so that they stay in the nearest cache; likewise.
TURNED = 24 * 1024


def leaving_floats(image: Image) -> int:
    """Return the floats of work memory that an image takes to become codes."""
    return -(-image.size // 4) + _shifted_floats(image)


def _shifted_floats(image: Image) -> int:
    return 0 if image.held is not None else _rows(image) * image.width * image.channels


def _rows(image: Image) -> int:
    """Return how many rows are made codes at a time."""
    return min(image.height, max(1, PIECE // max(1, image.width * image.channels)))


class Leaving:
    """Makes the codes of an image in memory."""

    def __init__(self, placed: PlacedImage, work: Array, known: Sequence[tuple[int, int]] = ()) -> None:
        """Bind an image to memory.

        work: `leaving_floats` floats.
        known: channels whose codes are there already, (first, stop) in the order of the first; they may overlap.
        """
        image = self._image = placed.image
        self._inside, self._known = placed.inside, tuple(known)
        self._shape = (1, image.channels, image.height, image.width)
        count = -(-image.size // 4)
        self._bytes = work[:count].view(np.uint8)[: image.size].reshape(self._inside.shape)
        self._narrow = self._bytes.view(image.dtype)
        self._held = None if image.held is None else self._bytes.view(image.held)
        self._added = np.uint8(image.zero_point % 256)
        self._pieces = list(self._shifted(work[count : count + _shifted_floats(image)]))
        self._turned = list(self._parts())

    def _parts(self) -> Iterator[tuple[slice, list[tuple[slice, Codes]]]]:
        """Yield channels of which nothing is known, with pixels and their bytes, channels first."""
        pixels = self._narrow.reshape(-1, self._image.channels)
        bounds = [0, *(bound for part in self._known for bound in part), self._image.channels]
        for first, stop in zip(bounds[::2], bounds[1::2], strict=True):
            if stop > first:
                pieces = bands(len(pixels), TURNED // (stop - first))
                turned = [(slice(at, at + count), pixels[at : at + count, first:stop].T) for at, count in pieces]
                yield slice(first, stop), turned

    def __call__(self, *known: Codes) -> Codes:
        """Return the codes (1, C, H, W). known: those of the known channels, (1, channels, H, W) each."""
        found = np.empty(self._shape, self._narrow.dtype)
        for (first, stop), codes in zip(self._known, known, strict=True):
            found[:, first:stop] = codes
        self._fill()
        flat = found.reshape(self._shape[1], -1)
        for channels, pieces in self._turned:
            rows = flat[channels]
            rows.fill(0)  # in order, which brings the memory into cache; what is turned goes to all rows in turn
            for pixels, turned in pieces:
                rows[:, pixels] = turned
        return found

    def _fill(self) -> None:
        """Make the codes, channels last."""
        if self._held is not None:  # bytes are added modulo 256, which is cheaper than floats
            np.copyto(self._held, self._inside, casting="unsafe")
            if self._added:
                np.add(self._bytes, self._added, out=self._bytes)
            return
        for values, shifted, codes in self._pieces:
            np.add(values, self._image.zero, out=shifted)
            np.copyto(codes, shifted, casting="unsafe")

    def _shifted(self, work: Array) -> Iterator[tuple[Array, Array, Codes]]:
        """Yield rows of the image, memory for their codes as floats, and for the codes; nothing where a byte holds the
        image's values."""
        image, rows = self._image, _rows(self._image)
        for first, count in bands(image.height, rows) if self._held is None else ():
            shifted = work[: count * image.width * image.channels].reshape(count, image.width, image.channels)
            yield self._inside[first : first + count], shifted, self._narrow[first : first + count]
