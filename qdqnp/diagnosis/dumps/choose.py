"""Choose between the readings of entries: by what the rest of the dump says, then by values, then as the golden set is
stored itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from qdqnp.diagnosis.dumps.content import Values
from qdqnp.diagnosis.dumps.readings import Reading, read_case
from qdqnp.diagnosis.dumps.storage import axes_of
from qdqnp.diagnosis.pairing import Paired
from qdqnp.diagnosis.targets import DumpTarget

# What told one reading from the others.
SAID, SHAPE, REST, VALUES, GOLDEN, ONLY = (
    "what is said of it",
    "its shape",
    "the rest of the dump",
    "its values",
    "the golden set's own order",
    "",
)


@dataclass(frozen=True)
class Chosen:
    """The reading of an entry, and what told it from the others."""

    reading: Reading
    #: One of the words above.
    by: str


#: Says which of the readings of an entry a way to store the whole dump means.
Way = Callable[[Paired, Sequence[Reading]], Reading]


def choose(found: Sequence[tuple[Paired, Sequence[Reading]]], values: Values | None) -> list[Chosen]:
    """Return the reading of each entry.

    found: the pairs, each with its readings, at least one, the most likely first.
    values: by case of the dump, what the tensors should be; None where that is not known.
    """
    kept = _of_most_cases(found)
    one_way = [(pair, listed[0]) for pair, listed in kept if len(listed) == 1]
    open_ones = [(pair, listed) for pair, listed in kept if len(listed) > 1]
    ways = [way for way in _ways() if all(_agrees(way, pair, reading) for pair, reading in one_way)]
    alike = any(_telling(pair, reading) for pair, reading in one_way)
    chosen = {id(pair): Chosen(reading, _why_only(pair, reading)) for pair, reading in one_way}
    if open_ones and ways:
        best, by = _best(ways, open_ones, values)
        rest = alike and len({tuple(way(*item).axes for item in open_ones) for way in ways}) == 1
        for pair, listed in open_ones:
            chosen[id(pair)] = Chosen(best(pair, listed), REST if rest else by)
    else:  # the rest of the dump has several orders
        for pair, listed in open_ones:
            each, by = _best(_ways(), [(pair, listed)], values)
            chosen[id(pair)] = Chosen(each(pair, listed), by)
    return [chosen[id(pair)] for pair, _ in found]


def _of_most_cases(found: Sequence[tuple[Paired, Sequence[Reading]]]) -> list[tuple[Paired, Sequence[Reading]]]:
    """Leave out readings with another number of cases than those entries have that leave no choice."""
    counts = Counter(listed[0].cases for _, listed in found if len({reading.cases for reading in listed}) == 1)
    most = max(counts, key=lambda count: (counts[count], count), default=0)
    return [(pair, [r for r in listed if r.cases == most] or listed) for pair, listed in found]


def _ways() -> list[Way]:
    """Return the ways to store a whole dump: as the golden set, with channels first, with channels last; each with
    codes of another sign as their bits, or moved by 128."""

    def way(layout: str | None, moved: bool) -> Way:
        def of(pair: Paired, listed: Sequence[Reading]) -> Reading:
            right = [reading for reading in listed if bool(reading.offset) == moved] or listed
            named = layout if layout is not None else pair.target.stored.layout or "NCHW"
            axes = axes_of(named, len(pair.target.shape))
            return next((reading for reading in right if reading.axes == axes), right[0])

        return of

    return [way(layout, moved) for moved in (False, True) for layout in (None, "NCHW", "NHWC")]


def _agrees(way: Way, pair: Paired, reading: Reading) -> bool:
    """Tell whether an entry that leaves no choice is stored in this way."""
    if not _telling(pair, reading):
        return True
    others = [Reading(reading.dtype, reading.cases, axes_of(name, len(reading.axes))) for name in ("NCHW", "NHWC")]
    return way(pair, others).axes == reading.axes


def _telling(pair: Paired, reading: Reading) -> bool:
    """Tell whether the order of the axes makes a difference for a tensor, and the entry's is one of the two."""
    rank = len(pair.target.shape)
    orders = {axes_of(name, rank): _sizes(pair.target, axes_of(name, rank)) for name in ("NCHW", "NHWC")}
    return reading.axes in orders and len(set(orders.values())) > 1


def _sizes(target: DumpTarget, axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(axis for axis in axes if target.shape[axis] != 1)


def _why_only(pair: Paired, reading: Reading) -> str:
    if pair.form.layout is not None or pair.form.offset is not None:
        return SAID
    return SHAPE if _telling(pair, reading) and not pair.entry.raw else ONLY


def _best(
    ways: Sequence[Way], items: Sequence[tuple[Paired, Sequence[Reading]]], values: Values | None
) -> tuple[Way, str]:
    """Return the way in which the most elements have the right values, and what told it; the first of equals."""
    if values is None or len({tuple(map(id, _read(way, items))) for way in ways}) == 1:
        return ways[0], GOLDEN
    known: dict[tuple[int, int], float] = {}
    scores = []
    for way in ways:
        total = 0.0
        for (pair, _), reading in zip(items, _read(way, items), strict=True):
            key = (id(pair), id(reading))
            if key not in known:
                known[key] = _share(pair, reading, values)
            total += known[key]
        scores.append(total)
    best = int(np.argmax(scores))
    told = any(score < scores[best] for score in scores)
    return ways[best], VALUES if told else GOLDEN


def _read(way: Way, items: Sequence[tuple[Paired, Sequence[Reading]]]) -> list[Reading]:
    return [way(pair, listed) for pair, listed in items]


def _share(pair: Paired, reading: Reading, values: Values) -> float:
    """Return the share of the elements of the first case that have the right values in a reading."""
    try:
        got = read_case(pair.target, pair.entry, reading, 0).codes
    except (OSError, ValueError):
        return 0.0
    want = values[0][pair.target.codes]
    return float(np.mean(got == want)) if got.shape == want.shape else 0.0
