"""The float32 finish and the integer finish give the same codes wherever the first is admitted."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qdqnp.kernels.finish import IntegerFinish, float_finish
from qdqnp.kernels.scratch import Scratch
from tests.oracles import rounding

Array = np.ndarray[Any, np.dtype[Any]]
INT8, UINT8 = np.dtype(np.int8), np.dtype(np.uint8)


def both(tile: Array, bound: int, offset: Array, multiplier: Array, zero: int, dtype: Any) -> tuple[Array, Array]:
    """Codes of raw sums, shape (channels, positions), by either finish."""
    fast = float_finish(tile.dtype, bound, offset[:, None], multiplier[:, None], zero, dtype)
    assert fast is not None
    slow = IntegerFinish(
        lambda acc: rounding.requantize(rounding.int32(acc), multiplier, zero, dtype), offset[:, None], 0
    )
    wanted = slow(tile.copy(), Scratch())
    return fast(tile.copy(), Scratch()).astype(dtype), wanted


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([np.float32, np.float64]),
    st.sampled_from([INT8, UINT8]),
    st.sampled_from([100, 2**24, 2**27, 2**30]),
)
def test_same_codes(seed: int, carrier: type, dtype: np.dtype[Any], reach: int) -> None:
    """Offsets up to `reach`, so that float32 sums, float64 sums and mixtures of both occur; ties among multipliers."""
    rng = np.random.default_rng(seed)
    bound = 2**24 if carrier == np.float32 else 2**30
    tile = rng.integers(-bound, bound, (5, 200), endpoint=True).astype(carrier)
    tile[:, :4] = np.array([bound, -bound, 0, 1], carrier)
    offset = rng.integers(-reach, reach, 5, endpoint=True)
    scale = 100 / (bound + reach)
    multiplier = np.array([np.exp2(np.round(np.log2(scale))), scale, scale / 1000, scale * 1e6, 1e-45], np.float32)
    zero = int(rng.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, endpoint=True))
    found, wanted = both(tile, bound, offset, multiplier, zero, dtype)
    assert found.tolist() == wanted.tolist()


@pytest.mark.parametrize("zero", [0, 1, -7])
@pytest.mark.parametrize("carrier", [np.float32, np.float64])
def test_halves_go_to_even_before_the_zero_point_is_added(carrier: type, zero: int) -> None:
    tile = np.arange(-260, 261).astype(carrier)[None]
    for offset in (0, 1, 2**25):
        found, wanted = both(tile - offset, 2**26, np.array([offset]), np.array([0.5], np.float32), zero, INT8)
        assert found.tolist() == wanted.tolist()
    assert found[0, 260:266].tolist() == [zero, zero, zero + 1, zero + 2, zero + 2, zero + 2]


@pytest.mark.parametrize("reach", [2**24, 2**24 + 1])
def test_sums_past_2_to_the_24_are_rounded_once(reach: int) -> None:
    """tile + offset is odd and has no float32: rounded to even first, then multiplied. reach decides the carrier."""
    tile = np.arange(-50, 51, dtype=np.float32)[None] + np.float32(2**23)
    offset, multiplier = np.array([reach]), np.array([2.0**-19], np.float32)
    found, wanted = both(tile, 2**24, offset, multiplier, 0, INT8)
    assert found.tolist() == wanted.tolist()
    near = np.array([[2**24 - 5, 2**24 - 2, 2**24 - 1, 2**24, -(2**24), 0, 1]], np.float32)
    for shift, sign, step in itertools.product(range(20, 28), (1, -1), range(-4, 5)):
        offset, multiplier = np.array([sign * (reach + step)]), np.array([2.0**-shift], np.float32)
        found, wanted = both(near, 2**24, offset, multiplier, 3, UINT8)
        assert found.tolist() == wanted.tolist()


def test_one_channel_with_parameters_without_axes() -> None:
    """A scalar offset in float64 and a float32 tile: their sum is not rounded twice."""
    tile = np.array([[1.0, 3.0, 5.0]], np.float32)
    finish = float_finish(tile.dtype, 10, np.array(2**25 + 1), np.float32(2.0**-25), 0, INT8)
    assert finish is not None
    wanted = rounding.requantize((tile.astype(np.int64) + 2**25 + 1), np.float32(2.0**-25), 0, INT8)
    assert finish(tile.copy(), Scratch()).astype(np.int8).tolist() == wanted.tolist()


def test_overflow_saturates() -> None:
    tile = np.array([[1000.0, -1000.0, 0.0]], np.float32)
    with np.errstate(over="ignore"):
        found, wanted = both(tile, 1000, np.array([0]), np.array([3e38], np.float32), -5, INT8)
    assert found.tolist() == wanted.tolist() == [[127, -128, -5]]


@pytest.mark.parametrize(
    ("tile", "bound", "offset", "multiplier", "dtype", "admitted"),
    [
        (np.float32, 2**24, 2**31 - 2**24 - 1, 1.0, INT8, True),
        (np.float32, 2**24, 2**31 - 2**24, 1.0, INT8, False),  # the accumulator could wrap
        (np.float32, 2**24, -(2**31) + 2**24, 1.0, INT8, False),
        (np.float64, 2**31 - 1, 0, 1.0, UINT8, True),
        (np.float64, 2**31, 0, 1.0, UINT8, False),
        (np.int64, 10, 0, 1.0, INT8, False),
        (np.float32, 10, 0, np.inf, INT8, False),  # 0 * inf is no number
        (np.float32, 10, 0, np.nan, INT8, False),
        (np.float32, 10, 0, 1.0, np.dtype(np.float32), False),
        (np.float32, 10, 0, 1.0, np.dtype(np.int16), False),
    ],
)
def test_what_is_admitted(
    tile: type, bound: int, offset: int, multiplier: float, dtype: np.dtype[Any], admitted: bool
) -> None:
    finish = float_finish(np.dtype(tile), bound, np.array([offset]), np.array([multiplier], np.float32), 0, dtype)
    assert (finish is not None) == admitted


def test_integer_finish_puts_channels_last_for_the_rule_and_back() -> None:
    """A rule that tells channels apart, on both layouts of a tile."""
    sums = np.arange(12).reshape(3, 4)
    factor, correction = np.array([1, 10, 100]), np.array([5, 6, 7])
    wanted = (sums + correction[:, None]) * factor[:, None]
    rows = IntegerFinish(lambda acc: acc * factor, correction[:, None], 0)
    columns = IntegerFinish(lambda acc: acc * factor, correction[None], 1)
    assert rows(sums.astype(np.float32), Scratch()).tolist() == wanted.tolist()
    assert columns(sums.T.astype(np.float64), Scratch()).tolist() == wanted.T.tolist()
