"""Which sums of each channel are ties, or are requantized differently by two profiles: found by looking at all of them.

A requantization is a monotone function of the sum, and beyond the sums whose code is not clipped nothing that rounding
does can be seen. So only these sums are looked at, at the channel's step, from the middle outwards: a channel is done
with its first sum that inputs can make, and where none is found, all of them have been looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from qdqnp.numerics.rules.requantize.protocol import Requantizer
from qdqnp.numerics.values import named
from qdqnp.quant import Array, Int64, Signs

# (sums, shape (rows, channels)) -> a mark for each, 0 where there is nothing.
Marker = Callable[[Int64], Signs]
# (channel, sum) -> whether the layer's inputs can make it.
Reachable = Callable[[int, int], bool]

# Sums looked at together, and in one search at most. The latter is some minutes.
BLOCK = 2**19
MOST_SUMS = 2**28
# So many sums are looked at to see whether a rule is monotone.
FEW_SUMS = 2**24


@dataclass(frozen=True, eq=False)
class Range:
    """For each channel the sums first, first + step, ..., count of them; int64 (channels,)."""

    first: Int64
    step: Int64
    count: Int64

    @classmethod
    def between(cls, low: Int64, high: Int64, step: Int64) -> Range:
        """The multiples of step in [low, high]."""
        first = low + -low % step
        return cls(first, step, np.maximum((high - first) // step + 1, 0))

    @property
    def last(self) -> Int64:
        return self.first + (self.count - 1) * self.step


@dataclass
class Found:
    """found: (channel, mark) -> a sum that has the mark and can be made. unmade: how many sums with the mark no inputs
    make. looked_at: (channels,) how many sums were looked at."""

    found: dict[tuple[int, int], int] = field(default_factory=dict)
    unmade: dict[tuple[int, int], int] = field(default_factory=dict)
    looked_at: Int64 = field(default_factory=lambda: np.zeros(0, np.int64))


def look(marker: Marker, sums: Range, wanted: tuple[int, ...], reachable: Reachable) -> Found:
    """The first sum of each channel with each wanted mark, from the middle of its range outwards."""
    channels = sums.first.size
    found = Found(looked_at=np.zeros(channels, np.int64))
    for rows in _outwards(int(sums.count.max(initial=0)) + 1, max(1, BLOCK // max(1, channels))):
        at = _positions(rows, sums.count)
        valid = (at >= 0) & (at < sums.count)
        totals = sums.first + np.clip(at, 0, np.maximum(sums.count - 1, 0)) * sums.step
        marks = np.where(valid, marker(totals), 0)
        found.looked_at += valid.sum(axis=0)
        for mark in wanted:
            _note(found, mark, marks == mark, totals, reachable)
        if len(found.found) == channels * len(wanted) or int(found.looked_at.sum()) > MOST_SUMS:
            break
    return found


def _note(found: Found, mark: int, there: Array, totals: Int64, reachable: Reachable) -> None:
    """Take for each channel that has none yet the first of the marked sums that inputs can make."""
    for channel in np.flatnonzero(there.any(axis=0)).tolist():
        if (channel, mark) in found.found:
            continue
        for total in totals[there[:, channel], channel].tolist():
            if reachable(channel, total):
                found.found[channel, mark] = total
                break
            found.unmade[channel, mark] = found.unmade.get((channel, mark), 0) + 1


def _outwards(count: int, block: int) -> Iterator[Int64]:
    """0 .. count - 1 in blocks, small ones first: most channels are done early."""
    size = min(block, 4096)
    start = 0
    while start < count:
        yield np.arange(start, min(start + size, count))
        start, size = start + size, min(2 * size, block)


def _positions(rows: Int64, count: Int64) -> Int64:
    """rows 0, 1, 2, 3 ... as positions middle, middle + 1, middle - 1, middle + 2 ... of each channel, (rows,
    channels).

    Every position of a channel with `count` sums is met once by the rows 0 .. count (some rows are out of its
    range)."""
    offset = np.where(rows % 2 == 1, (rows + 1) // 2, -(rows // 2))
    return np.asarray((count // 2)[None, :] + offset[:, None], np.int64)


# -- where to look ----------------------------------------------------------------------------------------------------
def visible(requantizer: Requantizer, low: Int64, high: Int64) -> tuple[Int64, Int64]:
    """The sums within [low, high], by channel, whose code is not clipped; all of them where the rule is not known to be
    monotone there. low, high and the results: (channels,); first > last where there are none."""
    if requantizer.y is None or not monotone(requantizer, low, high):
        return low, high
    least, most = requantizer.y.range
    return (
        _first(lambda sums: unclipped(requantizer, sums) >= least, low, high),
        _first(lambda sums: unclipped(requantizer, sums) > most, low, high) - 1,
    )


def unclipped(requantizer: Requantizer, sums: Int64) -> Array:
    """The codes before the final clip; sums: (..., channels)."""
    return named(requantizer.stages(np.atleast_2d(sums)), "unclipped").reshape(sums.shape)


def monotone(requantizer: Requantizer, low: Int64, high: Int64) -> bool:
    """Whether the rule is known to rise with the sum between low and high: by its form, or else because all of them
    have been looked at."""
    expression, slope = requantizer.expression, requantizer.slope
    if expression is not None:  # all but the accumulator's wrap rises
        bias = np.zeros(1, np.int64) if requantizer.bias is None else requantizer.bias
        inside = (low + bias).min() >= -(2**31) and (high + bias).max() < 2**31
        return bool(inside and (expression.multiplier >= 0).all())
    if slope is not None:
        return bool(slope.low <= low.min() and high.max() <= slope.high and (slope.multiplier >= 0).all())
    count = int((high - low).max(initial=0)) + 1
    return count * low.size <= FEW_SUMS and _rises(requantizer, low, high, count)


def _rises(requantizer: Requantizer, low: Int64, high: Int64, count: int) -> bool:
    """Whether no stage ever falls from one sum to the next."""
    size = max(2, BLOCK // max(1, low.size))
    for start in range(0, count, size - 1):  # blocks share a row
        rows = np.arange(start, min(start + size, count))
        stages = requantizer.stages(np.minimum(low + rows[:, None], high))
        if any((np.diff(value.array.astype(np.float64), axis=0) < 0).any() for value in stages):
            return False
    return True


def _first(holds: Callable[[Int64], Array], low: Int64, high: Int64) -> Int64:
    """The first sum of each channel in [low, high] for which a monotone condition holds; high + 1 where none does."""
    below, above = low - 1, high + 1  # it does not hold at `below`, and does at `above`, by convention
    while (above - below > 1).any():
        middle = (below + above) // 2
        yes = np.asarray(holds(np.clip(middle, low, high)), bool)
        narrow = above - below > 1
        above, below = np.where(narrow & yes, middle, above), np.where(narrow & ~yes, middle, below)
    return above
