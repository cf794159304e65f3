"""A search finds the same inputs wherever they are computed, and however many are tried ahead."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qdqnp
from qdqnp.model import Model
from qdqnp.stimuli import StimulusSet, for_network
from qdqnp.stimuli.coverage import Coverage
from qdqnp.stimuli.network import change
from qdqnp.stimuli.patterns import Slot
from tests.networks import dla


@pytest.fixture(scope="module")
def model() -> Model:
    return qdqnp.load(dla(seed=1))


def search(model: Model, calls: list[None], **where: Any) -> StimulusSet:
    pair = ("tflite", "tflite-single")
    notify = lambda: calls.append(None)  # noqa: E731
    return for_network(model, "tflite", against=pair, count=2, steps=9, seed=3, notify=notify, **where)


def fields_of(found: StimulusSet) -> list[Any]:
    """All that a search found, as values that can be compared."""
    return [
        (
            stimulus.kind,
            stimulus.method,
            stimulus.differing,
            {name: array.tobytes() for name, array in stimulus.inputs.items()},
            {label: coverage.as_partial() for label, coverage in stimulus.coverage.items()},
        )
        for stimulus in found.stimuli
    ]


class Counting(ThreadPoolExecutor):
    """Threads that count what they are given."""

    given = 0

    def submit(self, *arguments: Any, **options: Any) -> Any:
        self.given += 1
        return super().submit(*arguments, **options)


def test_the_same_inputs_are_found_whoever_computes_them(model: Model, tmp_path: Path) -> None:
    calls: list[None] = []
    alone = search(model, calls)
    tried = len(calls)
    assert len(alone.stimuli) == 11 and tried == 5 + 2 + 2 * 9 * 2
    with Counting(2) as executor:
        for ahead in (2, 7):
            calls.clear()
            found = search(model, calls, executor=executor, workers=ahead, results=tmp_path)
            assert fields_of(found) == fields_of(alone) and len(calls) == tried
    assert executor.given > tried  # some were tried ahead in vain
    kept = len(list(tmp_path.iterdir()))
    assert tried <= kept
    again = search(model, [], results=tmp_path)
    assert fields_of(again) == fields_of(alone) and len(list(tmp_path.iterdir())) == kept


def test_coverage_crosses_whole() -> None:
    seen = np.zeros(256, bool)
    seen[[0, 255]] = True
    one = Coverage(5, None, 2, 0, 1, None, seen, np.zeros(0, bool), -(2**40), 3)
    other = Coverage.from_partial(one.as_partial())
    assert other.as_partial() == one.as_partial() and other.as_json() == one.as_json()
    np.testing.assert_array_equal(other.seen, seen, strict=True)
    np.testing.assert_array_equal(other.reached, one.reached, strict=True)


@pytest.mark.parametrize("shape", [(), (3,), (2, 0, 4), (1, 2, 5, 5)])
def test_a_change_is_a_box_of_new_codes(shape: tuple[int, ...]) -> None:
    """The same whatever it is applied to, and nothing outside of the box."""
    slot = Slot(np.dtype(np.int8), shape, 3)
    for seed in range(20):
        made = change(slot, np.random.default_rng(seed))
        first, second = (np.full(shape, value, np.int8) for value in (1, 2))
        one, other = made(first), made(second)
        assert one.shape == other.shape == shape and (first == 1).all()
        inside = one == other
        assert ((one == 1) | inside).all() and ((other == 2) | inside).all()
