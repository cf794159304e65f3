"""How many threads a run may use: one, unless told otherwise.

Threads share the pictures of a batch, or the rows of one picture, and BLAS is held to one thread: the products of a
quantized network are small, so that its own threads gain little on an idle machine, and on a busy one they wait for
each other. Holding it takes threadpoolctl, which is optional; without it BLAS does as it likes, which `qdqnp doctor`
says.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from qdqnp.errors import InputError, Problem

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

ONE = 1

Item = TypeVar("Item")
Result = TypeVar("Result")


class _Holders:
    """The runs that hold BLAS to one thread.

    The limit is the whole process's: the first sets it, the last lifts it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0
        #: What had more than one thread, and how many.
        self._held: list[tuple[Any, int]] = []

    def enter(self, controller: Any) -> None:
        with self._lock:
            if self._count == 0:
                counts = [(library, library.num_threads) for library in controller.lib_controllers]
                self._held = [(library, count) for library, count in counts if count != ONE]
                for library, _ in self._held:
                    library.set_num_threads(ONE)
            self._count += 1

    def after_fork(self) -> None:
        """Forget the parent's runs: they do not go on in the child, and the thread that held the lock is not there."""
        count, held = self._count, self._held
        self.__init__()  # type: ignore[misc]
        if count:
            _give_back(held)

    def leave(self) -> None:
        with self._lock:
            self._count -= 1
            if self._count == 0:
                _give_back(self._held)


def _give_back(held: Iterable[tuple[Any, int]]) -> None:
    """Give libraries the threads that they had."""
    for library, count in held:
        library.set_num_threads(count)


_HOLDERS = _Holders()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_HOLDERS.after_fork)


def checked_threads(threads: int | None) -> int:
    """Return a number of threads; for None, the number of processors that the process may use.

    Raises InputError for a number below 1.
    """
    if threads is not None and threads < 1:
        raise InputError("no such number of threads", [Problem("threads", "1 or more, or None", str(threads))])
    if threads is not None:
        return threads
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def each(function: Callable[[Item], Result], items: Iterable[Item], threads: int | None) -> Iterator[Result]:
    """Yield the function of each item, in order, computed in so many threads; twice as many results wait at most.

    An exception of the function is raised in its item's turn.

    >>> list(each(abs, [1, -2, 3], 2))
    [1, 2, 3]
    """
    count = checked_threads(threads)
    if count == ONE:
        yield from map(function, items)
        return
    from concurrent.futures import ThreadPoolExecutor  # with logging, which one thread does without

    pool, waiting = ThreadPoolExecutor(count, "qdqnp"), deque["Future[Result]"]()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) >= 2 * count:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


class Crew:
    """Threads that compute parts of one run at the same time: the caller's, and others while `at_work` lasts."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._pool: ThreadPoolExecutor | None = None

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Have the threads while the context lasts."""
        if self._threads == ONE:
            yield
            return
        from concurrent.futures import ThreadPoolExecutor  # as in `each`

        with ThreadPoolExecutor(self._threads - 1, "qdqnp") as self._pool:  # waits for all, after an error too
            yield

    def together(self, jobs: Sequence[Callable[[], None]]) -> None:
        """Do jobs, one in each thread at most, and return when all are done.

        Raises the exception of one; others may then be at work until `at_work` ends.
        """
        assert self._pool is not None, "the threads are not at work"
        first, *others = jobs
        waiting = [self._pool.submit(job) for job in others]
        first()
        for future in waiting:
            future.result()


@contextmanager
def one_blas_thread(hold: bool = True) -> Iterator[None]:
    """Hold BLAS to one thread while the context lasts, where threadpoolctl is installed.

    hold: if False, leave BLAS as it is.
    """
    controller = _controller() if hold else None
    if controller is None:
        yield
        return
    _HOLDERS.enter(controller)
    try:
        yield
    finally:
        _HOLDERS.leave()


def blas_libraries() -> list[dict[str, Any]]:
    """Return threadpoolctl's account of every BLAS in the process; empty where threadpoolctl is not installed."""
    controller = _controller()
    return [] if controller is None else list(controller.info())


@cache  # it looks through all loaded libraries
def _controller() -> Any:
    """Return threadpoolctl's view of every BLAS in the process; None where it is not installed."""
    try:
        import threadpoolctl
    except ImportError:
        return None
    return threadpoolctl.ThreadpoolController().select(user_api="blas")
