"""Delta debugging: find a short list of which a test still holds (Zeller and Hildebrandt, 2002, ddmin)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def ddmin(items: Sequence[T], holds: Callable[[list[T]], bool]) -> list[T]:
    """Return items, in their order, of which the test holds, and of which none can be left out by itself.

        items: the items; the test holds of all.
        holds: the test, deterministic.

    >>> ddmin(range(100), lambda kept: 17 in kept and 60 in kept)
    [17, 60]
    """
    kept = list(items)
    parts = 2
    while kept:
        size = -(-len(kept) // parts)
        chunks = [range(start, min(start + size, len(kept))) for start in range(0, len(kept), size)]
        for chunk in reversed(chunks):
            rest = [item for at, item in enumerate(kept) if at not in chunk]
            if len(chunks) > 1 and parts == 2 and holds([kept[at] for at in chunk]):
                kept, parts = [kept[at] for at in chunk], 2
                break
            if holds(rest):
                kept, parts = rest, max(parts - 1, 2)
                break
        else:
            if size == 1:
                return kept
            parts = min(2 * parts, len(kept))
    return kept
