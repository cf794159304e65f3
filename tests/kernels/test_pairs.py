"""What saturating pairs take from exact sums, against the saturation of each pair spelled out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qdqnp.kernels.pairs import HIGHEST, LOWEST, SaturatingPairs


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    sizes=st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 9), st.integers(0, 5)),
    codes=st.sampled_from([10, 128, 130, 255]),
    weights=st.sampled_from([20, 127]),
    dtype=st.sampled_from([np.uint8, np.float32]),
)
def test_pairs(seed: int, sizes: tuple[int, int, int, int], codes: int, weights: int, dtype: type) -> None:
    """codes and weights: how large they get; only at 128 and more, by 127, does a pair saturate."""
    groups, rows, terms, columns = sizes
    rng = np.random.default_rng(seed)
    raw = rng.integers(-weights - 1, weights + 1, (groups, rows, terms))
    x = rng.integers(0, codes + 1, (groups, terms, columns))
    order = rng.permutation(terms)
    paired = order[: terms // 2 * 2].reshape(-1, 2)
    wanted = np.zeros((groups, rows, columns), np.int64)
    for pair in paired:
        wanted += np.clip(raw[:, :, pair] @ x[:, pair], LOWEST, HIGHEST)
    for left in order[terms // 2 * 2 :]:
        wanted += raw[:, :, left, None] * x[:, left, None]
    sums = (raw @ x).astype(np.float64)
    SaturatingPairs.of(raw, order).correct(x.astype(dtype), sums)
    np.testing.assert_array_equal(sums, wanted)


@pytest.mark.parametrize("weights, codes, lost", [((127, 127), (129, 129), 0), ((127, 127), (129, 130), 126)])
def test_the_limit_itself(weights: tuple[int, int], codes: tuple[int, int], lost: int) -> None:
    raw, x = np.array([[weights]]), np.array([[[codes[0]], [codes[1]]]], np.uint8)
    sums = (raw @ x.astype(int)).astype(np.float32)
    whole = sums.copy()
    SaturatingPairs.of(raw, np.arange(2)).correct(x, sums)
    assert whole - sums == lost
