"""The processes of this machine: started afresh (spawn), each with BLAS on one thread, and gone when the run ends."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any

from qdqnp.engine.job import Job, Shard
from qdqnp.engine.pools import Answer, Parcel
from qdqnp.engine.worker import begin

# What the kinds of BLAS that NumPy comes with read when they are loaded.
_ONE_THREAD = (
    "OPENBLAS_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
# How long a process that was told to end may take.
PATIENCE_SECONDS = 5.0


class ProcessPool:
    """So many processes of this machine, which have the job from their start on."""

    def __init__(self, job: Job, workers: int) -> None:
        self.width = 2 * workers  # so that a worker never waits for the next shard
        self._parcel, self._workers = Parcel(job), workers
        self._start()

    def _start(self) -> None:
        self._context = _Noting()
        sent = (self._parcel.names, self._parcel.parts)
        self._executor = ProcessPoolExecutor(self._workers, self._context, initializer=begin, initargs=sent)

    def submit(self, shard: Shard, *, whole: bool = False) -> Future[Answer]:
        with _one_thread(), _no_interrupt():  # the executor starts its processes when it is given work
            return self._parcel.given_to(self._executor, shard)

    def renew(self) -> bool:
        self.close(now=True)
        self._start()
        return True

    def meaning(self, error: Exception, shard: Shard) -> Exception:
        return error

    def close(self, now: bool) -> None:
        if now:
            for process in self._context.started:
                process.terminate()
        self._executor.shutdown(wait=not now, cancel_futures=True)
        for process in self._context.started if now else ():
            process.join(PATIENCE_SECONDS)
            if process.is_alive():
                process.kill()


class _Noting(SpawnContext):
    """Notes the processes that are started."""

    def __init__(self) -> None:
        super().__init__()
        self.started: list[SpawnProcess] = []

    def Process(self, *args: Any, **options: Any) -> SpawnProcess:  # type: ignore[override]  # noqa: N802
        self.started.append(SpawnProcess(*args, **options))
        return self.started[-1]


@contextmanager
def _one_thread() -> Iterator[None]:
    """Have processes that are started meanwhile hold BLAS to one thread, unless the user says otherwise."""
    new = [name for name in _ONE_THREAD if name not in os.environ]
    os.environ.update(dict.fromkeys(new, "1"))
    try:
        yield
    finally:
        for name in new:
            os.environ.pop(name, None)


@contextmanager
def _no_interrupt() -> Iterator[None]:
    """Have processes that are started meanwhile never see a Ctrl-C, not even before they are ready; this one sees it
    afterwards."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows: they ignore it once they are ready
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
