"""Compute all shards of a job: the results come in the order of the shards, whatever order they were finished in."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, Unpack

from qdqnp.engine.cluster import ClusterPool
from qdqnp.engine.job import Job, Shard, Workplace, decoded
from qdqnp.engine.pools import Answer, GivenPool, OwnPool, WorkerPool
from qdqnp.engine.processes import ProcessPool
from qdqnp.engine.results import Results
from qdqnp.engine.worker import MISSING, REFUSED, other_versions
from qdqnp.errors import EngineError, InputError, Problem
from qdqnp.executor.threads import checked_threads
from qdqnp.files.signals import terminate_as_interrupt

Progress = Callable[[Shard, Any], None]
Run = Callable[[Iterable[Shard], Progress | None], Iterator[Any]]

# Shards that are done, or begun, ahead of the one that is waited for: for each that is under way at a time.
_AHEAD = 4
# How often workers may be lost in one run; and while a shard runs alone, until the shard is to blame.
MAX_LOST, MAX_LOST_ALONE = 10, 2


def run_shards(
    job: Job,
    shards: Iterable[Shard],
    *,
    progress: Progress | None = None,
    **where: Unpack[Workplace],
) -> list[Any]:
    """Compute every shard and return the partial results in the order of the shards, as JSON has them.

        job: what is done.
        shards: what it is done to.
        progress: called with each shard that is done and its partial result, in the order in which they are done.
        where: executor, workers, scheduler and results, as Workplace has them; without them, all processors here.

    Raises what the job raises for the first of the shards that fail; InputError for options that do not go together and
    a folder that cannot be used, EngineError where workers have other versions, are lost too often, or are not reached.

    >>> from qdqnp.engine import key_of
    >>> class Lengths:
    ...     def identity(self): return {"what": "lengths"}
    ...     def blobs(self): return {}
    ...     def prepare(self, blobs): return len
    >>> run_shards(Lengths(), [Shard(0, "abc", key_of("abc")), Shard(1, "de", key_of("de"))], workers=1)
    [3, 2]
    """
    return list(each_shard(job, shards, progress=progress, **where))


def each_shard(
    job: Job,
    shards: Iterable[Shard],
    *,
    progress: Progress | None = None,
    **where: Unpack[Workplace],
) -> Iterator[Any]:
    """Yield what `run_shards` returns, one partial result after the other: neither they nor the shards, which may be
    made as they are needed, are ever in memory together. The arguments and the errors are those of run_shards.

    >>> from qdqnp.engine import key_of
    >>> class Lengths:
    ...     def identity(self): return {"what": "lengths"}
    ...     def blobs(self): return {}
    ...     def prepare(self, blobs): return len
    >>> next(each_shard(Lengths(), [Shard(0, "abc", key_of("abc"))], workers=1))
    3
    """
    checked_threads(where.get("workers"))
    first = list(islice(shards := iter(shards), 2))
    if len(first) < 2 and where.get("executor") is None and where.get("scheduler") is None:
        where["workers"] = 1
    with opened(job, **where) as run:
        yield from run(chain(first, shards), progress)


@contextmanager
def opened(job: Job, **where: Unpack[Workplace]) -> Iterator[Run]:
    """Open the place where shards of a job are computed, for calls one after the other: workers keep the job meanwhile.

    Yields a function of shards and progress, that yields what `each_shard` yields. The arguments and the errors are
    those of run_shards.

    >>> from qdqnp.engine import key_of
    >>> class Lengths:
    ...     def identity(self): return {"what": "lengths"}
    ...     def blobs(self): return {}
    ...     def prepare(self, blobs): return len
    >>> with opened(Lengths(), workers=1) as run:
    ...     [*run([Shard(0, "abc", key_of("abc"))], None), *run([Shard(0, "de", key_of("de"))], None)]
    [3, 2]
    """
    executor, scheduler, results = where.get("executor"), where.get("scheduler"), where.get("results")
    if executor is not None and scheduler is not None:
        raise InputError("two places to compute", [Problem("executor", "none beside a scheduler", "both")])
    wanted = checked_threads(where.get("workers"))
    kept = None if results is None else Results(results, job)
    if executor is not None:
        pool: WorkerPool = GivenPool(job, executor, 2 * wanted)
    elif scheduler is not None:
        pool = ClusterPool(job, scheduler)
    else:
        pool = OwnPool(job) if wanted == 1 else ProcessPool(job, wanted)
    with terminate_as_interrupt():
        done = False
        try:
            yield lambda shards, progress: _JobRun(pool, kept, progress or _silent).partials(shards)
            done = True
        finally:
            pool.close(now=not done)


def _silent(shard: Shard, partial: Any) -> None:
    """Show nothing."""


@dataclass(frozen=True)
class _Failed:
    """A shard that failed; it is raised in the shard's turn."""

    error: BaseException


