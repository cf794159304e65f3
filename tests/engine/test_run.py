"""The engine in this process, in processes of this machine and in an executor that is handed in: the same results."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from qdqnp.engine import Blobs, Shard, each_shard, key_of, run_shards, worker
from qdqnp.engine.processes import PATIENCE_SECONDS, ProcessPool
from qdqnp.errors import EngineError, InputError, MoreProblems, Problem, ProfileError
from tests.engine.jobs import Sums, Threads, expected, noted, shards

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_results_are_the_same_for_any_number_of_workers_and_come_in_order(tmp_path: Path, workers: int) -> None:
    seen: list[tuple[int, Any]] = []
    job = Sums(tmp_path)
    found = run_shards(job, shards(7), workers=workers, progress=lambda shard, part: seen.append((shard.index, part)))
    assert found == expected(7)
    assert sorted(seen, key=lambda one: one[0]) == list(enumerate(expected(7)))
    prepared = noted(tmp_path, "prepared")
    assert len(set(prepared)) == len(prepared) <= workers  # once in each process
    assert (os.getpid() in prepared) == (workers == 1)


def test_no_shards_are_no_results_and_one_needs_no_process(tmp_path: Path) -> None:
    assert run_shards(Sums(tmp_path), [], workers=2) == []
    assert run_shards(Sums(tmp_path), shards(1), workers=2) == expected(1)
    assert set(noted(tmp_path, "prepared")) == {os.getpid()}


def test_shards_are_made_as_they_are_needed(tmp_path: Path) -> None:
    made: list[int] = []

    def endless() -> Iterator[Shard]:
        for index in range(10**9):
            made.append(index)
            yield Shard(index, [index], key_of(index))

    with ThreadPoolExecutor(2) as executor:
        found = each_shard(Sums(tmp_path), endless(), executor=executor, workers=2)
        assert [next(found)["of"] for _ in range(20)] == [[index] for index in range(20)]
        found.close()
    assert len(made) < 60


class Slow(Sums):
    """Takes its time for the first number."""

    def _sum(self, items: Any, more: int) -> Any:
        time.sleep(0.3 if 0 in items else 0)
        return super()._sum(items, more)


def test_after_a_shard_that_failed_no_other_is_begun(tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as executor, pytest.raises(InputError, match="number 4"):
        run_shards(Slow(tmp_path, wrong=4), shards(20), executor=executor, workers=1)  # 4 is of the second shard
    assert [path.name.split(".")[0] for path in tmp_path.glob("done-*")] == ["done-0"]


def test_no_more_is_done_ahead_of_a_slow_shard_than_a_little(tmp_path: Path) -> None:
    done: list[int] = []
    with ThreadPoolExecutor(2) as executor:
        parts = each_shard(
            Slow(tmp_path),
            shards(200),
            executor=executor,
            workers=1,
            progress=lambda shard, _: done.append(shard.index),
        )
        assert next(parts)["of"] == [0, 1, 2]
        assert done[-1] == 0 and len(done) <= 10
        parts.close()


def test_processes_have_one_thread_of_blas_and_leave_ctrl_c_to_the_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("MKL_NUM_THREADS", "3")
    found = run_shards(Threads(), shards(4), workers=2)
    for one in found:
        assert set(one["blas"]) <= {1} and one["said"] == ["1", "1", "3"] and one["interrupt"]
    assert os.getpid() not in {one["pid"] for one in found}
    assert "OPENBLAS_NUM_THREADS" not in os.environ and os.environ["MKL_NUM_THREADS"] == "3"


# -- executors that are handed in --------------------------------------------------------------------------------------
class Counting(Executor):
    """Threads that count the bytes that each call would send."""

    def __init__(self) -> None:
        self.inner, self.sent = ThreadPoolExecutor(2), list[int]()

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.sent.append(len(pickle.dumps((args, kwargs))))
        return self.inner.submit(fn, *args, **kwargs)


def test_an_executor_gets_the_model_once_and_not_with_every_shard(tmp_path: Path) -> None:
    executor = Counting()
    found = run_shards(Sums(tmp_path, Blobs(bytes(10**6))), shards(12), executor=executor, workers=1)
    executor.inner.shutdown()
    assert [one["of"] for one in found] == [one["of"] for one in expected(12)]
    large = [size for size in executor.sent if size > 10**6]
    assert len(large) <= 2  # as many as were under way when the first said that the model is missing
    assert max(size for size in executor.sent if size not in large) < 1000
    assert len(noted(tmp_path, "prepared")) == 1
    assert not worker._prepared  # the threads are of this process: nothing may stay


def test_an_executor_stands_beside_no_scheduler(tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as executor, pytest.raises(InputError, match="two places to compute"):
        run_shards(Sums(tmp_path), shards(1), executor=executor, scheduler="tcp://127.0.0.1:1")


def test_no_workers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="1 or more"):
        run_shards(Sums(tmp_path), shards(1), workers=0)


# -- errors ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_ours_crosses_with_its_problems(tmp_path: Path, workers: int) -> None:
    with pytest.raises(InputError) as caught:
        run_shards(Sums(tmp_path, wrong=10), shards(8), workers=workers)
    assert caught.value.problems == (Problem("number 10", "a good one", "a bad one", "Mend it."),)
    assert {"done-0", "done-3", "done-6"} <= {path.name.split(".")[0] for path in tmp_path.iterdir()}


@pytest.mark.parametrize("kind", [InputError, ProfileError, EngineError])
def test_errors_can_be_pickled(kind: type[InputError]) -> None:
    error = kind("title", [Problem("here", "this", "that"), MoreProblems("... and 3 more", "", "")], ["Do so."])
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind and str(again) == str(error) and again.problems == error.problems
    assert type(again.problems[1]) is MoreProblems and again.advice == ("Do so.",)


def test_a_partial_result_that_json_does_not_have_is_an_error() -> None:
    class Odd(Threads):
        def prepare(self, blobs: Any) -> Any:
            return lambda items: float("nan")

    with pytest.raises(ValueError, match="JSON"):
        run_shards(Odd(), shards(1), workers=1)


# -- lost workers ------------------------------------------------------------------------------------------------------
def test_a_lost_worker_costs_its_shard(tmp_path: Path) -> None:
    assert run_shards(Sums(tmp_path, deadly=10, once=True), shards(8), workers=2) == expected(8)
    assert len(noted(tmp_path, "dying")) == 1
    assert len(noted(tmp_path, "done-9")) == 1


def test_a_shard_that_ends_every_worker_is_named(tmp_path: Path) -> None:
    with pytest.raises(EngineError) as caught:
        run_shards(Sums(tmp_path, deadly=10), shards(8), workers=2)
    (problem,) = caught.value.problems
    assert (problem.where, problem.got) == ("shard 3", "its worker ended 2 times")
    assert len(noted(tmp_path, "dying")) <= 4


def test_workers_that_are_always_lost_end_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qdqnp.engine.run.MAX_LOST", 0)
    with pytest.raises(EngineError, match="workers were lost"):
        run_shards(Sums(tmp_path, deadly=1, once=True), shards(8), workers=2)


def test_processes_end_with_their_parent(tmp_path: Path) -> None:
    """Also where it is killed, and cannot say so."""
    code = f"""
