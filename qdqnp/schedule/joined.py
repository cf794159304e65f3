"""Images joined along their channels. One of the joined scale is made in its place; others are copied, rescaled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from qdqnp.kernels.tables import look_up
from qdqnp.quant import Array, Codes, Float32, Quant
from qdqnp.schedule.addition import Addition, PairTable
from qdqnp.schedule.form import Call, Form, bands
from qdqnp.schedule.image import Image, PlacedImage, centered
from qdqnp.schedule.pointwise import TILE
from qdqnp.schedule.runs import Copy, copied, copy_of, read, written


@dataclass(frozen=True, eq=False)
class Rescaling:
    """rint(clip(value * factor)) of a code less zero point, where it is equal to the rule on all 256 codes.

    Of a mean, the value is the sum of such codes, and the rule is that expression.
    """

    #: None where nothing changes.
    factor: np.float32 | None
    #: Whether a product may be out of range.
    clips: bool
    low: np.float32
    high: np.float32

    @property
    def copies(self) -> bool:
        """Return whether values stay what they are."""
        return self.factor is None

    def __call__(self, values: Array, work: Array, out: Array) -> None:
        """Write the rescaled values to out. work: memory in the shape of both."""
        if self.factor is None:
            np.copyto(out, values)
            return
        np.multiply(values, self.factor, out=work)
        if self.clips:
            work.clip(self.low, self.high, out=work)
        np.rint(work, out=out)


@dataclass(frozen=True, eq=False)
class CodeTable:
    """The rule's answers to all codes, or to all sums of them, where no `Rescaling` gives them."""

    #: Codes less their zero point; the first is that of the least code or sum.
    table: Float32
    #: The least code, less its zero point, or the least sum of such.
    least: np.float32
    copies = False

    def __call__(self, values: Array, work: Array, out: Array) -> None:
        """Write the answers to out. work: memory in the shape of both."""
        np.subtract(values, self.least, out=work)
        look_up(self.table, work)
        np.copyto(out, work)


def rescale(x: Quant, y: Quant, answers: Codes) -> Rescaling | CodeTable:
    """Return what gives the answers to all codes: an expression where there is one, else the table.

    answers: the rule's codes for those of x, in the order of their bytes.
    """
    low, high = (np.float32(code - int(y.zero_point)) for code in y.range)
    values = centered(x)
    wanted = answers.astype(np.float32) - np.float32(int(y.zero_point))
    with np.errstate(all="ignore"):
        factor = np.float32(x.scale / y.scale)
        for found in (
            Rescaling(None, False, low, high),
            *(Rescaling(factor, clips, low, high) for clips in (False, True)),
        ):
            got = np.empty_like(values)
            found(values, np.empty_like(values), got)
            if np.array_equal(got, wanted):
                return found
    return CodeTable(wanted[np.argsort(values)], values.min())


def composed(x: Image, function: Rescaling | CodeTable, addition: Addition | PairTable) -> CodeTable:
    """Return one table in place of two steps: `addition` of an image and a function of it, as x * Sigmoid(x)."""
    values = np.arange(x.range[0], x.range[1] + 1, dtype=np.float32)
    made, total, work = (np.empty_like(values) for _ in range(3))
    function(values, work, made)
    addition(values, made, total, work)
    return CodeTable(np.rint(total), values[0])


class Joined(Form):
    kind = "joined in place"
    proof = "codes are copied, or equal to the rule on all 256 codes; or looked up in its answers to them"

    def __init__(self, label: str, parts: Sequence[Image], y: Image, rescales: Sequence[Rescaling | CodeTable]) -> None:
        self.label, self.reads, self.output = label, tuple(parts), y
        self._rescales = rescales
        ends = np.cumsum([part.channels for part in parts]).tolist()
        #: The first channel of each part.
        self.starts = [end - part.channels for end, part in zip(ends, parts, strict=True)]
        self._bands = bands(y.height, TILE // max(1, y.width * y.channels))
        self.work = (self._bands[0][1] * y.width * max(part.channels for part in parts),)
        #: Names of the parts that their makers write in place: the compiler says which.
        self.in_place: set[str] = set()

    def function_of(self) -> tuple[Image, Rescaling | CodeTable] | None:
        """Return the image of which this is a function, and the function; None where several are joined."""
        return (self.reads[0], self._rescales[0]) if len(self.reads) == 1 else None

    def unchanged(self) -> list[tuple[str, int]]:
        """Return the parts whose values stay what they are, which may be made in place, and their first channels."""
        each = zip(self.inputs, self.starts, self._rescales, strict=True)
        return [(name, start) for name, start, rescale in each if rescale.copies]

    def bind(self, placed: Mapping[str, PlacedImage], work: Sequence[Array]) -> Sequence[Call]:
        out, calls = placed[self.output.name], []
        for first, rows in self._bands:
            todo: list[Part] = []
            for name, start, each in zip(self.inputs, self.starts, self._rescales, strict=True):
                if name not in self.in_place:
                    values = placed[name].rows(first, first + rows)
                    into = out.rows(first, first + rows)[:, :, start : start + values.shape[2]]
                    todo.append(_part(each, values, work[0][: values.size].reshape(values.shape), into))
            calls.append(_joined(todo))
        return calls


#: What is copied, rescaled if there is a function (it, from, work memory, to), and copied then.
Part = tuple[Sequence[Copy], tuple[Rescaling | CodeTable, Array, Array, Array] | None, Sequence[Copy]]


def _part(rescale: Rescaling | CodeTable, values: Array, spare: Array, into: Array) -> Part:
    """Return what makes a part of a joined image."""
    if rescale.copies:
        return [copy_of(into, values)], None, []
    (near, before), (out, after) = read(values, spare), written(into, spare)
    return before, (rescale, near, spare, out), after


def _joined(todo: Sequence[Part]) -> Call:
    def call(_: Mapping[str, Array]) -> None:
        for before, rescaled, after in todo:
            copied(before)
            if rescaled is not None:
                rescale, values, spare, out = rescaled
                rescale(values, spare, out)
            copied(after)

    return call
