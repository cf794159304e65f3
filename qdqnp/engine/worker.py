"""What runs in a worker: prepare a job once, and compute shards.

Nothing but plain values crosses the border before both sides have the same version: a worker says which it has.
"""

from __future__ import annotations

import os
import pickle
import signal
import threading
from collections import OrderedDict
from collections.abc import Mapping
from multiprocessing import connection, parent_process
from typing import Any

import numpy as np

from qdqnp import version
from qdqnp.engine.job import Job, Task, encoded
from qdqnp.errors import EngineError, Problem

Versions = tuple[tuple[str, str], ...]

#: How a worker answers: with a partial result, with its own versions, or that it does not have the job yet.
DONE, REFUSED, MISSING = "done", "refused", "missing"
# Jobs that a worker keeps prepared; a cluster's workers live long.
_KEPT = 4

_prepared: OrderedDict[str, Task] = OrderedDict()
_held: dict[str, bytes] = {}
_lock = threading.Lock()


def versions_here() -> Versions:
    """Return the versions on which results may depend."""
    return ("qdqnp", version.__version__), ("numpy", np.__version__)


def other_versions(
    theirs: Mapping[str, str | None], where: str = "a worker", ours: Mapping[str, str] | None = None
) -> EngineError:
    """Return the error that refuses a worker.

    theirs: its versions; None for what it does not have.
    where: which worker it is.
    ours: the versions that it should have; None for those of `versions_here`.
    """
    problems = [
        Problem(where, f"{name} {wanted}, as here", f"{name} {theirs.get(name) or 'missing'}")
        for name, wanted in (ours or dict(versions_here())).items()
        if theirs.get(name) != wanted
    ]
    return EngineError("a worker has other versions, so that its results may differ", problems)


def work(versions: Versions, names: tuple[str, ...], shard: bytes, *sent: bytes) -> tuple[str, Any]:
    """Compute one shard in a worker, and return how it went and what came of it.

        versions: what the caller has.
        names: sha256 of the job's pickle, and then of its blobs.
        shard: the pickled items.
        sent: the job's pickle and its blobs; nothing where the worker is believed to have them.

    Raises what the job raises.
    """
    here = versions_here()
    if here != tuple(tuple(pair) for pair in versions):
        return REFUSED, here
    task = _task(names, sent)
    return (MISSING, None) if task is None else (DONE, encoded(task(pickle.loads(shard))))


def _task(names: tuple[str, ...], sent: tuple[bytes, ...]) -> Task | None:
    """Return the function of a job, prepared now or earlier; None where the job has never been sent."""
    with _lock:
        if names[0] in _prepared:
            _prepared.move_to_end(names[0])
            return _prepared[names[0]]
        parts: Mapping[str, bytes] = dict(zip(names, sent, strict=True)) if sent else _held
        if not all(name in parts for name in names):
            return None
        job: Job = pickle.loads(parts[names[0]])
        _prepared[names[0]] = job.prepare({name: parts[name] for name in names[1:]})
        if len(_prepared) > _KEPT:
            _prepared.popitem(last=False)
        return _prepared[names[0]]


def forget(name: str) -> None:
    """Let go of a prepared job: where an executor's workers are threads of the caller's own process, nobody else does.

    name: sha256 of the job's pickle.
    """
    with _lock:
        _prepared.pop(name, None)


def begin(names: tuple[str, ...], sent: tuple[bytes, ...]) -> None:
    """Start a process of this machine's pool: with the job, deaf to Ctrl-C, which the parent handles, and ended when
    the parent ends, however it does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _held.update(zip(names, sent, strict=True))
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)
