"""Forms in a row, of which each alone reads what the one before makes: computed band by band, without whole images.

A band of the last form's rows needs some rows of the image before, these need some of the image before that, and so on.
Of each image between two forms only those rows are kept, in a buffer that stays in cache: before a band, rows that it
reads again move to the buffer's beginning, and the form before makes those that are new. What is computed is what each
form computes alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from qdqnp.quant import Array
from qdqnp.schedule.arena import carve
from qdqnp.schedule.form import Banded, Call, Form, bands, floats_of, shared
from qdqnp.schedule.image import Image, PlacedImage
from qdqnp.schedule.strips import PlacedStrips, Strips

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


@dataclass(frozen=True)
class _Buffer:
    """What holds rows of an image between two forms: as strips where the second reads those."""

    image: Image
    rows: int
    strips: Strips | None

    @property
    def floats(self) -> int:
        if self.strips is not None:
            return self.strips.floats(self.rows)
        return self.rows * self.image.width * self.image.channels

    def place(self, flat: Array, low: int) -> PlacedImage:
        """Return the buffer in flat memory, when its first row is the image's row `low`."""
        if self.strips is not None:
            return self.strips.place(self.image, flat, self.rows, low)
        return PlacedImage(self.image, flat.reshape(self.rows, self.image.width, self.image.channels), -low)


class FormChain(Form):
    """Two forms or more."""

    def __init__(self, forms: Sequence[Banded], rows: tuple[int, int] | None = None) -> None:
        """Make a chain. rows: of the last form, (first, count); None for all."""
        first, last = forms[0], forms[-1]
        self._given, self.forms = forms, list(forms)
        self.label = ", ".join(form.label for form in forms)
        self.kind = ", ".join(form.kind for form in forms)
        self.proof = "; ".join(dict.fromkeys(form.proof for form in forms))
        self.reads = (*first.reads, *(image for form in forms[1:] for image in form.reads[1:]))
        self.output, self.borders, self.codes = last.output, first.borders, first.codes
        begin, count = rows or (0, last.output.height)
        self._bands = self._parts([(begin + at, some) for at, some in bands(count, self._most(), last.multiple)])
        self._buffers = [self._buffer(at) for at in range(len(forms) - 1)]
        self.products = sum(form.products for form in forms)
        common = max(floats_of(form) for form in self.forms)
        self.work = (*(buffer.floats for buffer in self._buffers), common)

    @property
    def in_strips(self) -> list[Banded]:
        """Return the forms that read strips where they lie."""
        return [form for form, buffer in zip(self.forms[1:], self._buffers, strict=True) if buffer.strips is not None]

    def _buffer(self, at: int) -> _Buffer:
        """Return the buffer between a form and the next, and let the form write strips where the next reads them."""
        y, reader = self.forms[at].output, self.forms[at + 1]
        rows = max(max(parts[at].high, parts[at].stop) - parts[at].low for parts in self._bands)
        aligned = all(parts[at].low == reader.needs(parts[at + 1].first, 1)[0] for parts in self._bands)
        strips = reader.strips if aligned else None
        writer = None if strips is None else self.forms[at].in_blocks(strips.blocks)
        if writer is None:
            return _Buffer(y, rows, None)
        self.forms[at] = writer
        return _Buffer(y, rows, strips)

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
        made = self._begin(last[0][0])
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

    def _begin(self, first: int) -> list[int]:
        """Return the first row that each form makes, where the last one's is `first`."""
        begin = [first]
        for form, before in zip(self.forms[:0:-1], self.forms[-2::-1], strict=True):
            start, _ = form.needs(begin[0], 1)
            begin.insert(0, min(before.output.height, max(0, start)))  # windows may lie in the padding alone
        return begin

    def shares(self, count: int) -> Sequence[Form]:
        last = self.forms[-1]
        return [FormChain(self._given, rows) for rows in shared(last.output.height, count, last.multiple)]

    def bind(self, placed: Mapping[str, PlacedImage], work: Sequence[Array]) -> Sequence[Call]:
        works = [carve(work[-1], form.work) for form in self.forms]
        before = here = dict(placed)
        calls: list[Call] = []
        for at, parts in enumerate(self._bands):
            before, here = here, dict(placed)
            for buffer, part, flat in zip(self._buffers, parts, work, strict=False):
                name, now = buffer.image.name, buffer.place(flat, part.low)
                if isinstance(now, PlacedStrips) and not at:
                    calls.append(_ends_cleared(now))
                here[name] = now
                calls.extend(_kept(before.get(name, now), now, part))
                calls.extend(_zeros(now, part))
            for form, part, memory in zip(self.forms, parts, works, strict=True):
                calls.extend(_made(form, part, here, memory))
        return calls


def _ends_cleared(strips: PlacedStrips) -> Call:
    return lambda _: strips.clear_ends()


def _kept(before: PlacedImage, now: PlacedImage, part: _Part) -> Iterator[Call]:
    """Return what moves the rows that were made, and are read again, from where they were to where they are now."""
    first = max(0, part.low)
    if now.above < before.above and first < part.first:
        for into, rows in zip(now.pieces(first, part.first), before.pieces(first, part.first), strict=True):
            yield partial(_moved, into, rows)


def _moved(into: Array, rows: Array, _: Mapping[str, Array]) -> None:
    np.copyto(into, rows)


def _zeros(now: PlacedImage, part: _Part) -> Iterator[Call]:
    """Return what writes the rows of zeros above and below an image."""
    for first, stop in ((part.low, min(0, part.high)), (max(now.image.height, part.low), part.high)):
        if first < stop:
            yield from (_filled(piece) for piece in now.pieces(first, stop))


def _filled(area: Array) -> Call:
    return lambda _: area.fill(0)


def _made(form: Banded, part: _Part, placed: Mapping[str, PlacedImage], work: Sequence[Array]) -> Iterator[Call]:
    """Return what makes the new rows of one form. Its work memory was written by others."""
    most = form.bands[0][1]
    if part.count:
        yield from form.prepare(placed, work)
    for first in range(part.first, part.stop, most):
        yield form.band(placed, work, first, min(most, part.stop - first))
