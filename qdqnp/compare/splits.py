"""What tells two rules apart on a layer: a sum, a pair of codes or a window on which they give different codes.

Two rules that agree on all the data of a dump may still differ on what the layer can meet. The search is complete where
it says so: for sums because both rules are monotone and have the same steps, for codes because all of them are tried.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qdqnp.compare.evidence import (
    AverageEvidence,
    BinaryEvidence,
    Evidence,
    LinearEvidence,
    LookupEvidence,
    MeanEvidence,
)
from qdqnp.errors import ProfileError
from qdqnp.kernels.tables import all_codes
from qdqnp.numerics.rules.average import FloatAverage
from qdqnp.numerics.rules.requantize import Requantizer
from qdqnp.quant import Codes, Int64, Quant

SOLVER_TRIES, DIFFERENCES_TRIED = 40, 24


@dataclass(frozen=True)
class Stimulus:
    """Where two rules part. text: in words; codes: what each gives; layer: its label; input_codes: codes of one window
    or row that lead there, where it is a sum and one was found."""

    layer: str
    text: str
    codes: tuple[int, int]
    input_codes: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Search:
    """stimulus: the first difference found; complete: where there is none, whether there can be none on these layers;
    note: what was searched, or why it could not be."""

    stimulus: Stimulus | None
    complete: bool
    note: str


class Searches:
    """The searches over the layers of one operator, each layer once. What a rule alone decides is computed once."""

    def __init__(self, found: Iterable[Evidence]) -> None:
        layers = {(one.label, getattr(one, "operand", 0)): one.part(slice(0, 1)) for one in found}
        self._layers = list(layers.values())
        self._steps: dict[tuple[int, Any], Int64 | None] = {}

    def split(self, one: Any, other: Any) -> Search:
        """An input of the first layer on which two rules differ; else whether there can be none."""
        complete, notes = bool(self._layers), dict[str, None]()
        for number, layer in enumerate(self._layers):
            try:
                search = self._search(number, layer, one, other)
            except ProfileError as error:
                search = Search(None, False, f"{layer.label}: {error.title}")
            if search.stimulus is not None:
                return search
            complete &= search.complete
            notes[search.note] = None
        return Search(None, complete, next(iter(notes), "no layer to search"))

    def agree(self, one: Any, other: Any) -> bool:
        """Whether two rules give equal codes for everything that these layers can meet."""
        search = self.split(one, other)
        return search.stimulus is None and search.complete

    def _search(self, number: int, layer: Evidence, one: Any, other: Any) -> Search:
        if isinstance(layer, LinearEvidence | MeanEvidence):
            steps = [self._steps_of(number, layer, rule) for rule in (one, other)]
            return _search_sums(layer, (one, other), steps)
        if isinstance(layer, BinaryEvidence):
            return _search_pairs(layer, one, other)
        if isinstance(layer, LookupEvidence):
            return _search_codes(layer, one, other)
        if isinstance(layer, AverageEvidence):
            return _search_windows(layer, one, other)
        return Search(None, False, "such layers are not searched")

    def _steps_of(self, number: int, layer: LinearEvidence | MeanEvidence, rule: Any) -> Int64 | None:
        key = (number, rule)
        if key not in self._steps:
            low, high = _reach(layer)
            bound = _bound(layer, rule)
            self._steps[key] = thresholds(bound, low, high, _y(layer)) if _monotone(bound, low, high) else None
        return self._steps[key]


# -- sums --------------------------------------------------------------------------------------------------------------
def _search_sums(layer: LinearEvidence | MeanEvidence, rules: tuple[Any, Any], steps: Sequence[Int64 | None]) -> Search:
    first, second = steps
    if first is None or second is None:
        return Search(None, False, "layers whose sums may wrap or leave a rule's domain are not searched")
    places = np.argwhere(first != second)
    if not len(places):
        return Search(None, True, "they agree on every reachable sum of these layers")
    best: Stimulus | None = None
    for step, channel in places[:: -(-len(places) // DIFFERENCES_TRIED)]:
        total = int(min(first[step, channel], second[step, channel]))
        best = _stimulus(layer, rules, int(channel), total)
        if best.input_codes is not None:
            break
    return Search(best, False, "")


def _stimulus(layer: LinearEvidence | MeanEvidence, rules: tuple[Any, Any], channel: int, total: int) -> Stimulus:
    """A sum on which the rules differ, with input codes that make it where some are found."""
    if isinstance(layer, LinearEvidence):
        assert layer.layer.weights is not None  # or there were no steps
        weights, x = layer.layer.weights[channel], layer.layer.x
        text = f"channel {channel}, sum {total} without bias"
    else:
        weights, x = np.ones(layer.count, np.int64), layer.x
        text = f"{layer.count} elements, sum {total} without zero points"
    row = np.full((1, _reach(layer)[0].size), total, np.int64)
    codes = [int(_bound(layer, rule)(row)[0, channel]) for rule in rules]
    return Stimulus(layer.label, text, (codes[0], codes[1]), codes_for(weights, total, x))


def _bound(layer: LinearEvidence | MeanEvidence, rule: Any) -> Requantizer:
    found = rule.bind(layer.layer) if isinstance(layer, LinearEvidence) else rule.bind(layer.x, layer.y, layer.count)
    return found  # type: ignore[no-any-return]


def _y(layer: LinearEvidence | MeanEvidence) -> Quant:
    return layer.layer.output if isinstance(layer, LinearEvidence) else layer.y


def _reach(layer: LinearEvidence | MeanEvidence) -> tuple[Int64, Int64]:
    if isinstance(layer, LinearEvidence):
        assert layer.layer.weights is not None  # evidence is of constant weights
        return reachable(layer.layer.weights, layer.layer.x)
    low, high = (layer.count * (code - int(layer.x.zero_point)) for code in layer.x.range)
    return np.array([low], np.int64), np.array([high], np.int64)


def reachable(weights: Int64, x: Quant) -> tuple[Int64, Int64]:
    """Smallest and largest sum of each channel. weights: less zero points, (channels, K)."""
    low, high = (code - int(x.zero_point) for code in x.range)
    ends = np.stack([weights * low, weights * high])
    return ends.min(axis=0).sum(axis=-1), ends.max(axis=0).sum(axis=-1)


def _monotone(bound: Requantizer, low: Int64, high: Int64) -> bool:
    """Whether the rule is a monotone function of every reachable sum: none wraps, none leaves its domain."""
    if isinstance(bound.bias, np.ndarray) and bound.bias.ndim > 1 and bound.bias.shape[0] > 1:
        return False  # QGemm's bias by row: a sum alone does not say the code
    if bound.slope is not None:
        return bool(low.min() >= bound.slope.low and high.max() <= bound.slope.high)
    bias = 0 if bound.bias is None else bound.bias
    return bool((low + bias).min() >= -(2**31) and (high + bias).max() < 2**31)


def thresholds(bound: Requantizer, low: Int64, high: Int64, y: Quant) -> Int64:
    """The smallest reachable sum whose code is above each code but the last; shape (codes - 1, channels); one past the
    largest sum where none is. Bisection: the rule is monotone."""
    first, last = y.range
    wanted = np.arange(first, last)[:, None]
    below = np.broadcast_to(low - 1, (last - first, len(low))).copy()
    above = np.broadcast_to(high + 1, below.shape).copy()
    while (above - below > 1).any():
        middle = np.clip((below + above) >> 1, low, high)
        higher = bound(middle).astype(np.int64) > wanted
        open_ = above - below > 1
        above = np.where(open_ & higher, middle, above)
        below = np.where(open_ & ~higher, middle, below)
    return above


def codes_for(weights: Int64, total: int, x: Quant) -> tuple[int, ...] | None:
    """Codes whose sum of (code - zero point) * weight is `total`: large weights first, each as near as it can get;
    other orders where that leaves a rest. None where no try succeeds."""
    low, high = (code - int(x.zero_point) for code in x.range)
    order = np.argsort(-np.abs(weights), kind="stable")
    rng = np.random.default_rng(0)
    for _ in range(SOLVER_TRIES):
        rest, chosen = total, np.zeros(len(weights), np.int64)
        for index in order:
            weight = int(weights[index])
            if weight:
                value = min(max(round(rest / weight), low), high)
                chosen[index], rest = value, rest - value * weight
        if rest == 0:
            return tuple(int(value) + int(x.zero_point) for value in chosen)
        order = np.argsort(-np.abs(weights) * rng.uniform(0.3, 1.0, len(weights)), kind="stable")
    return None


# -- codes -------------------------------------------------------------------------------------------------------------
def _search_pairs(evidence: BinaryEvidence, one: Any, other: Any) -> Search:
    a, b, _ = evidence.quants
    left, right = np.repeat(all_codes(a.dtype), 256), np.tile(all_codes(b.dtype), 256)
    every = replace(evidence, a=left, b=right)
    place, answers = _first_difference(every, one, other)
    if place is None:
        return Search(None, True, "they agree on every pair of codes of these layers")
    text = f"the pair of codes ({left[place]}, {right[place]})"
    return Search(Stimulus(evidence.label, text, answers, (int(left[place]), int(right[place]))), True, "")


def _search_codes(evidence: LookupEvidence, one: Any, other: Any) -> Search:
    codes = all_codes(evidence.x.dtype)
    place, answers = _first_difference(replace(evidence, x_codes=codes), one, other)
    if place is None:
        return Search(None, True, "they agree on every code of these layers")
    text = f"input {evidence.operand}, code {codes[place]}"
    return Search(Stimulus(evidence.label, text, answers, (int(codes[place]),)), True, "")


def _search_windows(evidence: AverageEvidence, one: Any, other: Any) -> Search:
    """One window for each sum, and random ones: a float32 sum depends on its order, so they prove nothing there."""
    counted = {(int(n), int(inside)) for n, inside in zip(evidence.count, evidence.inside.sum(axis=0), strict=True)}
    for count, inside in sorted(counted, reverse=True):
        taps = _windows(inside, evidence.x)
        where = np.ones(taps.shape, bool)
        every = replace(evidence, taps=taps, inside=where, count=np.full(taps.shape[1], count, np.int64))
        place, answers = _first_difference(every, one, other)
        if place is not None:
            window = tuple(int(code) for code in taps[:, place])
            return Search(Stimulus(evidence.label, f"a window of {inside} codes", answers, window), True, "")
    proven = not any(isinstance(rule, FloatAverage) for rule in (one, other))
    return Search(None, proven, "they agree on windows of every sum of these layers")


def _windows(size: int, x: Quant) -> Codes:
    """Windows (size, n): one for each sum of codes, as level as possible, and 4,096 random ones."""
    low, high = x.range
    totals = np.arange(size * low, size * high + 1)
    level = totals // size + (np.arange(size)[:, None] < totals % size)
    random = np.random.default_rng(0).integers(low, high, (size, 4096), endpoint=True)
    windows: Codes = np.concatenate([level, random], axis=1).astype(x.dtype)
    return windows


def _first_difference(every: Any, one: Any, other: Any) -> tuple[int | None, tuple[int, int]]:
    first, second = (every.codes(rule).reshape(-1) for rule in (one, other))
    places = np.flatnonzero(first != second)
    if not places.size:
        return None, (0, 0)
    return int(places[0]), (int(first[places[0]]), int(second[places[0]]))
