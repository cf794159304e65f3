"""The reachable sums, against all inputs enumerated."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qdqnp.stimuli.reach import Numbers, Reach

SMALL = st.lists(st.integers(-9, 9), max_size=4)  # none: where all taps of a window are padding
WIDE = st.lists(st.integers(-255, 255), max_size=40)


def every_sum(weights: list[int], low: int, high: int) -> set[int]:
    choices = itertools.product(range(low, high + 1), repeat=len(weights))
    return {sum(w * d for w, d in zip(weights, inputs, strict=True)) for inputs in choices}


@given(SMALL, st.integers(-4, 2), st.integers(0, 5))
@settings(deadline=None)
def test_membership_is_that_of_all_inputs_enumerated(weights: list[int], low: int, span: int) -> None:
    reach, sums = Reach(np.array(weights, np.int64), low, low + span), every_sum(weights, low, low + span)
    assert (reach.least, reach.most) == (min(sums), max(sums))
    around = range(min(sums) - 20, max(sums) + 21)
    assert [total for total in around if total in reach] == sorted(sums)


@given(WIDE, st.integers(-255, 0), st.integers(0, 255), st.data())
@settings(deadline=None)
def test_inputs_have_the_sum_and_stay_in_range(weights: list[int], low: int, span: int, data: st.DataObject) -> None:
    """Any sum of random inputs must be found reachable, and inputs for it must be given: no others are needed."""
    high = low + span
    inputs = [data.draw(st.integers(low, high)) for _ in weights]
    total = sum(w * d for w, d in zip(weights, inputs, strict=True))
    reach = Reach(np.array(weights, np.int64), low, high)
    assert total in reach
    for wanted in (total, reach.least, reach.most):
        found = [int(value) for value in reach.inputs_for(wanted)]
        assert all(low <= value <= high for value in found)
        assert sum(w * d for w, d in zip(weights, found, strict=True)) == wanted


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(0, 70)), min_size=1, max_size=5))
@settings(deadline=None)
def test_packed_sets_are_the_sets(terms: list[tuple[int, int]]) -> None:
    """Against a set of Python integers, through all the ways in which a set is kept."""
    numbers, wanted = Numbers(), {0}
    for magnitude, most in terms:
        numbers = numbers.plus(magnitude, most)
        wanted = {n + magnitude * t for n in wanted for t in range(most + 1)}
    assert {n for n in range(-3, numbers.top + 4) if n in numbers} == wanted


def test_long_sums_are_kept_short(rng: np.random.Generator) -> None:
    """4,608 products: the set is an interval of 150 million numbers, kept as its irregular ends."""
    reach = Reach(2 * rng.integers(-64, 64, 4608), -128, 127)
    kept = reach._sets[-1]
    assert kept.top > 10**7
    assert kept.edge < 10**4
    assert reach.least + 1 not in reach  # the step is 2
    assert reach.least + 2 * (kept.top // 2) in reach


def test_sums_that_nothing_makes_are_refused() -> None:
    reach = Reach(np.array([6, 10]), -1, 1)
    assert reach.step == 2
    with pytest.raises(ValueError, match="no inputs have the sum 2"):
        reach.inputs_for(2)
    nothing = Reach(np.array([0, 0]), -3, -1)
    assert (0 in nothing, 1 in nothing, nothing.inputs_for(0).tolist()) == (True, False, [-1, -1])


@pytest.mark.parametrize("others", [[127], [125, 127], [254, 255]])
def test_sums_of_many_equal_weights_are_kept_short(others: list[int]) -> None:
    """A hundred thousand weights of 126, of which every multiple is a sum, become an interval by the few others."""
    reach = Reach(np.array([126] * 100_000 + others), -128, 127)
    assert reach._sets[-1].top > 3 * 10**9
    assert max(kept.edge for kept in reach._sets) < 10**6
    total = reach.least + reach._sets[-1].top // 2
    assert int((reach.weights * reach.inputs_for(total)).sum()) == total
