"""What is counted, and how the counts of several runs add up."""

from __future__ import annotations

import numpy as np

from qdqnp.stimuli.coverage import Met, measured


def test_one_run_is_counted_and_two_are_added() -> None:
    """Two channels, last; the codes in the layer's own order do not matter."""
    first = measured(
        Met(
            ties=np.array([[-1, 0], [1, 0], [1, 0]], np.int8),
            low=np.array([[True, False], [False, False], [True, False]]),
            high=np.zeros((3, 2), bool),
            accumulator=np.array([[5, -3], [9, 2], [0, 0]]),
            inner=np.array([[0, 2], [0, 0], [1, 0]]),
        ),
        np.array([[[-128, -128, 4], [127, 4, 0]]], np.int8),
    )
    second = measured(
        Met(
            ties=np.zeros((1, 2), np.int8),
            low=np.zeros((1, 2), bool),
            high=np.array([[False, True]]),
            accumulator=np.array([[-40, 1]]),
            inner=np.zeros((1, 2), int),
        ),
        np.array([[[4], [100]]], np.int8),
    )
    wanted = {
        "outputs": 6,
        "ties_negative": 1,
        "ties_positive": 2,
        "saturated_low": 2,
        "saturated_high": 0,
        "inner_saturated": 3,
        "codes_seen": 4,
        "codes": 256,
        "channels_reached": 1,
        "channels": 2,
        "accumulator_min": -3,
        "accumulator_max": 9,
    }
    assert first.as_json() == wanted
    more = {"outputs": 8, "saturated_high": 1, "codes_seen": 5, "channels_reached": 2, "accumulator_min": -40}
    assert first.plus(second).as_json() == second.plus(first).as_json() == wanted | more
    assert np.flatnonzero(first.seen).tolist() == [0, 128, 132, 255]


def test_what_is_not_defined_stays_so() -> None:
    codes = np.array([[1, 2]], np.uint8)
    nothing = measured(Met(), codes)
    assert nothing.plus(nothing).as_json() == {
        "outputs": 4,
        "ties_negative": None,
        "ties_positive": None,
        "saturated_low": None,
        "saturated_high": None,
        "inner_saturated": None,
        "codes_seen": 2,
        "codes": 256,
        "channels_reached": 0,
        "channels": 0,
        "accumulator_min": None,
        "accumulator_max": None,
    }
    assert measured(Met(), np.zeros(3, np.float32)).as_json()["codes"] == 0
