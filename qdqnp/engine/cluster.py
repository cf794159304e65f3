"""A Dask cluster as the place where shards are computed. Dask is imported in this file alone."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

from qdqnp.engine.job import Job, Shard
from qdqnp.engine.pools import Answer, Parcel
from qdqnp.errors import EngineError, Problem, shorten

# How long to wait for the scheduler, and then for its first worker.
PATIENCE_SECONDS = 5.0
# Shards that are under way at least: workers may join at any time.
_LEAST = 16


class ClusterPool:
    """The workers of a Dask scheduler, through the executor of Dask's own client."""

    def __init__(self, job: Job, address: str) -> None:
        """Connect, and send the job to every worker. Raises EngineError where Dask is missing, the scheduler is not
        reached or has no workers."""
        self._address, self._parcel = address, Parcel(job)
        self._client = _client(address)
        try:
            threads = sum(self._client.nthreads().values())
            self.width = max(_LEAST, 2 * threads)
            self._executor = self._client.get_executor(pure=False)
            self._send()
        except BaseException:
            self._client.close(timeout=PATIENCE_SECONDS)
            raise

    def _send(self) -> None:
        """Give every worker the parts, by their hashes: Dask moves them on to those that join later."""
        parts = {f"qdqnp-{name}": part for name, part in zip(self._parcel.names, self._parcel.parts, strict=True)}
        self._parts = tuple(self._client.scatter(parts, broadcast=True, timeout=PATIENCE_SECONDS).values())

    def submit(self, shard: Shard, *, whole: bool = False) -> Future[Answer]:
        return self._parcel.given_to(self._executor, shard, *self._parts)

    def renew(self) -> bool:
        self._send()
        return True

    def close(self, now: bool) -> None:
        self._executor.shutdown(wait=False)
        self._client.close(timeout=PATIENCE_SECONDS)

    def meaning(self, error: Exception, shard: Shard) -> Exception:
        from distributed.scheduler import KilledWorker

        if isinstance(error, KilledWorker):
            got = f"several workers ended under it ({shorten(str(error))})"
            problem = Problem(f"shard {shard.index}", "a worker that finishes it", got, "Make shards smaller.")
            return EngineError("workers were lost", [problem])
        if isinstance(error, ImportError | AttributeError) and "qdqnp" in str(error):
            problem = Problem("a worker", "this version of qdqnp", shorten(str(error)), "Install it where workers run.")
            return EngineError("a worker does not have this version of qdqnp", [problem])
        return error


def _client(address: str) -> Any:
    """Return a client that is connected to a scheduler with workers."""
    try:
        import distributed
    except ImportError as error:
        hint = "Install it: pip install 'qdqnp[cluster]'."
        raise EngineError("Dask is missing", [Problem("package distributed", "installed", "missing", hint)]) from error
    connect: Any = distributed.Client
    where, hint = (
        f"scheduler {shorten(address)}",
        "Start one with `dask scheduler`, and workers with `dask worker ADDRESS`.",
    )
    try:
        client: Any = connect(address, timeout=PATIENCE_SECONDS, set_as_default=False)
    except (OSError, ValueError, TypeError, ImportError) as error:
        problem = Problem(where, "a Dask scheduler that answers", shorten(f"{error}"), hint)
        raise EngineError("the scheduler is not reached", [problem]) from error
    try:
        client.wait_for_workers(1, timeout=PATIENCE_SECONDS)
    except BaseException as error:
        client.close(timeout=PATIENCE_SECONDS)
        if not isinstance(error, OSError | TimeoutError):
            raise
        problem = Problem(where, "at least one worker", "none", hint)
        raise EngineError("the scheduler has no workers", [problem]) from error
    return client
