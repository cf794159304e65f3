"""Layers that sum: every sum that a channel's inputs can make, and its code under both profiles.

The two codes are functions of the sum with some hundred pieces each, so on all but a few hundred intervals both are
constant. What inputs can make of each interval is counted exactly; no sum is left out, and none is tried that no input
makes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from qdqnp.diagnosis.proof.anchor import set_of, shift_of, staircases_of
from qdqnp.diagnosis.proof.claim import Claim, NotProvenError
from qdqnp.diagnosis.proof.pair import StepPair
from qdqnp.diagnosis.proof.staircase import Staircase
from qdqnp.diagnosis.proof.sum_set import SumSet
from qdqnp.executor.plan import BoundStep
from qdqnp.numerics.questions import Question, Windows
from qdqnp.ops.integer.asking import Part
from qdqnp.quant import Codes, Int64
from qdqnp.stimuli.average import of_the_sum, window_kinds
from qdqnp.stimuli.goals import Goal
from qdqnp.stimuli.place import sheets
from qdqnp.stimuli.sums import SummingLayer

# Codes of windows that are made to try every sum of a window.
WINDOW_CODES = 2**24


@dataclass(frozen=True, eq=False)
class Column:
    """One channel, or one kind of window: its sums, and their codes under both profiles, in the model file's dtype."""

    layer: SummingLayer
    channel: int
    #: The sums that inputs can make.
    sums: SumSet
    first: Staircase
    second: Staircase

    def edges(self) -> Int64:
        """Return the first sum of each interval on which both codes are constant."""
        found: Int64 = np.unique(np.concatenate([self.first.edges, self.second.edges]))
        return found

    def spread(self, most: int) -> int:
        """Bound the difference of the codes of two sums that are at most `most` apart, one under each profile."""
        if not (self.first.rises and self.second.rises):
            codes = np.concatenate([self.first.codes, self.second.codes])
            return int(codes.max() - codes.min())
        low = self.first.edges[0]
        found = 0
        for sign in (1, -1):  # the second profile's sum is the larger, then the smaller
            at = np.concatenate([self.first.edges, self.second.edges - sign * most])
            at = np.maximum(at, low)
            found = max(found, int((sign * (self.second(at + sign * most) - self.first(at))).max()))
        return found

    @property
    def gain(self) -> int:
        """How much the sum changes at most where each input changes by one code."""
        return int(np.abs(self.layer.weights[self.channel]).sum())


@dataclass(frozen=True, eq=False)
class Counted:
    """What differs in one column."""

    reachable: int
    differing: int
    #: The largest difference, and the least sum that has it.
    largest: int
    total: int

    @classmethod
    def of(cls, column: Column) -> Counted:
        sums, edges = column.sums, column.edges()
        ends = np.append(edges[1:] - 1, np.iinfo(np.int64).max // 2)
        apart = np.abs(column.first(edges) - column.second(edges))
        there = sums.between(edges, ends)
        apart = np.where(there > 0, apart, 0)
        at = int(apart.argmax())
        total = sums.next(int(edges[at])) if apart[at] else 0
        return cls(sums.count, int(there[apart > 0].sum()), int(apart[at]), total)


def claim_of(pair: StepPair, columns: Sequence[Column]) -> Claim:
    """Return the claim about a layer that sums; its witness has been run."""
    counted = [Counted.of(column) for column in columns]
    best = max(range(len(columns)), key=lambda index: counted[index].largest, default=None)
    largest = 0 if best is None else counted[best].largest
    reachable, differing = (sum(getattr(one, name) for one in counted) for name in ("reachable", "differing"))
    claim = Claim("", largest, "sums", reachable, differing)
    if best is None or not largest:
        return claim
    column, total = columns[best], counted[best].total
    (sheet,) = sheets(column.layer, [Goal("difference", column.channel, total)])
    codes = tuple(int(side(np.asarray(total))) for side in (column.first, column.second))
    index = _in_output(pair.first, sheet.placed[0].index)
    inputs = {column.layer.input.name: sheet.codes}
    return replace(claim, witness=pair.witness(inputs, (codes[0], codes[1]), index, total))


def _in_output(bound: BoundStep, index: tuple[int, ...]) -> tuple[int, ...]:
    """Return the index, channels last, as an index of the layer's output."""
    *rest, channel = index
    axis = bound.operator.channel_axis if rest else -1
    rest.insert(len(rest) if axis == -1 else axis, channel)
    return tuple(rest)


# -- the columns of a layer --------------------------------------------------------------------------------------------
def columns_of(pair: StepPair, parts: tuple[Sequence[Part], Sequence[Part]]) -> list[Column]:
    """Return the columns of a layer that sums.

        parts: what the layer asks under each profile.

    Raises NotProvenError where a code is no function of one sum, or the sums are too many.
    """
    questions = [side[0].question for side in parts]
    if len(parts[0]) != 1:
        raise NotProvenError("several layers of different weights in one")
    if isinstance(questions[0], Windows):
        return list(_windows(pair, questions))
    anchor = pair.anchor
    second = staircases_of(pair.second, questions[1], anchor.ends)
    both = zip(anchor.sets, anchor.staircases, second, strict=True)
    return [Column(anchor.layer, channel, *each) for channel, each in enumerate(both)]


def _windows(pair: StepPair, questions: Sequence[Question]) -> Iterator[Column]:
    """Yield a column for each kind of window, by how much of it lies in the padding."""
    for bound in pair.sides:
        if not of_the_sum(bound.profile):
            raise NotProvenError(f"under '{bound.profile.name}' averages add up in float32, where the order matters")
    for layer in window_kinds(pair.first, pair.shapes):
        (place,) = layer.sites[0][:1]
        inside = int((place.taps >= 0).sum())
        sides = []
        for bound, question in zip(pair.sides, questions, strict=True):
            assert isinstance(question, Windows)
            low, high = question.x.range
            count = inside * (high - low) + 1
            if count * inside > WINDOW_CODES:
                raise NotProvenError(f"{count:,} sums of windows of {inside} codes are too many to try")
            row, column = (0, *place.index)[-2:]
            divisor = np.broadcast_to(question.count, question.shape)[..., row, column].reshape(-1)[0]
            taps = _level(inside, low, count).astype(question.x.dtype)
            rule = question.bind(getattr(bound.profile, question.rule))
            codes = rule(taps, np.ones((inside, 1), bool), np.full(count, divisor))
            least = inside * (low - int(question.x.zero_point))
            sides.append(Staircase.of(least, codes.astype(np.int64) + shift_of(bound)))
        yield Column(replace(layer, weights=layer.weights[:1]), 0, set_of(layer, 0), *sides)


def _level(size: int, low: int, count: int) -> Codes:
    """Make one window (size, count) for each sum, its codes as level as possible."""
    totals = np.arange(count)
    return low + totals // max(1, size) + (np.arange(size)[:, None] < totals % max(1, size))
