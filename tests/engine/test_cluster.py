"""A Dask cluster, started by Dask's own commands: the same results as here, whatever becomes of its workers."""

from __future__ import annotations

import gc
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from qdqnp.engine import cluster, run_shards
from qdqnp.engine.pools import Parcel
from qdqnp.engine.worker import versions_here
from qdqnp.errors import EngineError
from tests.engine.jobs import Sums, expected, noted, shards

pytest.importorskip("distributed")
ROOT = Path(__file__).parents[2]
DASK = [sys.executable, "-m", "dask"]


@contextmanager
def command(*words: str) -> Iterator[subprocess.Popen[bytes]]:
    """One of Dask's commands while it runs."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DASK_LOGGING__DISTRIBUTED": "error"}
    with subprocess.Popen([*DASK, *words], env=environment, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    port = free_port()
    with command("scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"):
        yield f"tcp://127.0.0.1:{port}"


@contextmanager
def worker(scheduler: str, folder: Path, *more: str) -> Iterator[subprocess.Popen[bytes]]:
    local = ("--local-directory", str(folder), "--no-dashboard", "--no-nanny", "--nthreads", "1")
    with command("worker", scheduler, *local, *more) as process:
        yield process


def wait_for(address: str, count: int) -> None:
    """Wait until a scheduler has exactly so many workers: those of an earlier test may still be leaving."""
    from distributed import Client

    with Client(address, timeout=60, set_as_default=False) as client:
        end = time.monotonic() + 60
        while len(client.scheduler_info()["workers"]) != count:
            assert time.monotonic() < end
            time.sleep(0.05)


def test_a_cluster_gives_the_same_results_and_has_the_model_once(scheduler: str, tmp_path: Path) -> None:
    with worker(scheduler, tmp_path), worker(scheduler, tmp_path):
        wait_for(scheduler, 2)
        notes = tmp_path / "notes"
        notes.mkdir()
        sizes: list[int] = []
        given = Parcel.given_to

        def counting(self: Parcel, executor: Any, shard: Any, *sent: Any) -> Any:
            sizes.extend(len(one) for one in sent if isinstance(one, bytes))
            return given(self, executor, shard, *sent)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Parcel, "given_to", counting)
            found = run_shards(Sums(notes, seconds=0.02), shards(20), scheduler=scheduler)
        assert found == expected(20) == run_shards(Sums(notes), shards(20), workers=1)
        assert sizes == []  # no shard carries it
        prepared = [pid for pid in noted(notes, "prepared") if pid != os.getpid()]
        assert len(prepared) == len(set(prepared)) == 2  # and each worker prepares it once


def test_a_killed_worker_costs_its_shard(scheduler: str, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    with worker(scheduler, tmp_path), worker(scheduler, tmp_path):
        wait_for(scheduler, 2)
        job = Sums(notes, seconds=0.05, deadly=13, once=True)
        assert run_shards(job, shards(20), scheduler=scheduler) == expected(20)
        assert len(noted(notes, "dying")) == 1 and len(set(noted(notes, "prepared"))) == 2


def test_ctrl_c_keeps_what_is_finished(scheduler: str, tmp_path: Path) -> None:
    notes, results = tmp_path / "notes", tmp_path / "results"
    notes.mkdir()
    with worker(scheduler, tmp_path):
        wait_for(scheduler, 1)
        job = Sums(notes, seconds=0.02)

        def stop(shard: Any, partial: Any) -> None:
            if shard.index == 4:
                signal.raise_signal(signal.SIGINT)

        with pytest.raises(KeyboardInterrupt):
            run_shards(job, shards(20), scheduler=scheduler, results=results, progress=stop)
        kept = len(list(results.iterdir()))
        assert 4 <= kept < 20
        assert run_shards(job, shards(20), workers=1, results=results) == expected(20)
        assert noted(notes, "done-*").count(os.getpid()) == 20 - kept


@pytest.mark.parametrize(
    ("preload", "problem"),
    [
        ("from qdqnp import version\nversion.__version__ = '0.0.9'\n", ("qdqnp", "0.0.9")),
        ("import numpy\nnumpy.__version__ = '1.99'\n", ("numpy", "1.99")),
    ],
)
def test_a_worker_with_another_version_is_refused(
    scheduler: str, tmp_path: Path, preload: str, problem: tuple[str, str]
) -> None:
    (tmp_path / "other.py").write_text(preload)
    with worker(scheduler, tmp_path, "--preload", str(tmp_path / "other.py")):
        wait_for(scheduler, 1)
        with pytest.raises(EngineError) as caught:
            run_shards(Sums(tmp_path), shards(4), scheduler=scheduler)
    (found,) = caught.value.problems
    name, version = problem
    here = dict(versions_here())
    assert (found.expected, found.got) == (f"{name} {here[name]}, as here", f"{name} {version}")
    assert not noted(tmp_path, "prepared")


def test_a_shard_that_ends_every_worker_is_named(scheduler: str, tmp_path: Path) -> None:
    """With a nanny, which starts workers again."""
    local = ("--local-directory", str(tmp_path), "--no-dashboard", "--nthreads", "1")
    with command("worker", scheduler, *local):
        wait_for(scheduler, 1)
        with pytest.raises(EngineError) as caught:
            run_shards(Sums(tmp_path, deadly=4), shards(3), scheduler=scheduler)
    assert caught.value.problems[0].where == "shard 1"


def test_a_scheduler_without_workers_is_an_error_in_seconds(
    scheduler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait_for(scheduler, 0)
    monkeypatch.setattr(cluster, "PATIENCE_SECONDS", 1.0)
    with pytest.raises(EngineError, match="no workers"):
        run_shards(Sums(tmp_path), shards(3), scheduler=scheduler)


WITHOUT = """
import sys

