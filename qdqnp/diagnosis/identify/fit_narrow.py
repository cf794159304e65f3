"""Solve for Neural-ART's numbers in a device's codes: S1 and S2 of each layer, BC of each channel, both tie rules, the
width.

With S1, S2 and the tie rules given, A is known, and each code says between which two values BC lies. The intervals of
all elements of a channel are intersected exactly, so BC is solved for and not searched.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np

from qdqnp.diagnosis.identify.evidence import Evidence
from qdqnp.diagnosis.identify.families import describe
from qdqnp.numerics.multiplier import largest_shift
from qdqnp.numerics.profiles.neural_art import TIE
from qdqnp.numerics.questions import Sums
from qdqnp.numerics.rounding import ROUNDINGS
from qdqnp.numerics.rules.requantize.narrow import ACCUMULATORS, Narrowed, NarrowThenAffine
from qdqnp.numerics.rules.requantize.protocol import SumContext
from qdqnp.numerics.values import named
from qdqnp.quant import Codes, Int64

# (accumulator, tie rule of the first rounding, tie rule of the second)
Manner = tuple[str, str, str]
FIRST_SHIFTS = range(16)
# S2 puts the largest A in [2^14, 2^15); a compiler may leave A up to this many bits below.
SPARE_BITS = 8
# BC of real compilers was observed within -6 to +4 units of the formula's; the search goes this far.
BC_UNITS = 16
# Rows of sums that are tried before all rows.
FEW_ROWS = 128
_BEYOND = 1 << 60


@dataclass(frozen=True, eq=False)
class LayerNumbers:
    """The numbers that explain a layer under one manner."""

    #: The first shift.
    s1: int
    #: The second shift.
    s2: int
    #: For each channel, the difference of BC to the formula's BC: the one nearest to 0 that fits.
    offsets: Int64
    #: Whether S1 and S2 are the formula's too.
    plain: bool

    @property
    def largest(self) -> int:
        return int(np.abs(self.offsets).max(initial=0))

    @property
    def order(self) -> tuple[bool, bool, int]:
        """Return a sort key: the fewest departures from the formulas first."""
        return (self.largest > 0, not self.plain, self.largest)


@dataclass(frozen=True, eq=False)
class NarrowFit:
    """A rule with Neural-ART's numbers that gives every code."""

    #: The rule.
    rule: NarrowThenAffine
    #: The numbers that were chosen for each layer, by label; numbers that equal the formulas' are included.
    numbers: Mapping[str, LayerNumbers]
    #: Every (S1, S2) that explains a layer in the same manner, by label.
    choices: Mapping[str, tuple[tuple[int, int], ...]]
    #: Other manners that explain all layers, each with the number of layers that need another BC for it.
    manners: tuple[tuple[NarrowThenAffine, int], ...]

    def as_json(self) -> dict[str, Any]:
        layers = {
            label: {"S1": n.s1, "S2": n.s2, "BC_offset": n.largest, "formula": n.plain, "choices": self.choices[label]}
            for label, n in self.numbers.items()
        }
        manners = [{"rule": describe(rule), "layers_with_another_BC": count} for rule, count in self.manners]
        return {"layers": layers, "other_manners": manners}


def fit_narrow(found: Sequence[Evidence]) -> NarrowFit | None:
    """Return the rule of this form that gives every code of every layer; None where there is none."""
    layers: dict[str, list[Evidence]] = {}
    for one in found:
        layers.setdefault(one.label, []).append(one)
    data = {label: _Data.of(ones) for label, ones in layers.items()}
    manners = list(_manners(data.values()))
    near = {label: _options(one, manners, wide=False) for label, one in data.items()}
    for label, options in near.items():
        if not options:
            near[label] = _options(data[label], manners, wide=True)
            if not near[label]:
                return None
    shared = [manner for manner in manners if all(manner in options for options in near.values())]
    if not shared:  # some layer fits its formulas by chance in a manner that is not the device's
        shared = manners
        for label in data:
            near[label] = _options(data[label], shared, wide=True)
            shared = [manner for manner in shared if manner in near[label]]
    if not shared:
        return None
    ranked = sorted(shared, key=lambda manner: _departures(near, manner))
    best = ranked[0]
    every = {label: _options(one, [best], wide=True).get(best, near[label][best]) for label, one in data.items()}
    chosen = {label: min(options, key=lambda numbers: numbers.order) for label, options in every.items()}
    rule = _rule(best, chosen, {label: one.layer for label, one in data.items()})
    assert all(np.array_equal(one.codes(rule), one.device) for one in found)  # solved for exactly this
    choices = {label: tuple((n.s1, n.s2) for n in options) for label, options in every.items()}
    others = tuple((_plain_rule(manner), _departures(near, manner)[0]) for manner in ranked[1:])
    return NarrowFit(rule, chosen, choices, others)


