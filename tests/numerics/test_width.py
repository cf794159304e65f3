"""Wrapping, saturating and the tie test, against Python integers."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from qdqnp.numerics.rounding import Quotient, is_tie
from qdqnp.numerics.width import saturate, saturate_to, wrap
from qdqnp.quant import Quant

VALUES, BITS = st.integers(-(2**63), 2**63 - 1), st.integers(2, 62)


def array(value: int) -> np.ndarray:
    return np.array([value], np.int64)


@settings(max_examples=500, deadline=None, derandomize=True)
@given(VALUES, BITS)
@example(2**31 - 1, 32)
@example(2**31, 32)
@example(-(2**31) - 1, 32)
@example(2**32, 32)
@example(2**61, 62)
@example(-(2**61) - 1, 62)
def test_wrap(value: int, bits: int) -> None:
    found = wrap(array(value), bits)
    half = 2 ** (bits - 1)
    assert found.dtype == np.int64
    assert found.tolist() == [(value + half) % 2**bits - half]


@settings(max_examples=500, deadline=None, derandomize=True)
@given(VALUES, BITS)
@example(2**15, 16)
@example(-(2**15) - 1, 16)
def test_saturate(value: int, bits: int) -> None:
    found = saturate(array(value), bits)
    assert found.dtype == np.int64
    assert found.tolist() == [max(-(2 ** (bits - 1)), min(value, 2 ** (bits - 1) - 1))]


@pytest.mark.parametrize(("dtype", "low", "high"), [(np.int8, -128, 127), (np.uint8, 0, 255), (np.uint16, 0, 65535)])
def test_saturate_to_codes(dtype: type, low: int, high: int) -> None:
    y = Quant(np.dtype(dtype), np.float32(1), np.array(3, dtype))
    values = [low - 1, low, low + 1, high - 1, high, high + 1, -(2**62), 2**62]
    found = saturate_to(np.array(values, np.int64), y)
    assert found.dtype == dtype
    assert found.tolist() == [max(low, min(value, high)) for value in values]


@settings(max_examples=500, deadline=None, derandomize=True)
@given(st.integers(-(2**40), 2**40), st.integers(0, 45))
@example(0, 0)
@example(1, 0)
@example(-3, 1)
@example(6, 2)
@example(-6, 2)
def test_is_tie(value: int, shift: int) -> None:
    exact = Fraction(value, 2**shift)
    assert is_tie(array(value), shift).tolist() == [exact.denominator == 2]
    assert is_tie(array(value), np.array([shift])).tolist() == [exact.denominator == 2]
    assert Quotient(array(value), shift).exact((0,)) == exact


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.integers(-(2**20), 2**20), st.integers(1, 30))
def test_every_odd_multiple_of_a_half_is_a_tie(count: int, shift: int) -> None:
    assert is_tie(array((2 * count + 1) << (shift - 1)), shift).all()
    assert not is_tie(array(count << shift), shift).any()
