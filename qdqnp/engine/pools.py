"""Where shards are computed: each pool gives work to a concurrent.futures.Executor, and to nothing else."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, Protocol

from qdqnp.engine.job import Job, Shard, Task, encoded, key_of
from qdqnp.engine.worker import DONE, forget, versions_here, work

Answer = tuple[str, Any]


class WorkerPool(Protocol):
    """Workers that compute shards of one job."""

    #: How many shards are under way at most.
    width: int

    def submit(self, shard: Shard, *, whole: bool = False) -> Future[Answer]:
        """Begin a shard.

        whole: whether to send the job and its blobs with it, to a worker that does not have them.
        """

    def renew(self) -> bool:
        """Start again after workers were lost; False where only who made the executor could."""

    def meaning(self, error: Exception, shard: Shard) -> Exception:
        """Return an error of a shard as the user should read it."""

    def close(self, now: bool) -> None:
        """Let the workers go.

        now: whether to leave undone what is under way.
        """


class Parcel:
    """A job as it is sent to workers."""

    def __init__(self, job: Job) -> None:
        pickled = pickle.dumps(job)
        blobs = job.blobs()
        #: sha256 of the job's pickle, and then of its blobs.
        self.names: tuple[str, ...] = (key_of(pickled), *blobs)
        #: The pickle and the blobs.
        self.parts: tuple[bytes, ...] = (pickled, *blobs.values())

    def given_to(self, executor: Executor, shard: Shard, *sent: Any) -> Future[Answer]:
        """Give a shard to an executor.

        sent: the parts, or what the executor's workers see as the parts.
        """
        return executor.submit(work, versions_here(), self.names, pickle.dumps(shard.items), *sent)


class _Simple:
    """What most pools have in common."""

    def renew(self) -> bool:
        return False

    def meaning(self, error: Exception, shard: Shard) -> Exception:
        return error


class GivenPool(_Simple):
    """An executor that the caller made. Its workers get the job with a shard, once they said that they miss it."""

    def __init__(self, job: Job, executor: Executor, width: int) -> None:
        self.width = width
        self._parcel, self._executor = Parcel(job), executor

    def submit(self, shard: Shard, *, whole: bool = False) -> Future[Answer]:
        return self._parcel.given_to(self._executor, shard, *(self._parcel.parts if whole else ()))

    def close(self, now: bool) -> None:
        forget(self._parcel.names[0])


class InProcess(Executor):
    """Computes what it is given at once, in this process."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        made: Future[Any] = Future()
        try:
            made.set_result(fn(*args, **kwargs))
        except Exception as error:  # Ctrl-C goes on to the caller
            made.set_exception(error)
        return made


class OwnPool(_Simple):
    """This process alone. Nothing is pickled, and the job is prepared as it is."""

    width = 1

    def __init__(self, job: Job) -> None:
        self._job, self._executor = job, InProcess()
        self._task: Task | None = None

    def submit(self, shard: Shard, *, whole: bool = False) -> Future[Answer]:
        return self._executor.submit(self._answer, shard.items)

    def _answer(self, items: Any) -> Answer:
        self._task = self._task or self._job.prepare(self._job.blobs())
        return DONE, encoded(self._task(items))

    def close(self, now: bool) -> None:
        self._task = None