from pathlib import Path
from tests.engine.jobs import Sums, shards
from qdqnp.engine import run_shards
if __name__ == "__main__":
    run_shards(Sums(Path({str(tmp_path)!r}), seconds=0.1), shards(1000), workers=2)
"""
    script = tmp_path / "script.py"
    script.write_text(code)
    with subprocess.Popen([sys.executable, str(script)], env={**os.environ, "PYTHONPATH": str(ROOT)}) as process:
        pids = set(until(lambda: noted(tmp_path, "done-*"), 2))
        process.kill()
    until(lambda: [pid for pid in pids if not alive(pid)], len(pids))


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def until(found: Any, count: int, seconds: float = 30.0) -> Any:
    """Wait until so many are found."""
    end = time.monotonic() + seconds
    while len(found()) < count:
        assert time.monotonic() < end, found()
        time.sleep(0.02)
    return found()


# -- versions ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "other", [(("qdqnp", "0.0.9"), worker.versions_here()[1]), (worker.versions_here()[0], ("numpy", "1.0"))]
)
def test_a_worker_with_another_version_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: worker.Versions
) -> None:
    here, caller = worker.versions_here(), threading.current_thread()
    monkeypatch.setattr(worker, "versions_here", lambda: here if threading.current_thread() is caller else other)
    ((name, theirs),) = set(other) - set(here)
    with ThreadPoolExecutor(1) as executor, pytest.raises(EngineError) as caught:
        run_shards(Sums(tmp_path), shards(2), executor=executor)
    (problem,) = caught.value.problems
    assert problem.expected == f"{name} {dict(here)[name]}, as here" and problem.got == f"{name} {theirs}"
    assert list(tmp_path.iterdir()) == []


# -- Ctrl-C ------------------------------------------------------------------------------------------------------------
def test_ctrl_c_ends_the_processes_and_the_next_run_goes_on(tmp_path: Path) -> None:
    """In this process: what a shell does to a command is tested with the commands."""
    notes, results = tmp_path / "notes", tmp_path / "results"
    notes.mkdir()

    def stop(shard: Shard, partial: Any) -> None:
        if shard.index >= 4:
            signal.raise_signal(signal.SIGINT)

    job = Sums(notes, seconds=0.02)
    with pytest.raises(KeyboardInterrupt):
        run_shards(job, shards(30), workers=2, results=results, progress=stop)
    pids = noted(notes, "prepared")
    assert pids and not [pid for pid in pids if alive(pid)]
    kept = len(list(results.iterdir()))
    assert 4 <= kept < 30
    done = {path.name.split(".")[0] for path in notes.glob("done-*")}
    for path in notes.iterdir():
        path.unlink()
    assert run_shards(job, shards(30), workers=2, results=results) == expected(30)
    again = {path.name.split(".")[0] for path in notes.glob("done-*")}
    assert len(again) == 30 - kept and len(done & again) <= 4  # under way when it was interrupted


def test_ctrl_c_does_not_wait_for_a_long_shard(tmp_path: Path) -> None:
    def interrupted() -> Iterator[Shard]:
        yield from shards(2)
        until(lambda: noted(tmp_path, "prepared"), 1)
        starts.append(time.monotonic())
        raise KeyboardInterrupt

    starts: list[float] = []
    with pytest.raises(KeyboardInterrupt):
        run_shards(Sums(tmp_path, seconds=60), interrupted(), workers=2)
    assert time.monotonic() - starts[0] < PATIENCE_SECONDS  # after which they are killed
    assert not [pid for pid in noted(tmp_path, "prepared") if alive(pid)]


def test_sigterm_is_as_ctrl_c(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_shards(Sums(tmp_path), shards(4), workers=1, progress=lambda *_: signal.raise_signal(signal.SIGTERM))
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_it_runs_in_a_thread_too(tmp_path: Path) -> None:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(run_shards(Sums(tmp_path), shards(3), workers=2)))
    thread.start()
    thread.join()
    assert found == [expected(3)]


def test_a_pool_can_be_made_again(tmp_path: Path) -> None:
    pool = ProcessPool(Sums(tmp_path), 1)
    first = pool.submit(shards(1)[0]).result()
    assert pool.renew()
    assert pool.submit(shards(1)[0]).result() == first
    pool.close(now=False)
