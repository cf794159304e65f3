"""What is counted of scores: bits, not values; and parts add up to the whole."""

from __future__ import annotations

import json

import numpy as np

from qdqnp.evaluation.counts import ColumnCounts, Counts, no_counts
from qdqnp.quant import Array


def counted(
    here: Array, first: Array, labels: list[int] | None = None, start: int = 0, offset: int = 0
) -> ColumnCounts:
    found = ColumnCounts()
    names = [(start + row, f"{start + row}.png") for row in range(len(here))]
    found.count(names, labels or [0] * len(here), here, first, offset)
    return found


def test_bits_are_compared_and_not_values() -> None:
    zero, nan = np.float32([[0.0, 1.0]]), np.float32([[np.nan, 1.0]])
    assert counted(zero, zero).same_bits == counted(nan, nan.copy()).same_bits == 1
    minus = counted(-zero, zero)
    assert minus.same_bits == 0 and np.array_equal(-zero[:, :1], zero[:, :1])
    assert counted(np.float32([[-0.0, 1.0]]), zero).same_bits == 0


def test_other_types_have_no_bits_in_common() -> None:
    scores = np.float32([[0.5, 1.0]])
    assert counted(scores.view(np.int32), scores).same_bits == 0
    assert counted(scores.astype(np.float64), scores).same_bits == 0


def test_flips_have_the_names_of_their_inputs_and_an_offset_counts_for_both() -> None:
    first = np.float32([[0, 3, 1], [0, 1, 3], [3, 0, 1]])
    here = np.float32([[0, 3, 1], [0, 3, 1], [3, 0, 1]])
    found = counted(here, first, [0, 0, 1], start=4, offset=1)
    assert found.top1 == 2 and found.same_class == 2 and found.same_bits == 2
    (flip,) = found.flips
    assert (flip.index, flip.name, flip.label, flip.first, flip.here) == (5, "5.png", 0, 1, 0)
    assert found.confusion == {(0, 0): 2, (1, -1): 1}


def test_parts_add_up_in_any_order() -> None:
    rng = np.random.default_rng(0)
    first, here = rng.standard_normal((2, 12, 7)).astype(np.float32)
    here[::2] = first[::2]
    labels = rng.integers(0, 7, 12).tolist()
    whole = counted(here, first, labels)
    parts = []
    for start in (0, 5, 6):
        end = {0: 5, 5: 6, 6: 12}[start]
        made = no_counts(1)
        made.columns[0] = counted(here[start:end], first[start:end], labels[start:end], start)
        made.inputs = end - start
        parts.append(json.loads(json.dumps(made.as_json())))
    for order in ((0, 1, 2), (2, 0, 1)):
        total: Counts = no_counts(1)
        for at in order:
            total.add(parts[at])
        (column,) = total.columns
        assert total.inputs == 12 and column.confusion == whole.confusion
        assert (column.top1, column.top5, column.same_class, column.same_bits) == (
            *(whole.top1, whole.top5, whole.same_class, whole.same_bits),
        )
        assert sorted(column.flips) == sorted(whole.flips) and len(whole.flips) > 2
