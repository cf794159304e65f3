"""BLAS is held to the number of threads that a run asks for."""

from __future__ import annotations

import threading
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

import qdqnp
from qdqnp.executor import threads
from qdqnp.executor.threads import Crew, each, one_blas_thread
from tests.networks import dla


class Library:
    """In place of threadpoolctl's view of a BLAS: what is set, in order."""

    def __init__(self, num_threads: int) -> None:
        self.num_threads = num_threads
        self.seen: list[int] = []

    def set_num_threads(self, count: int) -> None:
        self.num_threads = count
        self.seen.append(count)


@pytest.fixture
def blas(monkeypatch: pytest.MonkeyPatch) -> Library:
    """A BLAS of four threads, beside one that has a single thread and is never set."""
    made, single = Library(4), Library(1)
    monkeypatch.setattr(threads, "_controller", lambda: SimpleNamespace(lib_controllers=[single, made]))
    monkeypatch.setattr(single, "set_num_threads", None)
    return made


def net() -> tuple[qdqnp.Model, np.ndarray]:
    return qdqnp.load(dla(seed=2)), np.random.default_rng(0).standard_normal((1, 3, 16, 16), np.float32)


def test_runs_and_traces_hold_blas_to_one_thread_unless_told_otherwise(blas: Library) -> None:
    model, x = net()
    model.run(x)
    model.trace(x)
    assert blas.seen == [1, 4] * 2
    blas.seen.clear()
    model.run(x, threads=3)
    assert blas.seen == [1, 4]
    blas.seen.clear()
    model.run(x, threads=None)
    assert blas.seen == [1, 4]
    blas.seen.clear()
    model.run(x, strategy="float64", threads=None)  # step by step
    assert blas.seen == []


def test_jobs_are_done_at_the_same_time_and_all_are_done_when_one_fails() -> None:
    crew, meet, done = Crew(3), threading.Barrier(3, timeout=60), []

    def job(number: int) -> None:
        meet.wait()
        if number == 1:
            raise KeyError(number)
        done.append(number)

    with crew.at_work(), pytest.raises(KeyError, match="1"):
        crew.together([partial(job, number) for number in range(3)])
    assert sorted(done) == [0, 2]
    with Crew(1).at_work():  # the caller's thread alone: there is nothing to do together
        pass


def test_the_limit_is_lifted_after_an_error(blas: Library) -> None:
    with pytest.raises(KeyError), one_blas_thread():
        raise KeyError
    assert blas.seen == [1, 4]


def test_of_runs_at_the_same_time_the_first_sets_the_limit_and_the_last_lifts_it(blas: Library) -> None:
    entered, leave = threading.Event(), threading.Event()

    def other() -> None:
        with one_blas_thread():
            entered.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    with one_blas_thread():
        thread.start()
        assert entered.wait(10)
    assert blas.seen == [1]
    leave.set()
    thread.join(10)
    assert blas.seen == [1, 4]


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
