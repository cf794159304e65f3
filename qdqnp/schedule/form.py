"""What a compiled form of a step is."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence

from qdqnp.quant import Array
from qdqnp.schedule.arena import rounded
from qdqnp.schedule.image import Image, PlacedImage
from qdqnp.schedule.strips import Strips

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

    #: How many products of numbers are computed; 0 where there are few.
    products = 0

    @abstractmethod
    def bind(self, placed: Mapping[str, PlacedImage], work: Sequence[Array]) -> Sequence[Call]:
        """Return what computes the step, band of rows by band of rows.

        placed: inputs and output by name.
        work: flat float32 memory, a piece for each of `self.work`, with any content.
        """

    def shares(self, count: int) -> Sequence[Form]:
        """Return forms that compute some rows of the output each, which threads may do at the same time: `count` at
        most, and one where rows are not computed by themselves."""
        return [self]


class Banded(Form):
    """A form that computes any rows of its output by themselves; between two bands its work memory may be written."""

    #: The window of a row of output, in rows of the first input: (kernel, stride, dilation, rows of padding above).
    rows_read: tuple[int, int, int, int] = (1, 1, 1, 0)
    #: Rows of the output that are computed at a time, (first, count) of each; more do not fit into the work memory.
    bands: Sequence[tuple[int, int]]
    #: What the rows of a band are a multiple of, but for the last one's.
    multiple = 1
    #: How rows of the first input may lie as well; None where the form reads an image only.
    strips: Strips | None = None

    def needs(self, first: int, count: int) -> tuple[int, int]:
        """Return the rows of the first input, from and to, that some rows of output read; outside of it are zeros."""
        kernel, down, dilation, top = self.rows_read
        start = first * down - top
        return start, start + (count - 1) * down + (kernel - 1) * dilation + 1

    def in_blocks(self, blocks: int) -> Banded | None:
        """Return the form that makes its output in so many blocks of channels, for who reads strips of them (then not
        for an image); None where it has none."""
        return self if blocks == 1 else None

    def prepare(self, placed: Mapping[str, PlacedImage], work: Sequence[Array]) -> Sequence[Call]:
        """Return what makes work memory of any content ready for bands. The arguments are those of `bind`."""
        return ()

    @abstractmethod
    def band(self, placed: Mapping[str, PlacedImage], work: Sequence[Array], first: int, count: int) -> Call:
        """Return what computes `count` rows of the output from `first` on. The arguments are those of `bind`."""

    def bind(self, placed: Mapping[str, PlacedImage], work: Sequence[Array]) -> Sequence[Call]:
        return self.bind_bands(placed, work, self.bands)

    def bind_bands(
        self, placed: Mapping[str, PlacedImage], work: Sequence[Array], rows: Sequence[tuple[int, int]]
    ) -> Sequence[Call]:
        """Return what computes these bands, (first, count) of each; the other arguments are those of `bind`."""
        return [*self.prepare(placed, work), *(self.band(placed, work, *band) for band in rows)]

    def shares(self, count: int) -> Sequence[Form]:
        return [BandedRows(self, *rows) for rows in shared(self.output.height, count, self.multiple)]


class BandedRows(Form):
    """Some rows of a banded form's output."""

    def __init__(self, form: Banded, first: int, count: int) -> None:
        self._form, self.label, self.kind, self.proof = form, form.label, form.kind, form.proof
        self.reads, self.output, self.work, self.codes = form.reads, form.output, form.work, form.codes
        self._bands = [(first + at, rows) for at, rows in bands(count, form.bands[0][1], form.multiple)]

    def bind(self, placed: Mapping[str, PlacedImage], work: Sequence[Array]) -> Sequence[Call]:
        return self._form.bind_bands(placed, work, self._bands)


def floats_of(form: Form) -> int:
    """Return the floats of a form's work memory, as `carve` divides it."""
    return sum(map(rounded, form.work))


def shared(rows: int, count: int, multiple: int) -> list[tuple[int, int]]:
    """Cut rows into `count` parts at most, (first, count) of each; all but the last of a multiple."""
    return bands(rows, -(-rows // count), multiple)


def bands(rows: int, most: int, multiple: int = 1) -> list[tuple[int, int]]:
    """Cut rows into bands of nearly equal height, (first, count) of each.

    most: the rows of a band, at most; but `multiple`, at least.
    multiple: what the count of all but the last is a multiple of.
    """
    count = math.ceil(rows / max(most, multiple))
    height = math.ceil(rows / count / multiple) * multiple
    return [(first, min(height, rows - first)) for first in range(0, rows, height)]
