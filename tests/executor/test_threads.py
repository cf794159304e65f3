"""BLAS is held to the number of threads that a run asks for."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import qdqnp
from qdqnp.executor import threads
from qdqnp.executor.threads import each, one_blas_thread
from tests.networks import dla


class Controller:
    """In place of threadpoolctl's: what is set and restored, in order."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def limit(self, limits: int, user_api: str) -> Any:
        self.seen.append((user_api, limits))
        return SimpleNamespace(restore_original_limits=lambda: self.seen.append("restored"))


@pytest.fixture
def controller(monkeypatch: pytest.MonkeyPatch) -> Controller:
    made = Controller()
    monkeypatch.setattr(threads, "_controller", lambda: made)
    return made


def net() -> tuple[qdqnp.Model, np.ndarray]:
    return qdqnp.load(dla(seed=2)), np.random.default_rng(0).standard_normal((1, 3, 16, 16), np.float32)


def test_runs_and_traces_hold_blas_to_one_thread_unless_told_otherwise(controller: Controller) -> None:
    model, x = net()
    model.run(x)
    model.trace(x)
    assert controller.seen == [("blas", 1), "restored"] * 2
    controller.seen.clear()
    model.run(x, threads=3)
    assert controller.seen == [("blas", 1), "restored"]
    controller.seen.clear()
    model.run(x, threads=None)
    assert controller.seen == []


def test_the_limit_is_lifted_after_an_error(controller: Controller) -> None:
    with pytest.raises(KeyError), one_blas_thread():
        raise KeyError
    assert controller.seen == [("blas", 1), "restored"]


def test_of_runs_at_the_same_time_the_first_sets_the_limit_and_the_last_lifts_it(controller: Controller) -> None:
    entered, leave = threading.Event(), threading.Event()

    def other() -> None:
        with one_blas_thread():
            entered.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    with one_blas_thread():
        thread.start()
        assert entered.wait(10)
    assert controller.seen == [("blas", 1)]
    leave.set()
    thread.join(10)
    assert controller.seen == [("blas", 1), "restored"]


def test_wrong_numbers_are_named_and_threadpoolctl_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = net()
    for run in (model.run, model.trace):
        with pytest.raises(qdqnp.InputError, match="threads: expected 1 or more, or None, got 0"):
            run(x, threads=0)
    monkeypatch.setattr(threads, "_controller", lambda: None)
    model.run(x, threads=2)


@pytest.mark.parametrize("count", [1, 2, 3, None])
def test_each_gives_results_in_order_and_raises_in_an_items_turn(count: int | None) -> None:
    def inverse(number: int) -> float:
        return 1 / number

    assert list(each(inverse, range(1, 50), count)) == [1 / number for number in range(1, 50)]
    found = each(inverse, [1, 2, 0, 4], count)
    assert [next(found), next(found)] == [1, 0.5]
    with pytest.raises(ZeroDivisionError):
        next(found)


def test_each_does_not_run_far_ahead() -> None:
    started: list[int] = []
    found = each(started.append, range(100), 2)
    next(found)
    assert len(started) <= 5
    found.close()  # type: ignore[attr-defined]
    assert len(started) <= 5


def test_threadpoolctl_itself_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    threadpoolctl = pytest.importorskip("threadpoolctl")
    threads._controller.cache_clear()

    def counts() -> set[int]:
        return {item["num_threads"] for item in threadpoolctl.threadpool_info() if item["user_api"] == "blas"}

    before = counts()
    with one_blas_thread():
        assert counts() == {1}
    assert counts() == before