class _JobRun:
    """One job while it is done."""

    def __init__(self, pool: WorkerPool, kept: Results | None, progress: Progress) -> None:
        self._pool, self._kept, self._progress = pool, kept, progress
        #: Shards that are under way, each with its place in the order.
        self._pending: dict[Future[Answer], tuple[int, Shard]] = {}
        #: What came of shards whose turn it is not yet.
        self._done: dict[int, Any] = {}
        #: Shards that were under way when workers were lost. They run alone: so it shows which of them does it.
        self._suspects: deque[tuple[int, Shard]] = deque()
        self._lost, self._lost_alone = 0, dict[int, int]()
        self._failed = False

    def partials(self, shards: Iterable[Shard]) -> Iterator[Any]:
        """Yield the partial result of each shard in turn. Who wants no more of them ends those that have not begun."""
        try:
            yield from self._partials(enumerate(shards))
        finally:
            for future in self._pending:
                future.cancel()

    def _partials(self, waiting: Iterator[tuple[int, Shard]]) -> Iterator[Any]:
        turn, more = 0, True
        while True:
            while more and self._room(turn):
                number, shard = next(waiting, (0, None))
                more = shard is not None
                if shard is not None:
                    self._begin(number, shard)
            while turn in self._done:
                found = self._done.pop(turn)
                if isinstance(found, _Failed):
                    raise found.error
                turn += 1
                yield found
            if not more and not self._pending and not self._suspects and not self._done:
                return
            self._wait()

    def _room(self, turn: int) -> bool:
        """Tell whether another shard may begin: not while one is suspected, and not after one has failed."""
        ahead = len(self._pending) + len(self._done)
        busy = len(self._pending) >= self._pool.width or ahead >= _AHEAD * self._pool.width
        return not busy and not self._suspects and not self._failed and turn not in self._done

    def _begin(self, number: int, shard: Shard) -> None:
        data = None if self._kept is None else self._kept.find(shard)
        if data is not None:
            self._finish(number, shard, data)
        else:
            self._submit(number, shard)

    def _submit(self, number: int, shard: Shard, *, whole: bool = False) -> None:
        try:
            self._pending[self._pool.submit(shard, whole=whole)] = number, shard
        except BrokenExecutor as error:  # noticed before the shard began
            self._lose([*self._pending.values(), (number, shard)], error)

    def _finish(self, number: int, shard: Shard, data: bytes) -> None:
        self._done[number] = partial = decoded(data)
        self._progress(shard, partial)

    def _wait(self) -> None:
        """Wait until a shard ends, and see what came of it."""
        if not self._pending and self._suspects:
            self._submit(*self._suspects[0])
        for future in wait(self._pending, return_when=FIRST_COMPLETED).done:
            if future not in self._pending:
                continue  # lost with others
            number, shard = self._pending[future]
            try:
                how, what = future.result()
            except (BrokenExecutor, CancelledError) as error:
                self._lose(list(self._pending.values()), error)
                continue
            except Exception as error:
                del self._pending[future]
                self._clear(number)
                self._done[number], self._failed = _Failed(self._pool.meaning(error, shard)), True
                continue
            del self._pending[future]
            self._take(number, shard, how, what)

    def _take(self, number: int, shard: Shard, how: str, what: Any) -> None:
        if how == REFUSED:
            raise other_versions(dict(what))
        if how == MISSING:
            self._submit(number, shard, whole=True)
            return
        self._clear(number)
        if self._kept is not None:
            self._kept.keep(shard, what)
        self._finish(number, shard, what)

    def _clear(self, number: int) -> None:
        """Note that a shard came to an end: it does not end workers."""
        if self._suspects and self._suspects[0][0] == number:
            self._suspects.popleft()

    def _lose(self, under_way: list[tuple[int, Shard]], error: BaseException) -> None:
        """Begin again after workers were lost, with what they had under way. Raises EngineError where that is
        useless."""
        self._pending.clear()
        known = {number for number, _ in self._suspects}
        self._suspects.extend(sorted((one for one in under_way if one[0] not in known), key=lambda one: one[0]))
        self._lost += 1
        named = ", ".join(str(shard.index) for _, shard in under_way)
        if len(under_way) == 1:
            number = under_way[0][0]
            self._lost_alone[number] = self._lost_alone.get(number, 0) + 1
            if self._lost_alone[number] >= MAX_LOST_ALONE:
                raise _lost(f"shard {named}", f"its worker ended {MAX_LOST_ALONE} times") from error
        if self._lost > MAX_LOST:
            raise _lost(f"shards {named}", f"workers were lost {self._lost} times") from error
        if not self._pool.renew():
            raise _lost(f"shards {named}", "the executor's workers are gone") from error


def _lost(where: str, got: str) -> EngineError:
    hint = "Memory may be short: fewer workers help; so do smaller shards. A script needs `if __name__ == '__main__':`."
    return EngineError("workers were lost", [Problem(where, "a worker that finishes it", got, hint)])
