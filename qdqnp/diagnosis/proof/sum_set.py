"""All sums that one channel's inputs can make, as runs of an arithmetic sequence, in which counting is exact."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qdqnp.diagnosis.proof.claim import NotProvenError
from qdqnp.lazy import lazy
from qdqnp.quant import Int64
from qdqnp.stimuli.reach import Reach

# Runs that a union of sets with different steps may take; beyond, the set is not made.
MOST_RUNS = 2**22


@dataclass(frozen=True, eq=False)
class SumSet:
    """All base + step * n with n in one of the runs [first, last], which are ascending and apart."""

    base: int
    step: int
    #: int64 (runs,).
    first: Int64
    last: Int64

    @classmethod
    def of(cls, reaches: Sequence[Reach]) -> SumSet:
        """Return the union of what a channel's inputs reach at several kinds of places.

        Raises NotProvenError where the union has too many runs.

        >>> two = Reach(np.array([3, 3]), 0, 1)  # 0, 3, 6
        >>> one = Reach(np.array([2]), 0, 2)  # 0, 2, 4
        >>> found = SumSet.of([two, one])
        >>> found.count, [n for n in range(8) if n in found]
        (5, [0, 2, 3, 4, 6])
        """
        base = min(reach.least for reach in reaches)
        step = math.gcd(*(reach.step for reach in reaches), *(reach.least - base for reach in reaches)) or 1
        made = [_runs(reach, base, step) for reach in reaches]
        if len(made) == 1:
            return cls(base, step, *made[0])
        return cls(base, step, *_united(*(np.concatenate(ends) for ends in zip(*made, strict=True))))

    def __contains__(self, total: int) -> bool:
        return bool(self.between(np.asarray(total), np.asarray(total)))

    @lazy
    def _before(self) -> Int64:
        """How many sums lie in the runs before each run, and in all."""
        found: Int64 = np.concatenate([[0], np.cumsum(self.last - self.first + 1)]).astype(np.int64)
        return found

    @property
    def count(self) -> int:
        """How many sums there are."""
        return int(self._before[-1])

    def between(self, low: Int64, high: Int64) -> Int64:
        """Count the sums within [low, high], arrays of one shape."""
        first, last = (low - self.base - 1) // self.step, (high - self.base) // self.step
        found: Int64 = self._up_to(last) - self._up_to(first)
        return found

    def _up_to(self, number: Int64) -> Int64:
        run = np.searchsorted(self.first, number, side="right")
        beyond = np.maximum(self.last[run - 1] - number, 0)
        return np.where(run > 0, self._before[run] - beyond, 0).astype(np.int64)

    def next(self, total: int) -> int:
        """Return the least sum that is not below `total`. Raises ValueError where there is none."""
        number = -((self.base - total) // self.step)
        run = int(np.searchsorted(self.last, number))
        if run == self.last.size:
            raise ValueError(f"no sum from {total} on")
        return self.base + self.step * max(number, int(self.first[run]))


def _runs(reach: Reach, base: int, step: int) -> tuple[Int64, Int64]:
    """Return the runs of one reach in units of `step` above `base`."""
    first, last = reach.runs()
    stride, shift = reach.step // step, (reach.least - base) // step
    if stride <= 1:  # 0 where all weights are 0: one sum
        return first + shift, last + shift
    if int((last - first + 1).sum()) > MOST_RUNS:
        raise NotProvenError("the kinds of places have sums with different steps, too many to list")
    every = np.concatenate([np.arange(*ends) for ends in zip(first.tolist(), (last + 1).tolist(), strict=True)])
    return every * stride + shift, every * stride + shift


def _united(first: Int64, last: Int64) -> tuple[Int64, Int64]:
    """Merge runs that overlap or touch."""
    order = np.argsort(first, kind="stable")
    first, furthest = first[order], np.maximum.accumulate(last[order])
    begins = np.concatenate([[True], first[1:] > furthest[:-1] + 1])
    return first[begins], furthest[np.concatenate([begins[1:], [True]])]
