"""Rational values rounded in arrays, against fractions one by one."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qdqnp.numerics.rational import RationalSum

VALUES = st.lists(st.integers(-(2**34), 2**34) | st.integers(-40, 40), min_size=1, max_size=8)
# float32 scales: powers of two, small odd multiples of them, and any others
DYADIC = st.builds(lambda odd, shift: Fraction(odd, 2**shift), st.integers(-9, 9).filter(bool), st.integers(0, 30))
RATIOS = st.fractions(-3, 3, max_denominator=2**60).filter(bool)


def sign_of_half(value: Fraction) -> int:
    return 0 if value.denominator != 2 else 1 if value > 0 else -1


@given(VALUES, st.lists(DYADIC | RATIOS, min_size=2, max_size=3))
@settings(deadline=None)
def test_products_and_their_ties(values: list[int], factors: list[Fraction]) -> None:
    array = np.array(values)[:, None] + np.zeros(len(factors), np.int64)
    total = RationalSum([array], [factors])
    exact = [[value * factor for factor in factors] for value in values]
    assert total.rounded().tolist() == [[round(value) for value in row] for row in exact]
    assert total.ties().tolist() == [[sign_of_half(value) for value in row] for row in exact]


@given(st.lists(st.tuples(st.integers(-255, 255), st.integers(-255, 255)), min_size=1, max_size=8), DYADIC, DYADIC)
@settings(deadline=None)
def test_sums_and_their_ties(pairs: list[tuple[int, int]], first: Fraction, second: Fraction) -> None:
    left, right = np.array(pairs).T
    total = RationalSum([left, right], [[first], [second]])
    exact = [a * first + b * second for a, b in pairs]
    assert total.rounded().tolist() == [round(value) for value in exact]
    assert total.ties().tolist() == [sign_of_half(value) for value in exact]


def test_a_value_next_to_a_half_is_none() -> None:
    """1/2 + 2^-60 is 1/2 in float64."""
    total = RationalSum([np.array([1, -1, 3])], [[Fraction(1, 2) + Fraction(1, 2**60)]])
    assert total.ties().tolist() == [0, 0, 0]
    assert total.rounded().tolist() == [1, -1, 2]
    even = RationalSum([np.array([1, 5])], [[Fraction(1, 2) - Fraction(1, 3**30)]])
    assert even.rounded().tolist() == [0, 2]


def test_a_tie_that_float64_misses_is_one() -> None:
    """15 * 25/6 is 62.5, and 62.50000000000001 in float64."""
    for value, factor, code in ((15, Fraction(25, 6), 62), (27, Fraction(53, 6), 238), (45, Fraction(7, 10), 32)):
        total = RationalSum([np.array([value, -value])], [[factor]])
        assert total.rounded().tolist() == [code, -code]
        assert total.ties().tolist() == [1, -1]


def test_many_ties_are_decided_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model of 300 bytes can ask for millions of them: none is looked at by itself."""
    monkeypatch.setattr(RationalSum, "at", None)
    a, b = np.arange(2**16).reshape(256, 256), np.ones((256, 256), np.int64)
    total = RationalSum([a, b], [[Fraction(1, 2)], [Fraction(1, 3)]], Fraction(2, 3))
    assert np.array_equal(total.ties(), np.arange(2**16).reshape(256, 256) % 2)
    assert np.array_equal(total.rounded(), np.rint(np.arange(2**16) / 2 + 1).reshape(256, 256))


def test_factors_of_each_column_beside_one_for_all() -> None:
    total = RationalSum(
        [np.array([[1, 2, 3]]), np.array([5])], [[Fraction(1, 2), Fraction(1, 4), Fraction(1, 6)], [Fraction(1, 5)]]
    )
    assert total.ties().tolist() == [[1, 1, 1]]
    assert total.rounded().tolist() == [[2, 2, 2]]


def test_a_sum_of_scalars() -> None:
    total = RationalSum([np.array(3), np.array(-4)], [[Fraction(1, 2)], [Fraction(1)]])
    assert total.ties() == -1 and total.rounded() == -2
