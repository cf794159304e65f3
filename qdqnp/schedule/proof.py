"""Which float32 forms of a sum are exact, decided in one place.

Every value that a form makes on its way is a sum of products: of known coefficients with codes less their zero point.
Over all codes, no partial sum of it, in any order, is larger than `reach` says. Coefficients are multiples of a unit, 1
or 1/2, and so is every partial sum; if reach / unit <= 2^24, float32 holds all of them, and no operation rounds at all.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from qdqnp.kernels.strategy import LIMIT32, pieces, reach
from qdqnp.quant import Array, Int64


def winograd(weights: Array, low: int, high: int) -> str:
    """Say why F(2, 3) down the rows is exact; '' where that is not proven.

    weights: (3, channels, K), integers, the kernel's rows first; each row of K times a row of values d in [low, high].

    With rows g0, g1, g2 of weights and four rows d0 to d3 of values, the products are of

        u0 = g0, u1 = (g0 + g1 + g2) / 2, u2 = (g0 - g1 + g2) / 2, u3 = g2   with
        d0 - d2, d1 + d2, d2 - d1, d1 - d3.

    They are p0 to p3, and two rows of sums are p0 + p1 + p2 and p1 - p2 - p3, in any order. All are multiples of 1/2:
    twice every magnitude is held against 2^24.
    """
    parts = pieces(weights.shape[1], 4 * weights.shape[2])  # a sum has coefficients of four rows of values
    bound = max((_twice(weights[:, part].astype(np.int64), low, high) for part in parts), default=0)
    return f"F(2, 3): twice every partial |sum| <= {bound} <= 2^24" if bound <= LIMIT32 else ""


def _twice(weights: Int64, low: int, high: int) -> int:
    """Return twice the largest magnitude of any partial sum of F(2, 3)."""
    g0, g1, g2 = weights
    u0, u1, u2, u3 = 2 * g0, g0 + g1 + g2, g0 - g1 + g2, 2 * g2  # twice the coefficients
    none = np.zeros_like(u0)
    # each product as coefficients of d0, d1, d2, d3
    p0, p1, p2, p3 = (u0, none, -u0, none), (none, u1, u1, none), (none, -u2, u2, none), (none, u3, none, -u3)
    negated = [tuple(-each for each in product) for product in (p2, p3)]
    forms = [some for row in ((p0, p1, p2), (p1, *negated)) for count in (1, 2, 3) for some in combinations(row, count)]
    sums = (np.concatenate([sum(each) for each in zip(*some, strict=True)], axis=-1) for some in forms)
    return max(reach(some, low, high) for some in sums)
