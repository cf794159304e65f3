"""The orders of float32 sums, each against the same order spelled out in Python, fused additions by exact rationals."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qdqnp.numerics import products
from tests.oracles.rounding import fma

Array = np.ndarray[Any, np.dtype[Any]]
F = np.float32
SEEDS = st.integers(0, 2**32 - 1)
SIZES = st.integers(1, 6)


def reals(rng: np.random.Generator, *shape: int) -> Array:
    """Of all magnitudes, some of them tiny enough for sums below float32's normal range."""
    reach = rng.choice([1, 30, 75])
    return (rng.standard_normal(shape) * np.exp2(rng.integers(-reach, reach // 4 + 1, shape))).astype(F)


def fused(left: Array, right: Array) -> Array:
    """acc = fma(left[k], right[k], acc), element by element."""
    out = np.zeros((*left.shape[:2], right.shape[2]), F)
    for index in np.ndindex(out.shape):
        g, m, n = index
        acc = F(0)
        for k in range(left.shape[2]):
            acc = fma(left[g, m, k], right[g, k, n], acc)
        out[index] = acc
    return out


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.tuples(SIZES, SIZES, st.integers(0, 40), SIZES), st.sampled_from([1, 3, 16384]))
def test_fused_sums(seed: int, sizes: tuple[int, int, int, int], tile: int) -> None:
    rng = np.random.default_rng(seed)
    groups, rows, terms, columns = sizes
    left, right = reals(rng, groups, rows, terms), reals(rng, groups, terms, columns)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(products, "TILE", tile)
        np.testing.assert_array_equal(products.fused_sums(left, right), fused(left, right))


def test_a_sum_that_float64_rounds_to_the_middle() -> None:
    """1 + 2^-24 + 2^-60: float64 drops the last term and leaves a tie, which float32 would round to even."""
    left = np.array([[[1, 2**-30, 1]]], F)
    right = np.array([[[2**-24], [2**-30], [1]]], F)
    plain = F(np.float64(2**-24) + np.float64(2**-60) + 1)
    found = products.fused_sums(left, right)
    assert found == fused(left, right)
    assert found == plain  # acc is rounded before the last addition: nothing to gain here
    # 1 + 2^-23 plus 2^-24 (1 - 2^-30): just below the middle, where float64 puts it, and the even one is above
    left = np.array([[[1 + 2**-23, 2**-12 * (1 + 2**-15)]]], F)
    right = np.array([[[1], [2**-12 * (1 - 2**-15)]]], F)
    assert products.fused_sums(left, right) == fused(left, right) == F(1 + 2**-23)
    assert F(float(left[0, 0, 0]) + float(left[0, 0, 1]) * float(right[0, 1, 0])) == F(1 + 2**-22)


def test_a_subnormal_sum_that_float64_rounds_to_the_middle() -> None:
    """The same below the normal range, where the middle does not show in the usual bits."""
    left = np.array([[[2**-127 + 2**-149, 2**-75 * (1 + 2**-15)]]], F)
    right = np.array([[[1], [2**-75 * (1 - 2**-15)]]], F)
    assert products.fused_sums(left, right) == fused(left, right) == left[0, 0, 0]


@settings(max_examples=60, deadline=None)
@given(SEEDS, SIZES, st.integers(1, 13), SIZES, st.booleans())
def test_row_sums(seed: int, groups: int, terms: int, columns: int, started: bool) -> None:
    """((p0 + p1) + p2) + p3, then plus what is there; at the end two at a time, then one."""
    rng = np.random.default_rng(seed)
    left, right = reals(rng, groups, terms), reals(rng, groups, terms, columns)
    start = reals(rng, groups, columns) if started else None
    wanted = np.zeros((groups, columns), F)
    for g, n in np.ndindex(wanted.shape):
        total = start[g, n] if start is not None else F(0)
        terms_left = [left[g, k] * right[g, k, n] for k in range(terms)]
        while terms_left:
            count = next(c for c in (4, 2, 1) if c <= len(terms_left))
            part = terms_left[0]
            for value in terms_left[1:count]:
                part = part + value
            total, terms_left = part + total, terms_left[count:]
        wanted[g, n] = total
    np.testing.assert_array_equal(products.row_sums(left, right, start), wanted)


@settings(max_examples=60, deadline=None)
@given(SEEDS, SIZES, st.integers(1, 20), st.integers(1, 11), st.booleans())
def test_column_sums(seed: int, groups: int, terms: int, count: int, started: bool) -> None:
    """Eight lanes; across them in one order for each four rows, in another for two, in a third for one."""
    rng = np.random.default_rng(seed)
    vector, rows = reals(rng, groups, terms), reals(rng, groups, count, terms)
    start = reals(rng, groups, count) if started else None
    wanted = np.zeros((groups, count), F)
    for g, r in np.ndindex(wanted.shape):
        a, b, c, d, e, f, h, i = _lanes(vector[g], rows[g, r])
        if r < count // 4 * 4:
            total = (((a + b) + c) + d) + (((e + f) + h) + i)
        elif r < count // 2 * 2:
            total = ((c + a) + (h + e)) + ((d + b) + (i + f))
        else:
            total = ((a + b) + (c + d)) + ((e + f) + (h + i))
        wanted[g, r] = total if start is None else total + start[g, r]
    np.testing.assert_array_equal(products.column_sums(vector, rows, start), wanted)


def _lanes(vector: Array, row: Array) -> list[Any]:
    lanes = [F(0)] * 8
    for k in range(vector.size):
        lanes[k % 8] = lanes[k % 8] + vector[k] * row[k]
    return lanes


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.integers(1, 20))
def test_lane_sums(seed: int, count: int) -> None:
    rows = reals(np.random.default_rng(seed), 3, count)
    for row, found in zip(rows, products.lane_sums(rows), strict=True):
        lanes = [F(0)] * 4
        for k in range(count // 4 * 4):
            lanes[k % 4] = lanes[k % 4] + row[k]
        total = (lanes[0] + lanes[2]) + (lanes[1] + lanes[3])
        for value in row[count // 4 * 4 :]:
            total = total + value
        assert total == found


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(1, 30), st.sampled_from([1.0, 0.3]), st.booleans())
def test_blocked_sums(seed: int, terms: int, alpha: float, started: bool) -> None:
    """The first part times alpha; what follows is fused onto what is there."""
    rng = np.random.default_rng(seed)
    left, right = reals(rng, 1, 2, terms), reals(rng, 1, terms, 2)
    start = reals(rng, 1, 2, 2) if started else None
    parts = products.every(7, terms)
    wanted = start
    for begin, end in pairwise(parts):
        sums = fused(left[:, :, begin:end], right[:, begin:end])
        if wanted is None:
            wanted = sums * F(alpha)
        else:
            each = [fma(s, F(alpha), w) for s, w in zip(sums.flat, wanted.flat, strict=True)]
            wanted = np.array(each, F).reshape(1, 2, 2)
    np.testing.assert_array_equal(products.blocked_sums(left, right, start, parts, alpha), wanted)


@pytest.mark.parametrize(
    ("rows_first", "columns", "terms", "wanted"),
    [
        (True, 200, 100, (0, 100)),  # many columns: K is cut at 128, or not at all
        (True, 200, 128, (0, 128)),
        (True, 500, 300, (0, 128, 256, 300)),
        (True, 196, 576, (0, 128, 256, 384, 512, 576)),
        (True, 64, 300, (0, 256, 300)),  # 64 columns fit half the stride, so K gets twice
        (True, 49, 1152, (0, 256, 512, 768, 1024, 1152)),
        (True, 16, 1500, (0, 1024, 1500)),
        (True, 2, 3000, (0, 1024, 2048, 3000)),  # never below 16 columns
        (False, 2, 300, (0, 128, 256, 300)),  # a transposed left side keeps the stride
    ],
)
def test_where_k_is_cut(rows_first: bool, columns: int, terms: int, wanted: tuple[int, ...]) -> None:
    assert products.stride_parts(rows_first, columns, terms) == wanted
