"""Averages: a quotient that is cut off in place of rounded, and sums that a register of 8 bits holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qdqnp.diagnosis.faults.fault import Changed, fault_of_question
from qdqnp.numerics.choices import neighbours
from qdqnp.numerics.questions import Means, Windows
from qdqnp.numerics.rounding import divided, round_real
from qdqnp.numerics.rules.average import centered_sum
from qdqnp.numerics.width import saturate, saturate_to, wrap
from qdqnp.quant import Array, Codes, Int64, Quant

TRUNCATING = "truncating average"
NARROW = "int8 pooling sums"
#: Longer sums than this are not added up element by element.
LONGEST = 4096
CUTS = ("truncate", "floor")


@dataclass(frozen=True)
class CutOff:
    """A rule of averages that divides integers and drops what is left over."""

    how: str
    #: Whether raw codes are averaged, else codes less their zero point.
    raw: bool

    def bind(self, x: Quant, y: Quant, count: int | None = None) -> Callable[..., Codes]:
        def of_sums(sums: Int64, divisor: Int64) -> Codes:
            """sums: of (code - zero point)."""
            ratio, zero = float(x.scale) / float(y.scale), int(x.zero_point) if self.raw else 0
            if self.raw:
                mean = divided(sums + zero * divisor, divisor, self.how) - zero
                return saturate_to(round_real(np.asarray(mean * ratio, np.float64), "half-even") + int(y.zero_point), y)
            real = np.asarray(sums * ratio / divisor, np.float64)
            return saturate_to(round_real(real, self.how) + int(y.zero_point), y)

        if count is not None:
            return lambda sums: of_sums(sums, np.asarray(count, np.int64))

        def of_windows(taps: Codes, inside: Array, counts: Int64) -> Codes:
            sums = centered_sum(taps, inside, int(x.zero_point))
            return of_sums(sums, np.broadcast_to(np.maximum(counts, 1), sums.shape))

        return of_windows


@fault_of_question(TRUNCATING, Means, Windows)
def truncating(question: Means | Windows, rule: Any) -> Iterator[Changed]:
    """The sum is divided as integers are in C; or the arithmetic's own last rounding cuts off."""
    for how in CUTS:
        yield Changed(question, f"{how}, of codes", CutOff(how, True))
        if question.x.zero_point.any():
            yield Changed(question, f"{how}, of codes less their zero point", CutOff(how, False))
    for near in neighbours(rule):
        if near.value in CUTS and near.kind == "tie rule":
            yield Changed(question, near.text, near.rule)


@fault_of_question(NARROW, Means)
def narrow_means(question: Means, rule: Any) -> Iterator[Changed]:
    """A plane is added up in 8 bits, which wrap or saturate; raw codes, or codes less their zero point."""
    for text, zero in _offsets(question.x):
        offset = (int(question.x.zero_point) - zero) * question.count
        yield Changed(question.with_sums(wrap(question.sums + offset, 8) - offset), f"wraps, {text}")
        if question.planes is not None and question.count <= LONGEST:
            total = _saturating(np.moveaxis(question.planes, 1, 0), zero)
            yield Changed(question.with_sums(total - offset), f"saturates, {text}")


@fault_of_question(NARROW, Windows)
def narrow_windows(question: Windows, rule: Any) -> Iterator[Changed]:
    inside = np.broadcast_to(question.inside, question.taps.shape)
    for text, zero in _offsets(question.x):
        present = inside.sum(axis=0)
        total = centered_sum(question.taps, inside, zero)
        yield Changed(_summed(question, inside, wrap(total, 8) + zero * present), f"wraps, {text}")


def _offsets(x: Quant) -> Iterator[tuple[str, int]]:
    yield "of codes", 0
    if x.zero_point.any():
        yield "of codes less their zero point", int(x.zero_point)


def _saturating(elements: Codes, zero: int) -> Int64:
    """Add up codes one after the other; what leaves 8 bits is clipped each time."""
    total = np.zeros(elements.shape[1:], np.int64)
    for element in elements:
        total = saturate(total + element.astype(np.int64) - zero, 8)
    return total


def _summed(question: Windows, inside: Array, total: Int64) -> Windows:
    """The windows with these sums of codes: all in the first tap that lies inside, the others 0."""
    taps = np.zeros(inside.shape, np.int64)
    first = np.argmax(inside, axis=0)[None]
    np.put_along_axis(taps, first, np.where(inside.any(axis=0), total, 0)[None], axis=0)
    return replace(question, taps=taps)
