"""Find the sums of each channel that are ties, or that two profiles requantize differently, by trying all of them.

A requantization is a monotone function of the sum. Beyond the sums whose code is not clipped, the effect of rounding
cannot be seen. So only these sums are tried, at the channel's step, from the middle outwards. A channel is done with
its first sum that inputs can make; where none is found, all of its sums have been tried.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from qdqnp.numerics.rules.requantize.protocol import Requantizer
from qdqnp.numerics.values import named
from qdqnp.quant import Array, Int64, Quant, Signs

# (sums, shape (rows, channels)) -> a mark for each sum, 0 for a sum without a mark.
Marker = Callable[[Int64], Signs]
# (channel, sum) -> whether the layer's inputs can make it.
Reachable = Callable[[int, int], bool]

# Sums that are tried together.
BLOCK = 2**19
# At most this many sums are tried to see whether a rule is monotone.
FEW_SUMS = 2**24
# How far from the step of one rule the step of another is looked for, before the sums in between are halved.
NEAR = (0, -1, 1, -2, 3, -4, 15, -16)


@dataclass(frozen=True, eq=False)
class Range:
    """An arithmetic sequence of sums for each channel; all fields int64 (channels,)."""

    #: The first sum.
    first: Int64
    #: The distance between sums.
    step: Int64
    #: Number of sums.
    count: Int64

    @classmethod
    def between(cls, low: Int64, high: Int64, step: Int64) -> Range:
        """Return the multiples of step in [low, high]."""
        first = low + -low % step
        return cls(first, step, np.maximum((high - first) // step + 1, 0))

    @property
    def last(self) -> Int64:
        return self.first + (self.count - 1) * self.step


@dataclass
class Found:
    """The result of a search over sums."""

    #: (channel, mark) -> a sum that has the mark and that inputs can make.
    found: dict[tuple[int, int], int] = field(default_factory=dict)
    #: (channel, mark) -> number of sums with the mark that no input can make.
    unmade: dict[tuple[int, int], int] = field(default_factory=dict)
    #: Number of sums that were tried, (channels,).
    looked_at: Int64 = field(default_factory=lambda: np.zeros(0, np.int64))


def look(marker: Marker, sums: Range, wanted: tuple[int, ...], reachable: Reachable, most: int = 2**62) -> Found:
    """Find the first sum of each channel with each wanted mark, from the middle of the channel's range outwards, until
    `most` sums were tried."""
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
        if len(found.found) == channels * len(wanted) or int(found.looked_at.sum()) >= most:
            break
    return found


def _note(found: Found, mark: int, there: Array, totals: Int64, reachable: Reachable) -> None:
    """Record the first of the marked sums that inputs can make, for each channel without one."""
    for channel in np.flatnonzero(there.any(axis=0)).tolist():
        if (channel, mark) in found.found:
            continue
        for total in totals[there[:, channel], channel].tolist():
            if reachable(channel, total):
                found.found[channel, mark] = total
                break
            found.unmade[channel, mark] = found.unmade.get((channel, mark), 0) + 1


def _outwards(count: int, block: int) -> Iterator[Int64]:
    """Yield 0 .. count - 1 in blocks, small ones first: most channels are done early."""
    size = min(block, 4096)
    start = 0
    while start < count:
        yield np.arange(start, min(start + size, count))
        start, size = start + size, min(2 * size, block)


def _positions(rows: Int64, count: Int64) -> Int64:
    """Turn rows 0, 1, 2, 3 ... into positions middle, middle + 1, middle - 1, middle + 2 ... of each channel, (rows,
    channels).

    The rows 0 .. count meet every position of a channel with `count` sums once; some rows are out of the channel's
    range.
    """
    offset = np.where(rows % 2 == 1, (rows + 1) // 2, -(rows // 2))
    return np.asarray((count // 2)[None, :] + offset[:, None], np.int64)


# -- where to look ----------------------------------------------------------------------------------------------------
def visible(requantizer: Requantizer, low: Int64, high: Int64) -> tuple[Int64, Int64]:
    """Return the first and last sum within [low, high] whose code is not clipped, by channel; low and high where the
    rule is not known to be monotone there. All arrays are (channels,); first > last where every code is clipped."""
    if requantizer.y is None or not monotone(requantizer, low, high):
        return low, high
    least, most = requantizer.y.range
    return (
        _first(lambda sums: unclipped(requantizer, sums) >= least, low, high),
        _first(lambda sums: unclipped(requantizer, sums) > most, low, high) - 1,
    )


def unclipped(requantizer: Requantizer, sums: Int64) -> Array:
    """Return the codes before the final clip.

    requantizer: the bound rule.
    sums: (..., channels).
    """
    return named(requantizer.stages(np.atleast_2d(sums)), "unclipped").reshape(sums.shape)


def monotone(requantizer: Requantizer, low: Int64, high: Int64) -> bool:
    """Return whether the rule is known to rise with the sum between low and high: by its form, or else because all sums
    were tried."""
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
    """Return whether no stage falls from any sum to the next."""
    size = max(2, BLOCK // max(1, low.size))
    for start in range(0, count, size - 1):  # blocks share a row
        rows = np.arange(start, min(start + size, count))
        stages = requantizer.stages(np.minimum(low + rows[:, None], high))
        if any((np.diff(value.array.astype(np.float64), axis=0) < 0).any() for value in stages):
            return False
    return True


def thresholds(bound: Requantizer, low: Int64, high: Int64, y: Quant, near: Int64 | None = None) -> Int64:
    """Find, for each code but the last, the smallest reachable sum whose code is above it; one past the largest sum
    where there is none. The rule is monotone, so bisection finds it. Shape (codes - 1, channels).

    near: what another rule gave. Rules that give the codes of one dump step at nearly the same sums: these are tried
        first, which changes nothing but the time.
    """
    first, last = y.range
    wanted = np.arange(first, last)[:, None]
    below = np.broadcast_to(low - 1, (last - first, len(low))).copy()
    above = np.broadcast_to(high + 1, below.shape).copy()
    tried = iter(() if near is None else NEAR)
    while (rows := np.flatnonzero((above - below > 1).any(axis=1))).size:
        offset = next(tried, None)
        middle = (below[rows] + above[rows]) >> 1 if offset is None or near is None else near[rows] + offset
        middle = np.clip(middle, low, high)
        higher = bound(middle).astype(np.int64) > wanted[rows]
        above[rows] = np.where(higher, np.minimum(above[rows], middle), above[rows])
        below[rows] = np.where(higher, below[rows], np.maximum(below[rows], middle))
    return above


def _first(holds: Callable[[Int64], Array], low: Int64, high: Int64) -> Int64:
    """Find the first sum in [low, high] for which a monotone condition holds, high + 1 where there is none; for each
    channel, or for each element of arrays (..., channels)."""
    below, above = low - 1, high + 1  # it does not hold at `below`, and does at `above`, by convention
    while (above - below > 1).any():
        middle = (below + above) // 2
        yes = np.asarray(holds(np.clip(middle, low, high)), bool)
        narrow = above - below > 1
        above, below = np.where(narrow & yes, middle, above), np.where(narrow & ~yes, middle, below)
    return above