class Without:
    def find_spec(self, name, *others):
        if name.partition(".")[0] == "qdqnp":
            raise ModuleNotFoundError("No module named 'qdqnp'")

sys.meta_path.insert(0, Without())
"""


def test_a_worker_without_qdqnp_is_refused(scheduler: str, tmp_path: Path) -> None:
    """It cannot say its version itself."""
    (tmp_path / "without.py").write_text(WITHOUT)
    with worker(scheduler, tmp_path, "--preload", str(tmp_path / "without.py")):
        wait_for(scheduler, 1)
        with pytest.raises(EngineError, match="other versions") as caught:
            run_shards(Sums(tmp_path), shards(3), scheduler=scheduler)
    assert caught.value.problems[0].got == "qdqnp missing" and "worker tcp://" in caught.value.problems[0].where


def test_a_scheduler_that_ends_is_an_error_and_what_is_finished_is_kept(tmp_path: Path) -> None:
    notes, results, port = tmp_path / "notes", tmp_path / "results", free_port()
    notes.mkdir()
    address = f"tcp://127.0.0.1:{port}"
    with (
        command("scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard") as process,
        worker(address, tmp_path),
        pytest.MonkeyPatch.context() as patch,
    ):
        wait_for(address, 1)
        patch.setattr(cluster, "PATIENCE_SECONDS", 1.0)

        def end(shard: Any, partial: Any) -> None:
            if shard.index == 3:
                process.kill()

        with pytest.raises(EngineError, match="the scheduler is not reached"):
            run_shards(Sums(notes, seconds=0.05), shards(20), scheduler=address, results=results, progress=end)
    assert 4 <= len(list(results.iterdir())) < 20


@pytest.mark.parametrize(
    "address", ["tcp://127.0.0.1:{port}", "127.0.0.1:{port}", "x://y", "tcp://", "", "tcp://127.0.0.1:abc"]
)
def test_a_scheduler_that_is_not_reached_is_an_error_in_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setattr(cluster, "PATIENCE_SECONDS", 1.0)
    start = time.monotonic()
    with pytest.raises(EngineError, match="not reached") as caught:
        run_shards(Sums(tmp_path), shards(3), scheduler=address.format(port=free_port()))
    assert caught.value.problems[0].where.startswith("scheduler ")
    assert time.monotonic() - start < 20


def test_what_listens_but_is_no_scheduler_leaves_no_client_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that is collected while another one starts waits for ever for the lock that the other holds."""
    from distributed import Client

    monkeypatch.setattr(cluster, "PATIENCE_SECONDS", 1.0)
    gc.collect()
    before = {id(item) for item in gc.get_objects() if isinstance(item, Client)}
    with socket.create_server(("127.0.0.1", 0)) as server:
        with pytest.raises(EngineError, match="not reached"):
            run_shards(Sums(tmp_path), shards(3), scheduler=f"tcp://127.0.0.1:{server.getsockname()[1]}")
        assert not [item for item in gc.get_objects() if isinstance(item, Client) and id(item) not in before]


def test_without_dask_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(EngineError, match=r"pip install 'qdqnp\[cluster\]'"):
        run_shards(Sums(tmp_path), shards(3), scheduler="tcp://127.0.0.1:1")
