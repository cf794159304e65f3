"""Sets of sums against sets that are listed one by one."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from qdqnp.diagnosis.proof.claim import NotProvenError
from qdqnp.diagnosis.proof.sum_set import SumSet
from qdqnp.stimuli.reach import Reach

RANGES = ((-128, 127), (0, 1), (-3, 4), (0, 0), (-2, 0), (0, 255), (5, 9))


def listed(reach: Reach) -> set[int]:
    """Every sum, by trying all inputs."""
    values = range(reach.low, reach.high + 1)
    return {sum(int(w) * x for w, x in zip(reach.weights, given, strict=True)) for given in product(values, repeat=2)}


def drawn(seed: int) -> list[Reach]:
    rng = np.random.default_rng(seed)
    low, high = RANGES[rng.integers(len(RANGES))]
    factor = int(rng.choice([1, 1, 2, 6]))
    kinds = int(rng.integers(1, 4))
    return [Reach(rng.integers(-9, 10, 2) * (factor if rng.random() < 0.7 else 1), low, high) for _ in range(kinds)]


@pytest.mark.parametrize("seed", range(60))
def test_a_set_has_every_sum_and_no_other(seed: int) -> None:
    reaches = drawn(seed)
    found, wanted = SumSet.of(reaches), sorted(set().union(*map(listed, reaches)))
    assert found.count == len(wanted)
    assert [n for n in range(wanted[0] - 3, wanted[-1] + 4) if n in found] == wanted
    rng = np.random.default_rng([seed, 1])
    ends = np.sort(rng.integers(wanted[0] - 20, wanted[-1] + 20, (2, 50)), axis=0)
    counts = [sum(low <= n <= high for n in wanted) for low, high in ends.T.tolist()]
    assert found.between(ends[0], ends[1]).tolist() == counts
    for start in (wanted[0] - 5, *ends[0].tolist()):
        above = [n for n in wanted if n >= start]
        if above:
            assert found.next(start) == above[0]
        else:
            with pytest.raises(ValueError, match="no sum from"):
                found.next(start)


@pytest.mark.parametrize("seed", range(8))
def test_runs_of_many_weights(seed: int) -> None:
    """Weights whose sums have gaps near the ends only, against sums that are added up one weight after the other."""
    rng = np.random.default_rng(seed)
    weights, (low, high) = rng.integers(-40, 41, 6) * int(rng.choice([1, 3])), ((-4, 5), (0, 7))[seed % 2]
    sums = {0}
    for weight in weights.tolist():
        sums = {n + weight * x for n in sums for x in range(low, high + 1)}
    found = SumSet.of([Reach(weights, low, high)])
    assert found.count == len(sums) and all(n in found for n in sums)


def test_a_union_with_too_many_runs_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qdqnp.diagnosis.proof.sum_set.MOST_RUNS", 100)
    with pytest.raises(NotProvenError, match="different steps"):
        SumSet.of([Reach(np.array([2]), 0, 255), Reach(np.array([3]), 0, 255)])
