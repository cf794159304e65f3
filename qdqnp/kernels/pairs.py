"""Sums whose products are added in pairs that saturate to 16 bits are computed as a correction of the exact sums.

Most pairs of weights are too small to saturate whatever the codes. Only the others are computed: for each, what the
saturation takes away is added to the exact sum.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from qdqnp.lazy import lazy
from qdqnp.quant import Array, Int64

LOWEST, HIGHEST = -(2**15), 2**15 - 1
MOST = 255  # uint8 codes


@dataclass(frozen=True, eq=False)
class Pair:
    """Two positions of K in one group, and the rows (channels of the group) whose weights there may saturate."""

    group: int
    first: int
    second: int
    rows: Int64
    #: Shape (2, rows), float32, in which sums of two products are exact.
    weights: Array


@dataclass(frozen=True, eq=False)
class SaturatingPairs:
    """The pairs of weights in a layer that may saturate."""

    pairs: tuple[Pair, ...]

    @classmethod
    def of(cls, raw: Int64, order: Int64) -> SaturatingPairs:
        """Find the pairs that may saturate.

        raw: weight codes (groups, rows, K), zero points not subtracted.
        order: the positions of K as they are paired; an odd last one never saturates.
        """
        found = []
        for first, second in order[: order.size // 2 * 2].reshape(-1, 2).tolist():
            both = raw[:, :, [first, second]]
            most, least = np.maximum(both, 0).sum(axis=2) * MOST, np.minimum(both, 0).sum(axis=2) * MOST
            reaches = (most > HIGHEST) | (least < LOWEST)
            for group in np.flatnonzero(reaches.any(axis=1)).tolist():
                rows = np.flatnonzero(reaches[group])
                found.append(Pair(group, first, second, rows, both[group, rows].T.astype(np.float32)))
        return cls(tuple(found))

    def correct(self, columns: Array, sums: Array) -> None:
        """Add to exact sums what saturation changes.

        columns: raw codes (groups, K, n), never negative, in any dtype.
        sums: exact sums (groups, rows, n), changed in place.

        Rows that the largest codes at both positions do not make saturate are left out.
        """
        if not self.pairs or not columns.size:
            return
        largest = columns.max(axis=2).astype(np.float32)
        for pair in self._within_reach(largest):
            most = largest[pair.group, [pair.first, pair.second]]
            reaches = (most @ np.maximum(pair.weights, 0) > HIGHEST) | (most @ np.minimum(pair.weights, 0) < LOWEST)
            if not reaches.any():
                continue
            weights = pair.weights[:, reaches]
            one, other = (columns[pair.group, at].astype(np.float32) for at in (pair.first, pair.second))
            total = weights[0, :, None] * one + weights[1, :, None] * other
            sums[pair.group, pair.rows[reaches]] += (total.clip(LOWEST, HIGHEST) - total).astype(sums.dtype)

    def _within_reach(self, largest: Array) -> Iterable[Pair]:
        """Return the pairs of which a row might saturate. largest: of the codes at each place of K, (groups, K)."""
        group, first, second, up, down = self._places
        most = np.stack([largest[group, first], largest[group, second]])
        reaches = ((most * up).sum(axis=0) > HIGHEST) | ((most * down).sum(axis=0) < LOWEST)
        return (self.pairs[at] for at in np.flatnonzero(reaches))

    @lazy
    def _places(self) -> tuple[Array, Array, Array, Array, Array]:
        """Return group, first and second of all pairs, (pairs,), and the largest and lowest weights there, (2, pairs).

        Where no weight is positive, or negative, 0 stands for the largest, or the lowest.
        """
        group, first, second = np.array([(pair.group, pair.first, pair.second) for pair in self.pairs]).T
        up = np.array([pair.weights.max(axis=1, initial=0) for pair in self.pairs]).T
        down = np.array([pair.weights.min(axis=1, initial=0) for pair in self.pairs]).T
        return group, first, second, up, down
