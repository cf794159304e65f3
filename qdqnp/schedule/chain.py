"""Forms in a row, of which each alone reads what the one before makes: computed band by band, without whole images.

A band of the last form's rows needs some rows of the image before, these need some of the image before that, and so on.
Of each image between two forms only those rows are kept, in a buffer that stays in cache: before a band, rows that it
reads again move to the buffer's beginning, and the form before makes those that are new. What is computed is what each
form computes alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from qdqnp.quant import Array
from qdqnp.schedule.arena import carve, rounded
from qdqnp.schedule.form import Banded, Call, Form, bands
from qdqnp.schedule.image import PlacedImage

#: Floats of an image that are new in a band, at most. Measured; it decides speed only.
BETWEEN = 256 * 1024


@dataclass(frozen=True)
class _Part:
    """What a band of the chain has of one form."""

    #: The rows that the form makes.
    first: int
    stop: int
    #: The rows of its image that the buffer then has, outside of which are zeros; not of the last form.
    low: int = 0
    high: int = 0

    @property
    def count(self) -> int:
        return self.stop - self.first


class FormChain(Form):
    """Two forms or more."""

    def __init__(self, forms: Sequence[Banded]) -> None:
        first, last = forms[0], forms[-1]
        self.forms = tuple(forms)
        self.label = ", ".join(form.label for form in forms)
        self.kind = ", ".join(form.kind for form in forms)
        self.proof = "; ".join(dict.fromkeys(form.proof for form in forms))
        self.reads = (*first.reads, *(image for form in forms[1:] for image in form.reads[1:]))
        self.output, self.borders, self.codes = last.output, first.borders, first.codes
        self._bands = self._parts(bands(last.output.height, self._most(), last.multiple))
        #: The images between two forms, and the shapes of their buffers.
        self._between = [form.output for form in forms[:-1]]
        self._shapes = [
            (max(max(parts[at].high, parts[at].stop) - parts[at].low for parts in self._bands), y.width, y.channels)
            for at, y in enumerate(self._between)
        ]
        shared = max(sum(map(rounded, form.work)) for form in forms)
        self.work = (*(rows * width * channels for rows, width, channels in self._shapes), shared)

    def _most(self) -> int:
        """Return the rows of a band: as many as no form needs two bands of its own for, and buffers stay small."""
        most, down = self.forms[-1].bands[0][1], 1
        for form, before in zip(self.forms[:0:-1], self.forms[-2::-1], strict=True):
            down *= form.rows_read[1]
            y = before.output
            most = min(most, before.bands[0][1] // down, BETWEEN // (down * y.width * y.channels))
        return max(1, most)

    def _parts(self, last: Sequence[tuple[int, int]]) -> list[list[_Part]]:
        """Return what each form does in each band of the last one's rows."""
        found: list[list[_Part]] = []
        made = [0] * len(self.forms)
        for first, count in last:
            parts = [_Part(first, first + count)]
            for at in range(len(self.forms) - 2, -1, -1):
                low, high = self.forms[at + 1].needs(parts[0].first, parts[0].count)
                form = self.forms[at]
                stop = -(-max(high, made[at]) // form.multiple) * form.multiple
                low = min(low, made[at])  # where a stride skips rows, they are made as well
                parts.insert(0, _Part(made[at], min(form.output.height, stop), low, high))
            made = [part.stop for part in parts]
            found.append(parts)
        return found

    def bind(self, placed: Mapping[str, PlacedImage], work: Sequence[Array]) -> Sequence[Call]:
        buffers = [flat.reshape(shape) for flat, shape in zip(work, self._shapes, strict=False)]
        works = [carve(work[-1], form.work) for form in self.forms]
        calls: list[Call] = []
        for at, parts in enumerate(self._bands):
            here = dict(placed)
            for image, buffer, part, before in zip(
                self._between, buffers, parts, self._bands[max(0, at - 1)], strict=False
            ):
                here[image.name] = PlacedImage(image, buffer, -part.low)
                calls.extend(_kept(buffer, before, part))
                calls.extend(_zeros(buffer, part, image.height))
            for form, part, memory in zip(self.forms, parts, works, strict=True):
                calls.extend(_made(form, part, here, memory))
        return calls


def _kept(buffer: Array, before: _Part, part: _Part) -> Iterator[Call]:
    """Return what moves the rows that were made, and are read again, to their new places.

    before: the band before; the first band is its own.
    """
    first, stop = max(0, part.low), part.first
    if part.low > before.low and first < stop:
        into, rows = buffer[first - part.low : stop - part.low], buffer[first - before.low : stop - before.low]
        yield lambda _: np.copyto(into, rows)


def _zeros(buffer: Array, part: _Part, height: int) -> Iterator[Call]:
    """Return what writes the rows of zeros above and below an image."""
    for area in (buffer[: max(0, -part.low)], buffer[max(0, height - part.low) : max(0, part.high - part.low)]):
        if len(area):
            yield _filled(area)


def _filled(area: Array) -> Call:
    return lambda _: area.fill(0)


def _made(form: Banded, part: _Part, placed: Mapping[str, PlacedImage], work: Sequence[Array]) -> Iterator[Call]:
    """Return what makes the new rows of one form. Its work memory was written by others."""
    most = form.bands[0][1]
    if part.count:
        yield from form.prepare(work)
    for first in range(part.first, part.stop, most):
        yield form.band(placed, work, first, min(most, part.stop - first))
