"""The plain patterns, code by code."""

from __future__ import annotations

import numpy as np

from qdqnp.stimuli.patterns import PATTERNS, Slot, random_codes

SLOT = Slot(np.dtype(np.int8), (1, 2, 2, 3), 5)


def test_patterns_are_what_their_names_say() -> None:
    made = {name: make(SLOT) for name, make in PATTERNS.items()}
    assert all(array.dtype == np.int8 and array.shape == SLOT.shape for array in made.values())
    assert set(made["minimum"].reshape(-1).tolist()) == {-128}
    assert set(made["maximum"].reshape(-1).tolist()) == {127}
    assert set(made["zero-point"].reshape(-1).tolist()) == {5}
    assert made["alternating"][0, :, :, :].tolist() == [
        [[-128, 127, -128], [127, -128, 127]],
        [[127, -128, 127], [-128, 127, -128]],
    ]
    assert made["first-maximum-then-minus-one"].reshape(-1).tolist() == [127] + [4] * 11


def test_one_below_the_lowest_code_is_the_lowest() -> None:
    slot = Slot(np.dtype(np.uint8), (4,), 0)
    assert PATTERNS["first-maximum-then-minus-one"](slot).tolist() == [255, 0, 0, 0]


def test_random_codes_come_from_the_seed_and_reach_both_ends() -> None:
    slots = {"a": Slot(np.dtype(np.uint8), (50, 100), 3), "b": SLOT}
    first, second = (list(random_codes(slots, 2, seed=7)) for _ in range(2))
    other = next(random_codes(slots, 1, seed=8))
    assert all(np.array_equal(x[name], y[name]) for x, y in zip(first, second, strict=True) for name in slots)
    assert not np.array_equal(first[0]["a"], other["a"])
    assert not np.array_equal(first[0]["a"], first[1]["a"])
    assert (first[0]["a"].min(), first[0]["a"].max()) == (0, 255)
