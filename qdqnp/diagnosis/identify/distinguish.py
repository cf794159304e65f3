"""Find what tells two rules apart on a layer: a sum, a pair of codes or a window on which they give different codes.

Two rules that agree on all the data of a dump may still differ on other inputs of the layer. The signature of a rule on
a layer is its result for everything that the layer can meet: the sums at which a monotone rule steps from code to code,
or its table of codes. Rules with equal signatures are equal on that layer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qdqnp.diagnosis.identify.evidence import Evidence
from qdqnp.errors import ProfileError
from qdqnp.numerics.questions import Blends, Means, Pairs, Question, Rows, Singles, Summed, Sums, Windows
from qdqnp.numerics.rules.average import FloatAverage
from qdqnp.numerics.rules.requantize.protocol import Requantizer
from qdqnp.quant import Array, Codes, Int64, Quant
from qdqnp.stimuli.scan import thresholds

SOLVER_TRIES, DIFFERENCES_TRIED, RANDOM_WINDOWS = 40, 24, 4096
# Weights that are looked at, one after the other, in all tries to make one sum.
SOLVER_WEIGHTS = 2**17
# Codes of the windows with one of each sum of a layer, and of its random windows; where they would be more, evenly
# spaced sums are taken. Windows of 7x7 need a tenth.
WINDOW_CODES = 2**23


@dataclass(frozen=True)
class SeparatingInput:
    """An input on which two rules give different codes."""

    #: The layer's label.
    layer: str
    #: The input in words.
    text: str
    #: The code that each of the two rules gives.
    codes: tuple[int, int]
    #: The codes of a window, row or pair that lead to it; None for a sum for which such codes were not found.
    input_codes: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Search:
    """The result of a search for an input that separates two rules."""

    #: The first difference found; None where the search did not find one.
    stimulus: SeparatingInput | None
    #: Where the search did not find a difference, whether there cannot be one on these layers.
    complete: bool
    #: What was searched, or why a layer could not be searched.
    note: str = ""


@dataclass(frozen=True, eq=False)
class _Signature:
    """What a rule gives for everything that a layer can meet."""

    #: Equal for equal rules; None where the signature cannot be computed.
    values: Array | None
    #: Whether equal values prove equal rules.
    complete: bool
    #: What was searched, or why the values are None.
    note: str


class Searches:
    """The searches over the layers of one operator, each layer once."""

    def __init__(self, found: Iterable[Evidence], most: int | None = None) -> None:
        layers = {(one.label, getattr(one.question, "operand", 0)): one for one in found}
        self._layers = [_ready(one.question) for one in sorted(layers.values(), key=lambda one: one.device.size)[:most]]
        self._signatures: dict[tuple[int, Any], _Signature] = {}
        # What the last rule gave on each layer, where its steps were found.
        self._near: dict[int, Int64] = {}

    def split(self, one: Any, other: Any) -> Search:
        """Return an input of the first layer on which two rules differ. Where such an input is not found, the result
        says whether one can exist."""
        complete, notes = bool(self._layers), dict[str, None]()
        for number, layer in enumerate(self._layers):
            pair = [self._signature(number, rule) for rule in (one, other)]
            if any(found.values is None for found in pair):
                complete, notes = False, {**notes, **{found.note: None for found in pair if found.values is None}}
                continue
            first, second = (np.asarray(found.values) for found in pair)
            if not np.array_equal(first, second):
                return Search(_stimulus(layer, (one, other), first, second), False)
            complete &= all(found.complete for found in pair)
            notes[pair[0].note] = None
        return Search(None, complete, next(iter(notes), "no layer to search"))

    def groups(self, rules: Iterable[Any], proven: bool = True) -> list[list[Any]]:
        """Group the rules that give equal codes for everything that these layers can meet, in their order.

        rules: the rules to group.
        proven: if True, a rule stays in a group of its own unless every layer could be searched completely. If False,
            layers that could not be searched completely are ignored.
        """
        found = [list(rules)] if self._layers else [[rule] for rule in rules]
        for number in range(len(self._layers)):
            found = [part for group in found for part in self._parted(number, group, proven)]
        return found

    def _parted(self, number: int, group: list[Any], proven: bool) -> list[list[Any]]:
        """Split a group by what its rules give on one layer."""
        if len(group) == 1:
            return [group]
        parts: dict[Any, list[Any]] = {}
        for index, rule in enumerate(group):
            signature = self._signature(number, rule)
            known = signature.values is not None and (signature.complete or not proven)
            key = np.asarray(signature.values).tobytes() if known else index if proven else None
            parts.setdefault(key, []).append(rule)
        return list(parts.values())

    def _signature(self, number: int, rule: Any) -> _Signature:
        key = (number, rule)
        if key not in self._signatures:
            try:
                self._signatures[key] = found = _signature(self._layers[number], rule, self._near.get(number))
                if found.values is not None:
                    self._near[number] = found.values
            except ProfileError as error:
                self._signatures[key] = _Signature(None, False, error.title)
        return self._signatures[key]


def _ready(one: Question) -> Any:
    """Return the layer with everything that it can meet in place of its data."""
    if isinstance(one, Pairs | Singles):
        return one.everything()
    if isinstance(one, Windows):
        return _all_windows(one.flat())
    return one.part(slice(0, 1))


def _signature(layer: Any, rule: Any, near: Array | None) -> _Signature:
    if isinstance(layer, Summed):
        low, high = _reach(layer)
        bound = _bound(layer, rule)
        if not _monotone(bound, low, high):
            return _Signature(None, False, "layers whose sums may wrap or leave a rule's domain are not searched")
        values = thresholds(bound, low, high, _output(layer), near)
        return _Signature(values, True, "they agree on every reachable sum of these layers")
    if isinstance(layer, Rows | Blends):
        what = "rows of a softmax" if isinstance(layer, Rows) else "planes of a Resize"
        return _Signature(None, False, f"{what} are not searched")
    what = "every pair of codes" if isinstance(layer, Pairs) else "every code"
    if isinstance(layer, Windows):  # a float32 sum depends on the order of its terms
        every = _every_sum(layer)
        note = f"they agree on windows of {'every sum' if every else 'evenly spaced sums'} of these layers"
        return _Signature(layer.codes(rule), every and not isinstance(rule, FloatAverage), note)
    return _Signature(layer.codes(rule), True, f"they agree on {what} of these layers")


def _stimulus(layer: Any, rules: tuple[Any, Any], first: Array, second: Array) -> SeparatingInput:
    places = np.argwhere(first != second)
    if isinstance(layer, Summed):
        return _sum_stimulus(layer, rules, np.minimum(first, second), places)
    place = int(places[0][0])
    codes = (int(first[place]), int(second[place]))
    if isinstance(layer, Pairs):
        pair = (int(layer.a[place]), int(layer.b[place]))
        return SeparatingInput(layer.label, f"the pair of codes {pair}", codes, pair)
    if isinstance(layer, Windows):
        inside = layer.taps[layer.inside[:, place], place]
        text = f"a window of {len(inside)} codes"
        return SeparatingInput(layer.label, text, codes, tuple(int(code) for code in inside))
    code = int(layer.x_codes[place])
    return SeparatingInput(layer.label, f"input {layer.operand}, code {code}", codes, (code,))


# -- sums --------------------------------------------------------------------------------------------------------------
def _sum_stimulus(layer: Summed, rules: tuple[Any, Any], sums: Int64, places: Int64) -> SeparatingInput:
    """Return a sum on which the rules differ, preferably one for which input codes are found."""
    found: list[SeparatingInput] = []
    for step, channel in places[:: -(-len(places) // DIFFERENCES_TRIED)]:
        found.append(_at_sum(layer, rules, int(channel), int(sums[step, channel])))
        if found[-1].input_codes is not None:
            return found[-1]
    return found[0]


def _at_sum(layer: Summed, rules: tuple[Any, Any], channel: int, total: int) -> SeparatingInput:
    if isinstance(layer, Sums):
        assert layer.context.weights is not None  # evidence is of constant weights
        weights, x = layer.context.weights[channel], layer.context.x
        text = f"channel {channel}, sum {total} without bias"
    else:
        assert isinstance(layer, Means)
        weights, x = np.ones(min(layer.count, SOLVER_WEIGHTS + 1), np.int64), layer.x
        text = f"{layer.count} elements, sum {total} without zero points"
    row = np.full((1, _reach(layer)[0].size), total, np.int64)
    codes = [int(_bound(layer, rule)(row)[0, channel]) for rule in rules]
    return SeparatingInput(layer.label, text, (codes[0], codes[1]), codes_for(weights, total, x))


def _bound(layer: Summed, rule: Any) -> Requantizer:
    found: Requantizer = layer.bind(rule)
    return found


def _output(layer: Summed) -> Quant:
    assert layer.y is not None  # codes were dumped
    return layer.y


def _reach(layer: Summed) -> tuple[Int64, Int64]:
    if isinstance(layer, Sums):
        assert layer.context.weights is not None  # evidence is of constant weights
        return reachable(layer.context.weights, layer.context.x)
    assert isinstance(layer, Means)
    low, high = (layer.count * (code - int(layer.x.zero_point)) for code in layer.x.range)
    return np.array([low], np.int64), np.array([high], np.int64)


def reachable(weights: Int64, x: Quant) -> tuple[Int64, Int64]:
    """Return the smallest and largest sum of each channel.

    weights: codes less their zero points, (channels, K).
    x: the quantization of the inputs.
    """
    low, high = (code - int(x.zero_point) for code in x.range)
    ends = np.stack([weights * low, weights * high])
    return ends.min(axis=0).sum(axis=-1), ends.max(axis=0).sum(axis=-1)


def _monotone(bound: Requantizer, low: Int64, high: Int64) -> bool:
    """Return whether the rule is a monotone function of every reachable sum: the sums do not wrap and do not leave the
    rule's domain."""
    if isinstance(bound.bias, np.ndarray) and bound.bias.ndim > 1 and bound.bias.shape[0] > 1:
        return False  # QGemm's bias by row: a sum alone does not say the code
    if bound.slope is not None:
        return bool(low.min() >= bound.slope.low and high.max() <= bound.slope.high)
    bias = 0 if bound.bias is None else bound.bias
    return bool((low + bias).min() >= -(2**31) and (high + bias).max() < 2**31)