def _manners(data: Any) -> Iterator[Manner]:
    """Yield every manner. Only sums past 24 bits tell accumulators apart; without them one accumulator is tried."""
    wide = any(np.abs(one.sums).max(initial=0) >= 2**23 for one in data)
    yield from product(ACCUMULATORS if wide else ACCUMULATORS[:1], ROUNDINGS, ROUNDINGS)


def _departures(near: Mapping[str, Mapping[Manner, list[LayerNumbers]]], manner: Manner) -> tuple[int, int]:
    """Count the layers whose BC is not the formula's, and the layers whose S1 or S2 is not."""
    best = [min(options[manner], key=lambda numbers: numbers.order) for options in near.values()]
    return sum(numbers.largest > 0 for numbers in best), sum(not numbers.plain for numbers in best)


# -- one layer ---------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, eq=False)
class _Data:
    """All runs of one layer."""

    layer: SumContext
    #: The sums without bias, shape (rows, channels).
    sums: Int64
    #: The device's codes, of the same shape.
    codes: Codes

    @classmethod
    def of(cls, ones: Sequence[Evidence]) -> _Data:
        questions = [one.question for one in ones if isinstance(one.question, Sums)]
        return cls(
            questions[0].context, np.concatenate([q.sums for q in questions]), np.concatenate([o.device for o in ones])
        )

    def narrowed(self, accumulator: str, first: str, s1: int) -> Int64:
        """Compute x16 of every sum."""
        rule = NarrowThenAffine(first, accumulator)
        own = _formula(self.layer, ())
        return named(replace(own, rule=rule, s1=s1).first(self.sums), "x16")

    def rows(self, count: int) -> _Data:
        """Take rows from all over the data."""
        step = max(1, len(self.sums) // count)
        return _Data(self.layer, self.sums[::step], self.codes[::step])


def _options(data: _Data, manners: Sequence[Manner], wide: bool) -> dict[Manner, list[LayerNumbers]]:
    """Return the numbers that explain a layer, by manner.

    data: the layer.
    manners: the manners to try.
    wide: whether to search S1 and S2 too, and not only to take the formulas' values.
    """
    found = dict[Manner, list[LayerNumbers]]()
    few = data.rows(FEW_ROWS)
    for s1, s2s in _shifts(data.layer, wide):
        for accumulator in dict.fromkeys(accumulator for accumulator, _, _ in manners):
            formulas = [_formula(data.layer, (s1, s2)) for s2 in s2s]
            formulas = [formula for formula in formulas if _possible(few, accumulator, formula)]
            here = [manner for manner in manners if manner[0] == accumulator] if formulas else []
            for first in dict.fromkeys(first for _, first, _ in here):
                x16 = few.narrowed(accumulator, first, s1)
                seconds = [second for _, other, second in here if other == first]
                passed = [one for one in product(formulas, seconds) if _solve(few, x16, *one) is not None]
                x16 = data.narrowed(accumulator, first, s1) if passed else x16
                for formula, second in passed:
                    numbers = _solve(data, x16, formula, second)
                    if numbers is not None:
                        found.setdefault((accumulator, first, second), []).append(numbers)
    return found


def _shifts(layer: SumContext, wide: bool) -> Iterator[tuple[int, Sequence[int]]]:
    """Yield each S1 with the S2 to try."""
    formula = _formula(layer, ())
    if not wide:
        yield formula.s1, [formula.s2]
        return
    largest = float(np.max(formula.a)) * 2.0 ** -(formula.s1 + formula.s2)
    for s1 in FIRST_SHIFTS:
        top = largest_shift(largest * 2.0**s1)
        yield s1, range(max(0, top - SPARE_BITS), top + 1)


@lru_cache(maxsize=256)
def _formula_of(layer: SumContext, s1: int | None, s2: int | None) -> Narrowed:
    given = [(name, value) for name, value in (("S1", s1), ("S2", s2)) if value is not None]
    bound = NarrowThenAffine(TIE, overrides=((layer.label, tuple(given)),)).bind(layer)
    assert isinstance(bound, Narrowed)
    return bound


def _formula(layer: SumContext, shifts: tuple[int, ...]) -> Narrowed:
    """Return the rule's own A and BC, for its own shifts or for given ones."""
    return _formula_of(layer, *(shifts or (None, None)))


def _possible(data: _Data, accumulator: str, formula: Narrowed) -> bool:
    """Tell whether any tie rules can give every code with these shifts: each takes a quotient to its floor or to the
    next integer."""
    low, high = formula.y.range
    floors = data.narrowed(accumulator, "floor", formula.s1)
    codes = np.arange(low, high + 2, dtype=np.int64)
    return _offsets(data, formula, (floors, floors + 1), (codes - 1 << formula.s2, codes << formula.s2)) is not None


def _solve(data: _Data, x16: Int64, formula: Narrowed, second: str) -> LayerNumbers | None:
    """Return the BC nearest to the formula's that gives every code; None where some channel does not have one within
    BC_UNITS.

        data: the layer.
        x16: what the first rounding leaves of the sums.
        formula: the rule's own A and BC.
        second: tie rule of the second rounding.
    """
    edges = _edges(second, formula.s2, *formula.y.range)
    offsets = _offsets(data, formula, (x16, x16), (edges, edges))
    if offsets is None:
        return None
    own = _formula(data.layer, ())
    return LayerNumbers(formula.s1, formula.s2, offsets, (formula.s1, formula.s2) == (own.s1, own.s2))


def _offsets(data: _Data, formula: Narrowed, x16: tuple[Int64, Int64], edges: tuple[Int64, Int64]) -> Int64 | None:
    """Return the difference nearest to 0 of each channel's BC to the formula's; None where a channel has none.

    data: the layer.
    formula: the rule's own A and BC.
    x16: the least and the most that the first rounding may leave of the sums.
    edges: the smallest value that may become each code from the lowest to one past the highest, and that must.
    """
    low, high = formula.y.range
    place = data.codes.astype(np.int64) - low
    least = np.where(place > 0, edges[0][place] - formula.a * x16[1], -_BEYOND).max(axis=0)
    most = np.where(place < high - low, edges[1][place + 1] - 1 - formula.a * x16[0], _BEYOND).min(axis=0)
    bc = np.broadcast_to(formula.bc, least.shape)
    offsets = np.where(bc < least, least - bc, np.where(bc > most, most - bc, 0))
    if (least > most).any() or np.abs(offsets).max(initial=0) > BC_UNITS:
        return None
    return np.asarray(offsets)


@lru_cache(maxsize=512)
def _edges(tie: str, shift: int, low: int, high: int) -> Int64:
    """Find the smallest value that the rounding takes to each code from `low` to one past `high`. Every rounding is
    monotone and within one unit of the value, so bisection finds it."""
    codes = np.arange(low, high + 2, dtype=np.int64)
    below, above = (codes - 2) << shift, (codes + 2) << shift
    while (above - below > 1).any():
        middle = (below + above) >> 1
        reached = ROUNDINGS[tie](middle, shift) >= codes
        below, above = np.where(reached, below, middle), np.where(reached, middle, above)
    return above


# -- the rule ----------------------------------------------------------------------------------------------------------
def _plain_rule(manner: Manner) -> NarrowThenAffine:
    accumulator, first, second = manner
    return NarrowThenAffine(second, accumulator, first_tie="same" if first == second else first)


def _rule(manner: Manner, chosen: Mapping[str, LayerNumbers], layers: Mapping[str, SumContext]) -> NarrowThenAffine:
    """Make the rule, with an override for each layer that departs from the formulas."""
    overrides = []
    for label, numbers in chosen.items():
        given: list[tuple[str, Any]] = [] if numbers.plain else [("S1", numbers.s1), ("S2", numbers.s2)]
        if numbers.largest:
            bc = np.broadcast_to(_formula(layers[label], (numbers.s1, numbers.s2)).bc, numbers.offsets.shape)
            given.append(("BC", tuple(int(value) for value in bc + numbers.offsets)))
        if given:
            overrides.append((label, tuple(given)))
    plain = _plain_rule(manner)
    return NarrowThenAffine(plain.tie, plain.accumulator, tuple(overrides), first_tie=plain.first_tie)
