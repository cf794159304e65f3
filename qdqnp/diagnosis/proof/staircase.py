"""A channel's code as a function of its sum, exactly: some hundred pieces, with one code on each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from qdqnp.diagnosis.proof.claim import NotProvenError
from qdqnp.numerics.rules.requantize.protocol import Requantizer
from qdqnp.quant import Int64, Quant
from qdqnp.stimuli.scan import BLOCK, FEW_SUMS, monotone, thresholds

# A rule's steps are found for all channels at once: 255 sums of eight bytes for each, and as much for each stage.
MOST_CHANNELS = 2**14


@dataclass(frozen=True, eq=False)
class Staircase:
    """The code of every sum from the first edge on."""

    #: int64, ascending: the first sum of each piece.
    edges: Int64
    #: int64: the code on each piece, in the model file's dtype.
    codes: Int64

    @classmethod
    def of(cls, low: int, codes: Int64, step: int = 1) -> Staircase:
        """Return the function that has these codes at low, low + step, and so on; other sums do not occur."""
        starts = np.concatenate([[0], np.flatnonzero(np.diff(codes)) + 1])
        return cls(low + starts * step, codes[starts])

    def __call__(self, sums: Int64) -> Int64:
        """Return the codes of sums; those below the first edge count as the first."""
        found: Int64 = self.codes[np.maximum(np.searchsorted(self.edges, sums, side="right") - 1, 0)]
        return found

    @property
    def rises(self) -> bool:
        """Whether no piece is lower than the one before it."""
        return bool((np.diff(self.codes) >= 0).all())


def staircases(
    requantizer: Requantizer, low: Int64, high: Int64, step: Int64, y: Quant, shift: int
) -> Iterator[Staircase]:
    """Yield the function of each channel on its sums [low, high].

        low, high: int64 (channels,).
        step: what divides the distance of every sum that inputs can make from `low`, (channels,).
        y: how the rule's codes are read.
        shift: what to add to the rule's codes.

    A rule that is known to rise is found by bisection; of another one every sum is tried. Raises NotProvenError where
    these are too many, or a sum is outside the rule's domain (ProfileError).
    """
    channels = low.size
    if channels > MOST_CHANNELS:
        raise NotProvenError(f"{channels:,} channels, of which at most {MOST_CHANNELS:,} are looked at")
    if monotone(requantizer, low, high):
        steps = thresholds(requantizer, low, high, y)
        first = y.range[0] + shift
        for channel in range(channels):
            yield _from_steps(steps[:, channel], int(low[channel]), int(high[channel]), first)
        return
    counts = (high - low) // step + 1
    count = int(counts.max(initial=0))
    if count * channels > FEW_SUMS:
        raise NotProvenError(f"a rule that is not known to rise with the sum, and {count * channels:,} sums to try")
    codes = np.empty((count, channels), np.int64)
    rows = max(1, BLOCK // max(1, channels))
    for start in range(0, count, rows):
        sums = np.minimum(low + np.arange(start, min(start + rows, count))[:, None] * step, high)
        codes[start : start + rows] = requantizer(sums)
    for channel in range(channels):
        made = codes[: int(counts[channel]), channel]
        yield Staircase.of(int(low[channel]), made + shift, int(step[channel]))


def _from_steps(steps: Int64, low: int, high: int, first: int) -> Staircase:
    """Return the function whose code is `first`, and one more from each of the steps on."""
    inside = steps[steps <= high]
    edges = np.unique(np.concatenate([[low], inside]))
    return Staircase(edges, first + np.searchsorted(inside, edges, side="right"))
