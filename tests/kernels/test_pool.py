"""Maxima over windows against explicitly gathered ones; taps; padding that adds and padding that cuts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qdqnp.kernels.pool import max_pool, pad_plane, tap
from qdqnp.kernels.sums import Window
from tests.oracles.windows import Axis, gathered

Array = np.ndarray[Any, np.dtype[Any]]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.sampled_from([np.int8, np.uint8]))
def test_maximum_of_gathered_elements(seed: int, dtype: type) -> None:
    """Any window, any number of outputs: those beyond the padding see nothing but the lowest value."""
    rng = np.random.default_rng(seed)
    kernel, strides, dilations, out, before, size = (
        [int(n) for n in rng.integers(1, most, 2)] for most in (4, 4, 3, 6, 3, 8)
    )
    before = [n - 1 for n in before]
    x = rng.integers(-100, 100, (2, 3, *size)).astype(dtype)
    lowest = np.iinfo(dtype).min
    axes = [Axis(size[i], kernel[i], strides[i], dilations[i], before[i], 0, out[i]) for i in range(2)]
    window = Window(tuple(kernel), tuple(strides), tuple(dilations), (*before, 0, 0))  # type: ignore[arg-type]
    found = max_pool(x, window, out[0], out[1])
    assert found.dtype == dtype
    assert found.tolist() == gathered(x, axes, lowest).max(axis=(4, 5)).tolist()


def test_taps_are_the_gathered_elements_one_by_one() -> None:
    x = np.arange(2 * 7 * 6).reshape(1, 2, 7, 6)
    window = Window((2, 3), (2, 1), (2, 1), (1, 0, 0, 2))
    axes = [Axis(7, 2, 2, 2, 1, 0, 3), Axis(6, 3, 1, 1, 0, 2, 6)]
    padded, wanted = pad_plane(x, window, 3, 6, -1), gathered(x, axes, -1)
    for row in range(2):
        for col in range(3):
            assert tap(padded, window, row, col, 3, 6).tolist() == wanted[..., row, col].tolist()


def test_negative_padding_cuts_off() -> None:
    x = np.arange(25).reshape(1, 1, 5, 5)
    window = Window((1, 1), (3, 3), (1, 1), (-1, -1, 0, 0))
    assert pad_plane(x, window, 2, 2, -9).tolist() == x[..., 1:, 1:].tolist()
    mixed = Window((2, 2), (1, 1), (1, 1), (-2, 1, 0, 0))
    assert pad_plane(x, mixed, 2, 5, -9)[0, 0].tolist() == [[-9, *row] for row in x[0, 0, 2:].tolist()]


def test_nothing_to_pad_is_no_copy() -> None:
    x = np.zeros((1, 1, 4, 4), np.int8)
    assert pad_plane(x, Window((2, 2), (2, 2), (1, 1), (0, 0, 0, 0)), 2, 2, 0).base is x


@pytest.mark.parametrize("fill", [-128, 7])
def test_padding_is_the_fill(fill: int) -> None:
    x = np.zeros((1, 1, 2, 2), np.int8)
    padded = pad_plane(x, Window((3, 3), (1, 1), (1, 1), (1, 1, 1, 1)), 2, 2, fill)
    assert padded.dtype == np.int8
    assert padded[0, 0].tolist() == [[fill] * 4, [fill, 0, 0, fill], [fill, 0, 0, fill], [fill] * 4]
