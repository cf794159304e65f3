"""A Dask cluster as the place where shards are computed. Dask is imported in this file alone."""

from __future__ import annotations

import gc
import socket
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future
from typing import Any

from qdqnp.engine.job import Job, Shard
from qdqnp.engine.pools import Answer, Parcel
from qdqnp.engine.worker import other_versions, versions_here
from qdqnp.errors import EngineError, Problem, shorten

# How long to wait for the scheduler, and then for its first worker.
PATIENCE_SECONDS = 5.0
# Where a scheduler listens whose address names no port.
DEFAULT_PORT = 8786
# How long to wait for a worker to come back, once all were lost.
RETURN_SECONDS = 60.0
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
            self._check_versions()
            threads = sum(self._client.nthreads().values())
            self.width = max(_LEAST, 2 * threads)
            self._executor = self._client.get_executor(pure=False)
            self._send(PATIENCE_SECONDS)
        except BaseException:
            self._client.close(timeout=PATIENCE_SECONDS)
            raise

    def _check_versions(self) -> None:
        """Raise EngineError for a worker with other versions: before it is sent what it may not be able to read. Those
        that join later say their versions themselves."""
        here = dict(versions_here())
        for address, found in sorted(self._client.run(_question(), on_error="return").items()):
            theirs = found if isinstance(found, dict) else {}
            if theirs != here:
                raise other_versions(theirs, f"worker {address}")

    def _send(self, patience: float) -> None:
        """Give every worker the parts, by their hashes: Dask moves them on to those that join later.

        patience: how many seconds to wait for the first worker.
        """
        parts = {f"qdqnp-{name}": part for name, part in zip(self._parcel.names, self._parcel.parts, strict=True)}
        try:
            self._client.wait_for_workers(1, timeout=patience)
            self._parts = tuple(self._client.scatter(parts, broadcast=True, timeout=PATIENCE_SECONDS).values())
        except OSError as error:
            problem = Problem(
                f"scheduler {shorten(self._address)}", "to pass the job to its workers", shorten(f"{error}")
            )
            raise EngineError("the scheduler is not reached, or its workers are not", [problem]) from error

    def submit(self, shard: Shard, *, whole: bool = False) -> Future[Answer]:
        try:
            return self._parcel.given_to(self._executor, shard, *self._parts)
        except (RuntimeError, OSError) as error:  # the client is closed, because the scheduler is gone
            raise BrokenExecutor(f"{error}") from error

    def renew(self) -> bool:
        self._send(RETURN_SECONDS)
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
        return error


def _question() -> Callable[[], dict[str, str]]:
    """Return a function that tells a worker's versions. Dask sends one that is defined in another as its code, so that
    a worker without qdqnp can read it, and fail."""

    def versions() -> dict[str, str]:
        from qdqnp.engine.worker import versions_here

        return dict(versions_here())

    return versions


def _knock(address: str) -> None:
    """Raise OSError or ValueError where nothing listens, or does not speak first as Dask does: a client would wait."""
    from distributed.comm.addressing import parse_address, parse_host_port

    scheme, place = parse_address(address)
    if scheme in ("tcp", "tls"):
        with socket.create_connection(parse_host_port(place, DEFAULT_PORT), PATIENCE_SECONDS) as there:
            if scheme == "tcp" and not there.recv(1):
                raise OSError("it closes the connection")


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
    client: Any = None
    try:
        _knock(address)
        client = connect(address, timeout=PATIENCE_SECONDS, set_as_default=False)
    except (OSError, ValueError, TypeError, ImportError, AssertionError) as error:  # the last where its loop is late
        got = shorten(f"{error}")
    if client is None:
        gc.collect()  # now, and not while another client starts: the half-made one takes the same lock when it goes
        raise EngineError("the scheduler is not reached", [Problem(where, "a Dask scheduler that answers", got, hint)])
    try:
        client.wait_for_workers(1, timeout=PATIENCE_SECONDS)
    except BaseException as error:
        client.close(timeout=PATIENCE_SECONDS)
        if not isinstance(error, OSError | TimeoutError):
            raise
        problem = Problem(where, "at least one worker", "none", hint)
        raise EngineError("the scheduler has no workers", [problem]) from error
    return client
