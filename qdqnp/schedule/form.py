"""What a compiled form of a step is."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence

from qdqnp.quant import Array
from qdqnp.schedule.image import Image, PlacedImage

#: Computes a part of a step. It is given the tensors of codes by name, of which only a form that reads codes makes use.
Call = Callable[[Mapping[str, Array]], None]


class Form(ABC):
    """A step on images, without memory; `bind` gives it a place in memory."""

    #: The step's label.
    label: str
    #: How the step is computed, in a few words, and why that is exact.
    kind: str
    proof: str
    #: The images that are read. The first may need rows of zeros around it.
    reads: tuple[Image, ...]
    output: Image
    #: Rows of zeros that are needed above and below the first input.
    borders: tuple[int, int] = (0, 0)
    #: Floats of each piece of work memory.
    work: tuple[int, ...] = ()
    #: The tensors of codes that are read, by name.
    codes: tuple[str, ...] = ()

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of the images that are read."""
        return tuple(image.name for image in self.reads)

    @abstractmethod
    def bind(self, placed: Mapping[str, PlacedImage], work: Sequence[Array]) -> Sequence[Call]:
        """Return what computes the step, band of rows by band of rows.

        placed: inputs and output by name.
        work: flat float32 memory, a piece for each of `self.work`, with any content.
        """


def bands(rows: int, most: int, multiple: int = 1) -> list[tuple[int, int]]:
    """Cut rows into bands of nearly equal height, (first, count) of each.

    most: the rows of a band, at most; but `multiple`, at least.
    multiple: what the count of all but the last is a multiple of.
    """
    count = math.ceil(rows / max(most, multiple))
    height = math.ceil(rows / count / multiple) * multiple
    return [(first, min(height, rows - first)) for first in range(0, rows, height)]
