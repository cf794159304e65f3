"""Which sums a layer's inputs can make, exactly, and inputs that make a given one.

A sum is w_1 d_1 + ... + w_K d_K with integer weights w_k and free integers d_k (code less zero point) in one range
[a, b]. Counted from the smallest sum, and with m_k = |w_k|, it is m_1 t_1 + ... + m_K t_K with 0 <= t_k <= b - a. Equal
magnitudes act as one term with a longer range. Let g be the greatest common divisor of the magnitudes; in units of g
the reachable numbers are a set S within [0, top] that is symmetric (t_k to b - a - t_k). Terms are added in ascending
order, and S is kept exactly:

- as bits, while it has gaps in its middle;
- once its middle [edge, top - edge] has none, as that interval and the bits below `edge` (those above mirror them).
  Adding a term of magnitude m leaves the middle without gaps as long as it is at least m long, because its shifts by m
  then touch each other; below `edge` only the bits there and the shifts of these matter.

Where the smallest magnitude is larger than g, each magnitude is two terms: two of its weights come first, and the
others when the middle has no gaps any more.

So the whole set costs little more than its irregular ends, whatever K is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from qdqnp.lazy import lazy
from qdqnp.quant import Int64

# Weights of each magnitude that are added before the others: with 8-bit codes they close all gaps that can be closed.
FIRST = 2


@dataclass(frozen=True)
class Numbers:
    """A symmetric set of integers within [0, top]: all of [edge, top - edge], below that the numbers whose bit is set,
    above it their mirror image. A set with gaps in its middle has edge = top + 1 and is all bits."""

    #: Bit n is set where n is in the set; only for n < edge.
    bits: int = 1
    #: The start of the middle without gaps.
    edge: int = 1
    #: The largest number.
    top: int = 0

    def __contains__(self, number: int) -> bool:
        if not 0 <= number <= self.top:
            return False
        near = min(number, self.top - number) if self.edge <= self.top else number
        return near >= self.edge or bool(self.bits >> near & 1)

    def plus(self, magnitude: int, most: int) -> Numbers:
        """Return all n + magnitude * t with n in this set and 0 <= t <= most."""
        top = self.top + magnitude * most
        if self.edge <= self.top and self.top - 2 * self.edge + 1 >= magnitude:
            below = (1 << self.edge) - 1
            return Numbers(_shifted(self.bits, magnitude, most, below), self.edge, top)
        return _packed(_shifted(self._all_bits(), magnitude, most, (1 << (top + 1)) - 1), top)

    def runs(self) -> tuple[Int64, Int64]:
        """Return the first and the last number of each run of neighbours in the set, ascending."""
        if self.edge > self.top:
            return _runs(self.bits, self.top + 1)
        first, last = _runs(self.bits, self.edge)
        middle = np.array([self.edge], np.int64), np.array([self.top - self.edge], np.int64)
        ends = np.concatenate([first, middle[0], self.top - last[::-1]])
        return ends, np.concatenate([last, middle[1], self.top - first[::-1]])

    def _all_bits(self) -> int:
        if self.edge > self.top:
            return self.bits
        middle = ((1 << (self.top - 2 * self.edge + 1)) - 1) << self.edge
        mirrored = int(f"{self.bits:0{self.edge}b}"[::-1], 2) << (self.top - self.edge + 1) if self.edge else 0
        return self.bits | middle | mirrored


def _runs(bits: int, count: int) -> tuple[Int64, Int64]:
    """Return the first and the last index of each run of set bits among the lowest `count`."""
    raw = np.frombuffer(bits.to_bytes(count // 8 + 1, "little"), np.uint8)
    marks = np.concatenate([[0], np.unpackbits(raw, count=count, bitorder="little"), [0]])
    changes = np.flatnonzero(np.diff(marks.astype(np.int8))).astype(np.int64)
    return changes[::2], changes[1::2] - 1


def _shifted(bits: int, magnitude: int, most: int, mask: int) -> int:
    """Return the union of bits << (magnitude * t) for 0 <= t <= most, within the mask."""
    covered = 0
    while covered < most and magnitude * covered < mask.bit_length():
        step = min(covered + 1, most - covered)
        bits |= (bits << (magnitude * step)) & mask
        covered += step
    return bits


def _packed(bits: int, top: int) -> Numbers:
    """Return the set with its middle as an interval, where it has one."""
    half = top // 2
    gaps = ~bits & ((1 << (half + 1)) - 1)
    edge = gaps.bit_length()
    if edge > half:
        return Numbers(bits, top + 1, top)
    return Numbers(bits & ((1 << edge) - 1), edge, top)


@dataclass(frozen=True, eq=False)
class Reach:
    """The reachable sums of one channel."""

    #: int64 (K,), less their zero point.
    weights: Int64
    #: The smallest value of every input, less its zero point.
    low: int
    #: The largest value of every input, less its zero point.
    high: int

    @lazy
    def least(self) -> int:
        """Return the most negative sum."""
        return int(np.minimum(self.weights * self.low, self.weights * self.high).sum())

    @lazy
    def most(self) -> int:
        """Return the most positive sum."""
        return int(np.maximum(self.weights * self.low, self.weights * self.high).sum())

    @lazy
    def step(self) -> int:
        """Return the number that divides every sum less `least`; 0 where all weights are 0."""
        return math.gcd(*(int(value) for value in np.unique(self.weights)))

    @lazy
    def _terms(self) -> list[tuple[int, Int64]]:
        """List (magnitude, which weights have it), ascending; see above for a magnitude that is listed twice."""
        size = np.abs(self.weights)
        order = np.argsort(size, kind="stable")
        values, starts = np.unique(size[order], return_index=True)
        parts = np.split(order, starts[1:]) if values.size else []  # without a weight there is still one part
        found = [(int(value), which) for value, which in zip(values, parts, strict=True) if value]
        if not found or found[0][0] == self.step:
            return found
        first = [(value, which[:FIRST]) for value, which in found]
        return first + [(value, which[FIRST:]) for value, which in found if which.size > FIRST]

    @lazy
    def _sets(self) -> list[Numbers]:
        """List what the first 0, 1, ... terms reach, in units of `step` above their least."""
        span, found = self.high - self.low, [Numbers()]
        for magnitude, which in self._terms:
            found.append(found[-1].plus(magnitude // self.step, span * which.size))
        return found

    def runs(self) -> tuple[Int64, Int64]:
        """Return the first and the last of each run of neighbouring sums, in units of `step` above `least`."""
        span, found = self.high - self.low, Numbers()
        for magnitude, which in self._terms:  # not by _sets, which keeps every set on the way
            found = found.plus(magnitude // self.step, span * which.size)
        return found.runs()

    def __contains__(self, total: int) -> bool:
        if not self.step:
            return total == 0
        units, rest = divmod(total - self.least, self.step)
        return rest == 0 and units in self._sets[-1]

    def inputs_for(self, total: int) -> Int64:
        """Find inputs (code less zero point), int64 (K,), whose sum is `total`. Where the weight is 0 the input is 0
        too, or as near to it as the range allows. Raises ValueError for sums that are not reachable."""
        if total not in self:
            raise ValueError(f"no inputs have the sum {total}")
        found = np.full(self.weights.shape, min(max(0, self.low), self.high), np.int64)
        rest = (total - self.least) // self.step if self.step else 0
        for (magnitude, which), before in zip(reversed(self._terms), reversed(self._sets[:-1]), strict=True):
            unit = magnitude // self.step
            count = self._share(rest, unit, (self.high - self.low) * which.size, before)
            rest -= count * unit
            each = np.full(which.size, count // which.size) + (np.arange(which.size) < count % which.size)
            found[which] = np.where(self.weights[which] > 0, self.low + each, self.high - each)
        return found

    @staticmethod
    def _share(rest: int, unit: int, most: int, before: Numbers) -> int:
        """Choose how often `unit` goes into `rest` so that `before` reaches what is left: near its fair share, so that
        the inputs spread over the codes."""
        fair = rest * most // max(1, before.top + unit * most)
        for distance in range(most + 1):
            for count in (fair - distance, fair + distance):
                if 0 <= count <= most and rest - count * unit in before:
                    return count
        raise AssertionError("a reachable sum without inputs")
