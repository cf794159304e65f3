"""Looking for marked sums: that none is missed, and that giving up is said."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qdqnp.numerics.profiles import profile_named
from qdqnp.numerics.rules.requantize.protocol import SumContext
from qdqnp.quant import Quant
from qdqnp.stimuli import scan
from qdqnp.stimuli.scan import Range, look, monotone, visible
from tests.stimuli.layers import COMPLETE


def ranges(low: list[int], high: list[int], step: list[int]) -> Range:
    return Range.between(*(np.array(values, np.int64) for values in (low, high, step)))


@given(
    st.lists(st.tuples(st.integers(-40, 40), st.integers(-1, 60), st.integers(1, 5)), min_size=1, max_size=4),
    st.integers(-45, 105),
    st.integers(1, 64),
)
@settings(deadline=None)
def test_a_single_marked_sum_is_found_wherever_it_is(spans: list[tuple[int, int, int]], at: int, block: int) -> None:
    where = ranges([s[0] for s in spans], [s[0] + s[1] for s in spans], [s[2] for s in spans])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan, "BLOCK", block)
        found = look(lambda sums: (sums == at).astype(np.int8), where, (1,), lambda channel, total: True)
    wanted = {(c, 1): at for c, (low, width, step) in enumerate(spans) if low <= at <= low + width and at % step == 0}
    assert found.found == wanted
    for channel, (low, width, step) in enumerate(spans):
        multiples = [n for n in range(low, low + width + 1) if n % step == 0]
        if (channel, 1) not in wanted:
            assert found.looked_at[channel] == len(multiples)


def test_sums_that_cannot_be_made_are_passed_over_and_counted() -> None:
    found = look(lambda sums: (sums % 10 == 0).astype(np.int8), ranges([0], [100], [1]), (1,), lambda c, t: t == 100)
    assert found.found == {(0, 1): 100}
    none = look(lambda sums: (sums % 10 == 0).astype(np.int8), ranges([0], [100], [1]), (1,), lambda c, t: False)
    assert (none.found, none.unmade) == ({}, {(0, 1): 11})


def test_a_search_that_is_too_long_stops_and_says_how_far_it_was() -> None:
    found = look(lambda sums: np.zeros(sums.shape, np.int8), ranges([0], [10**6], [1]), (1,), lambda c, t: True, 5000)
    assert 5000 <= found.looked_at[0] < 10**6


@pytest.mark.parametrize("profile", COMPLETE)
def test_visible_sums_are_those_whose_code_is_not_clipped(profile: str) -> None:
    def quant(scale: object, zero: int = 0) -> Quant:
        return Quant(np.dtype(np.int8), np.asarray(scale, np.float32), np.asarray(zero, np.int8))

    rule = profile_named(profile).conv
    weights = np.array([[3, 90, -40], [1, 1, 1], [-128, -128, -128]])
    bound = rule.bind(
        SumContext(
            quant(0.1), quant([0.2, 0.01, 0.3]), quant(0.9, 17), np.array([50, -900, 0], np.int32), weights=weights
        )
    )
    low, high = np.array([-9000, -500, 100]), np.array([9000, -100, 120])
    assert monotone(bound, low, high)
    first, last = visible(bound, low, high)
    for channel in range(3):
        sums = np.arange(low[channel], high[channel] + 1)
        full = np.zeros((sums.size, 3), np.int64)
        full[:, channel] = sums
        code = scan.unclipped(bound, full)[:, channel]
        wanted = sums[(code >= -128) & (code <= 127)]
        assert sums[(sums >= first[channel]) & (sums <= last[channel])].tolist() == wanted.tolist()


def test_a_rule_that_wraps_is_not_called_monotone() -> None:
    quant = Quant(np.dtype(np.int8), np.float32(1), np.int8(0))
    bias = np.array([2**31 - 50], np.int32)
    for profile in ("ort", "tflite", "tflite-single"):
        bound = profile_named(profile).conv.bind(
            SumContext(quant, quant, quant, bias, weights=np.ones((1, 1), np.int64))
        )
        assert not monotone(bound, np.array([-128]), np.array([127]))
        assert visible(bound, np.array([-128]), np.array([127])) == (np.array([-128]), np.array([127]))