def codes_for(weights: Int64, total: int, x: Quant) -> tuple[int, ...] | None:
    """Find codes whose sum of (code - zero point) * weight is `total`. Large weights are served first, each as near as
    possible; other orders are tried where a rest remains. Returns None where no try succeeds, and for too many
    weights."""
    tries = min(SOLVER_TRIES, SOLVER_WEIGHTS // max(1, len(weights)))
    if total % (int(np.gcd.reduce(weights)) or 1):
        return None  # no integers at all
    low, high = (code - int(x.zero_point) for code in x.range)
    order = np.argsort(-np.abs(weights), kind="stable")
    rng = np.random.default_rng(0)
    for _ in range(tries):
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


# -- windows -----------------------------------------------------------------------------------------------------------
def _all_windows(one: Windows) -> Windows:
    """Make, for every number of elements that a window of the layer has inside, one window for each sum, and random
    windows; no more than WINDOW_CODES allows."""
    counted = {(int(n), int(inside)) for n, inside in zip(one.count, one.inside.sum(axis=0), strict=True) if inside}
    most = max(2, WINDOW_CODES // max(1, len(one.taps) * len(counted)))
    parts = [(count, inside, _windows(inside, one.x, most)) for count, inside in sorted(counted, reverse=True)]
    taps = np.concatenate([_padded(windows, len(one.taps)) for _, _, windows in parts], axis=1)
    sizes = [windows.shape[1] for _, _, windows in parts]
    inside = np.arange(len(one.taps))[:, None] < np.repeat([inside for _, inside, _ in parts], sizes)
    count = np.repeat(np.array([count for count, _, _ in parts], np.int64), sizes)
    return replace(one, taps=taps, inside=inside, count=count)


def _windows(size: int, x: Quant, most: int) -> Codes:
    """Make windows (size, n): one for each sum of codes, as level as possible, and random windows; at most so many of
    each sort."""
    low, high = x.range
    count = size * (high - low) + 1
    totals = size * low + np.arange(min(count, most)) * (count - 1) // max(1, min(count, most) - 1)
    level = totals // size + (np.arange(size)[:, None] < totals % size)
    random = np.random.default_rng(0).integers(low, high, (size, min(RANDOM_WINDOWS, most)), endpoint=True)
    windows: Codes = np.concatenate([level, random], axis=1).astype(x.dtype)
    return windows


def _every_sum(layer: Windows) -> bool:
    """Tell whether windows that `_all_windows` made have every sum."""
    low, high = layer.x.range
    sizes, made = np.unique(layer.inside.sum(axis=0), return_counts=True)
    return bool((made >= sizes * (high - low) + 1).all())


def _padded(windows: Codes, taps: int) -> Codes:
    return np.concatenate([windows, np.zeros((taps - len(windows), windows.shape[1]), windows.dtype)])
