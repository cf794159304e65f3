"""Which float32 forms of a sum are exact, decided in one place.

Every value that a form makes on its way is a sum of products: of known coefficients with codes less their zero point.
Over all codes, no partial sum of it, in any order, is larger than `reach` says. Coefficients are multiples of a unit, 1
or 1/2, and so is every partial sum; if reach / unit <= 2^24, float32 holds all of them, and no operation rounds at all.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from qdqnp.kernels.strategy import LIMIT32
from qdqnp.quant import Int64


def reach(coefficients: Int64, low: int, high: int) -> int:
    """Return the largest magnitude of any partial sum of coefficients (..., K) times values in [low, high]."""
    if coefficients.size == 0:
        return 0
    up = np.maximum(np.maximum(coefficients * low, coefficients * high), 0).sum(axis=-1).max()
    down = np.minimum(np.minimum(coefficients * low, coefficients * high), 0).sum(axis=-1).min()
    return int(max(up, -down))


def winograd(weights: Int64, low: int, high: int) -> str:
    """Say why F(2, 3) down the rows is exact; '' where that is not proven.

    weights: (3, channels, K), the kernel's rows first; each row of K times a row of values d in [low, high].

    With rows g0, g1, g2 of weights and four rows d0 to d3 of values, the products are of

        u0 = g0, u1 = (g0 + g1 + g2) / 2, u2 = (g0 - g1 + g2) / 2, u3 = g2   with
        d0 - d2, d1 + d2, d2 - d1, d1 - d3.

    They are p0 to p3, and two rows of sums are p0 + p1 + p2 and p1 - p2 - p3, in any order. All are multiples of 1/2:
    twice every magnitude is held against 2^24.
    """
    g0, g1, g2 = weights
    u0, u1, u2, u3 = 2 * g0, g0 + g1 + g2, g0 - g1 + g2, 2 * g2  # twice the coefficients
    width = high - low
    products = (
        *(reach(u, -width, width) for u in (u0, u2, u3)),
        reach(u1, 2 * low, 2 * high),
    )
    none = np.zeros_like(u0)
    # each product as coefficients of d0, d1, d2, d3
    p0, p1, p2, p3 = (u0, none, -u0, none), (none, u1, u1, none), (none, -u2, u2, none), (none, u3, none, -u3)
    negated = [tuple(-each for each in product) for product in (p2, p3)]
    forms = [some for row in ((p0, p1, p2), (p1, *negated)) for count in (2, 3) for some in combinations(row, count)]
    sums = (np.concatenate([sum(each) for each in zip(*some, strict=True)], axis=-1) for some in forms)
    bound = max(*products, *(reach(some, low, high) for some in sums))
    return f"F(2, 3): twice every partial |sum| <= {bound} <= 2^24" if bound <= LIMIT32 else ""
