"""The bounds on sums of codes, against sums in the worst case; and what is refused."""

from __future__ import annotations

from collections import Counter
from itertools import combinations, product

import numpy as np
import pytest

from qdqnp.kernels.strategy import reach
from qdqnp.schedule.proof import winograd
from tests.memory import peak_memory


def test_reach_is_met_by_the_worst_codes(rng: np.random.Generator) -> None:
    for _ in range(50):
        weights = rng.integers(-9, 10, (3, 7))
        low, high = -int(rng.integers(0, 200)), int(rng.integers(0, 200))
        up = np.where(weights > 0, weights * high, np.maximum(weights * low, 0)).sum(axis=1)
        down = np.where(weights > 0, weights * low, np.minimum(weights * high, 0)).sum(axis=1)
        assert reach(weights, low, high) == max(up.max(), -down.min())


def test_values_of_winograd_stay_within_its_bound(rng: np.random.Generator) -> None:
    """Random rows of codes, and those that make single forms large, in exact arithmetic."""
    for _ in range(30):
        weights, (low, high) = (
            rng.integers(-128, 128, (3, 2, 5)),
            (-int(rng.integers(1, 256)), int(rng.integers(1, 256))),
        )
        reason = winograd(weights, low, high)
        bound = int(reason.split("<= ")[1])
        g = weights.astype(float)
        u = (g[0], (g[0] + g[1] + g[2]) / 2, (g[0] - g[1] + g[2]) / 2, g[2])
        signs = np.sign(u[1][0])
        for d in (rng.choice([low, high], (4, 5)), np.where(signs > 0, high, low)[None].repeat(4, 0)):
            v = (d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3])
            p = [(form * value).sum(axis=1) for form, value in zip(u, v, strict=True)]
            rows = (p[0], p[1], p[2]), (p[1], -p[2], -p[3])
            sums = [sum(some) for row in rows for count in (1, 2, 3) for some in combinations(row, count)]
            assert max(np.abs(2 * value).max() for value in sums) <= bound
            np.testing.assert_array_equal(sum(rows[0]), (weights * d[:3, None]).sum(axis=(0, 2)))
            np.testing.assert_array_equal(sum(rows[1]), (weights * d[1:, None]).sum(axis=(0, 2)))


def test_the_bound_of_winograd_is_met_by_the_worst_codes(rng: np.random.Generator) -> None:
    """It is the largest of any products that are added up first, over all extreme codes: no less, and no more."""
    largest: Counter[tuple[int, ...]] = Counter()
    d = np.array(list(product((0, 1), repeat=8))).reshape(-1, 4, 2)
    for _ in range(300):
        g, low, high = rng.integers(-9, 10, (3, 2)), -int(rng.integers(0, 9)), int(rng.integers(1, 9))
        codes = np.where(d, high, low)
        twice = 2 * g[0], g[0] + g[1] + g[2], g[0] - g[1] + g[2], 2 * g[2]
        values = [codes[:, a] + sign * codes[:, b] for a, sign, b in ((0, -1, 2), (1, 1, 2), (2, -1, 1), (1, -1, 3))]
        p0, p1, p2, p3 = ((u * v).sum(axis=1) for u, v in zip(twice, values, strict=True))
        found = {
            (at, *some): int(np.abs(sum(row[each] for each in some)).max())
            for at, row in enumerate(((p0, p1, p2), (p1, -p2, -p3)))
            for count in (1, 2, 3)
            for some in combinations(range(3), count)
        }
        best = max(found.values())
        assert int(winograd(g[:, None], low, high).split("<= ")[1]) == best
        which = [some for some, value in found.items() if value == best]
        largest.update(which if len(which) == 1 else [])
    assert {some[0] for some in largest} == {0, 1}, f"both rows of sums count: {largest}"


@pytest.mark.parametrize("at", [0, 1, 199])
def test_every_channel_counts_in_winograd(at: int) -> None:
    """Channels that are looked at in pieces: one alone has large weights."""
    weights = np.zeros((3, 200, 300), np.int8)
    assert winograd(weights, -128, 127)
    weights[:, at] = 127
    assert not winograd(weights, -128, 127)


def test_the_proof_of_winograd_takes_little_memory(rng: np.random.Generator) -> None:
    """Less than the weights as int64; all forms of all channels at once would take ten times as much as they."""
    weights = rng.integers(-9, 10, (3, 512, 1536), np.int8)
    with peak_memory() as peak:
        assert winograd(weights, -128, 127)
    assert peak() < 8 * weights.size / 2


def test_winograd_is_refused_where_a_value_leaves_float32() -> None:
    assert winograd(np.full((3, 1, 100), 127), -128, 127)
    assert not winograd(np.full((3, 1, 200), 127), -255, 255)
