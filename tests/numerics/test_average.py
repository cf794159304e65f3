"""Windowed averages: how much memory their sums take."""

from __future__ import annotations

import tracemalloc

import numpy as np

from qdqnp.numerics.rules.average import raw_sum


def test_the_sum_of_a_window_makes_no_wide_copy_of_its_taps() -> None:
    taps = np.arange(1600 * 2000, dtype=np.int64).astype(np.int8).reshape(1600, 2000)
    inside = np.arange(1600)[:, None] % 3 > 0
    tracemalloc.start()
    try:
        total = raw_sum(taps, inside)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert np.array_equal(total, taps[inside[:, 0]].astype(np.int64).sum(axis=0)) and total.dtype == np.int64
    assert peak < taps.nbytes
