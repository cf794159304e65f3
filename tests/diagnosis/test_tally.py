"""Metrics: LSB counts against loops in plain Python, validate's metrics against their formulas written out."""

from __future__ import annotations

import math
import warnings
from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from qdqnp.diagnosis.tally import EPS, Tally, compared, validate_metrics

codes = hnp.arrays(np.int8, hnp.array_shapes(min_dims=1, max_dims=3, max_side=5))


@given(st.lists(codes, min_size=1, max_size=3), st.integers(0, 2**32 - 1))
def test_counts_are_those_of_a_loop(wants: list[np.ndarray], seed: int) -> None:
    rng = np.random.default_rng(seed)
    found, apart = Tally(), []
    for want in wants:
        got = np.clip(want.astype(int) + rng.integers(-2, 3, want.shape) * (rng.random(want.shape) < 0.5), -128, 127)
        found.add(got.astype(np.int8), want)
        apart += [int(g) - int(w) for g, w in zip(got.flat, want.flat, strict=True)]
    assert found.histogram == dict(Counter(apart))
    assert found.elements == len(apart) and found.differing == sum(d != 0 for d in apart)
    assert found.largest == max(map(abs, apart)) and found.mean == sum(map(abs, apart)) / len(apart)
    assert found.share == found.differing / len(apart)


def test_far_differences_share_bins() -> None:
    found = compared(np.array([0, 1024, 1025, -2047, -2048, 5000, 5001, 2**40]), np.zeros(8, np.int64))
    assert found.histogram == {0: 1, 1024: 2, -1024: 1, -2048: 1, 4096: 2, 2**40: 1}
    assert (found.largest, found.differing) == (2**40, 7)


def test_the_first_mismatch_is_that_of_the_first_array_that_has_one() -> None:
    found = Tally()
    zero = np.zeros((2, 2), np.int8)
    found.add(zero, zero)
    assert found.first is None
    found.add(np.array([[0, 0], [0, 3]], np.int8), zero)
    found.add(np.array([[5, 0], [0, 0]], np.int8), zero)
    assert found.first == (1, 1)


@given(st.lists(codes, min_size=2, max_size=4), st.integers(0, 2**32 - 1))
def test_tallies_add_up(wants: list[np.ndarray], seed: int) -> None:
    rng = np.random.default_rng(seed)
    whole, sum_of_parts = Tally(), Tally()
    for want in wants:
        got = np.where(rng.random(want.shape) < 0.3, rng.integers(-128, 128, want.shape), want).astype(np.int8)
        whole.add(got, want)
        sum_of_parts.include(compared(got, want))
    assert whole == sum_of_parts


def test_floats_differ_by_bits_and_are_apart_by_their_values() -> None:
    nan, infinity = np.nan, np.inf
    got = np.array([0.0, -0.0, 1.0, nan, infinity, 2.0], np.float32)
    want = np.array([0.0, 0.0, 1.5, 3.0, infinity, nan], np.float32)
    found = compared(got, want)
    assert (found.differing, found.largest, found.total, found.first) == (4, 0.5, 0.5, (1,))
    assert not found.histogram


@given(
    hnp.arrays(np.float32, (3, 4), elements=st.floats(-100, 100, width=32)),
    hnp.arrays(np.float32, (3, 4), elements=st.floats(-100, 100, width=32)),
)
def test_validate_metrics_are_the_formulas(r: np.ndarray, p: np.ndarray) -> None:
    found = validate_metrics(r, p)
    pairs = [(float(a), float(b)) for a, b in zip(r.flat, p.flat, strict=True)]
    n = len(pairs)
    errors = [a - b for a, b in pairs]
    mean = sum(errors) / n
    squares = sum(e * e for e in errors) / n
    average = sum(a for a, _ in pairs) / n
    spread = sum((a - average) ** 2 for a, _ in pairs) / n
    norm_r, norm_p = (math.sqrt(sum(v * v for v in side)) for side in zip(*pairs, strict=True))
    expected = {
        "acc": sum(
            max(range(4), key=lambda i: x[i]) == max(range(4), key=lambda i: y[i]) for x, y in zip(r, p, strict=True)
        )
        / 3,
        "rmse": math.sqrt(squares),
        "mae": sum(map(abs, errors)) / n,
        "l2r": math.sqrt(sum(e * e for e in errors)) / (norm_p + EPS),
        "mean": mean,
        "std": math.sqrt(sum((e - mean) ** 2 for e in errors) / n),
        "nse": 1 - squares / (spread + EPS),
    }
    for key, value in expected.items():
        assert math.isclose(found[key], value, rel_tol=1e-9, abs_tol=1e-9), key
    if norm_r * norm_p:
        cos = sum(a * b for a, b in pairs) / (norm_r * norm_p)
        assert math.isclose(found["cos"], 1.0 if np.array_equal(r, p) else cos, rel_tol=1e-9, abs_tol=1e-9)


def test_l2r_divides_by_the_prediction() -> None:
    found = validate_metrics(np.array([[3.0, 4.0]]), np.array([[0.0, 1.0]]))
    assert math.isclose(found["l2r"], math.sqrt(18) / (1 + EPS))


def test_metrics_of_signaling_nan_do_not_warn() -> None:
    signaling = np.array([[0x7F800001, 0]], np.uint32).view(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert validate_metrics(np.ones((1, 2), np.float32), signaling).keys() == {
            *("acc", "rmse", "mae", "l2r", "mean", "std", "nse", "cos")
        }
