"""How a call says how far it is: a callback for whoever waits, and the logger "qdqnp", which is silent by default."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
#: Called with how much is done and how much there is to do, None where that is not known.
Progress = Callable[[int, int | None], None]

LOG = logging.getLogger("qdqnp")
LOG.addHandler(logging.NullHandler())


def counted(items: Iterable[T], total: int | None, what: str, progress: Progress | None) -> Iterator[T]:
    """Yield the items; the callback and the log hear of each that is done.

    what: what is being done, such as 'comparing'.
    """
    LOG.info("%s: %s in all", what, "an unknown number" if total is None else total)
    for done, item in enumerate(items):
        if progress is not None:
            progress(done, total)
        yield item
        LOG.debug("%s: %d done", what, done + 1)
    if progress is not None and total is not None:
        progress(total, total)


def counter(total: int, what: str, progress: Progress | None) -> Callable[[], None]:
    """Return a function to call after each of `total` things that are done."""
    LOG.info("%s: %d in all", what, total)
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)
        LOG.debug("%s: %d done", what, done)

    return step
