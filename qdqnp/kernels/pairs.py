"""Sums whose products are added in pairs that saturate to 16 bits are computed as a correction of the exact sums.

Most pairs of weights are too small to saturate whatever the codes. Only the others are computed: for each, what the
saturation takes away is added to the exact sum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

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

        columns: raw codes (groups, K, n) in any dtype.
        sums: exact sums (groups, rows, n), changed in place.
        """
        for pair in self.pairs:
            one, other = (columns[pair.group, at].astype(np.float32) for at in (pair.first, pair.second))
            total = pair.weights[0, :, None] * one + pair.weights[1, :, None] * other
            sums[pair.group, pair.rows] += (np.clip(total, LOWEST, HIGHEST) - total).astype(sums.dtype)
