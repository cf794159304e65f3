"""Static placement: an offset for each piece of memory, so that no two that are alive at once overlap.

To find the least total is NP-hard (it is dynamic storage allocation: Garey and Johnson, "Computers and Intractability",
SR2), so what is found is held against a bound that no placement can be below: the most bytes that are alive at once.
Pieces are placed one by one at the lowest offset where they fit, in several orders; then what lies highest is moved to
the front of the order, while that helps. Nothing is random: the same pieces have the same places each time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from qdqnp.inspection.lifetimes import Lifetime, live_bytes

#: With more pieces only one order is tried, by size.
MOST_FOR_ALL_ORDERS = 500
#: With more pieces no placement is looked for.
MOST_PIECES = 4000
#: How often what lies highest is moved to the front.
ROUNDS = 32

Order = Callable[[Lifetime], tuple[int, ...]]
ORDERS: Mapping[str, Order] = {
    "by size": lambda piece: (-piece.nbytes, -_duration(piece)),
    "by size times duration": lambda piece: (-piece.nbytes * _duration(piece), -piece.nbytes),
    "by duration": lambda piece: (-_duration(piece), -piece.nbytes),
    "as made": lambda piece: (piece.first, -piece.nbytes),
    "as made, backwards": lambda piece: (-piece.last, -piece.nbytes),
}


@dataclass(frozen=True, eq=False)
class StaticPlacement:
    """Where each piece lies, and how much memory that takes."""

    #: Bytes up to the end of the piece that lies highest.
    nbytes: int
    #: The most bytes that are alive at once: no placement takes less.
    bound: int
    #: The order of which it came; '' where there is nothing to place.
    order: str
    #: The offset of each piece by its name.
    offsets: Mapping[str, int]


def place(pieces: Sequence[Lifetime], steps: int, alignment: int = 1) -> StaticPlacement | None:
    """Return the best placement found; None for more than MOST_PIECES pieces.

        pieces: what is placed.
        steps: how many steps there are.
        alignment: every offset is a multiple of this; sizes are rounded up to it, in the bound too.

    >>> pieces = [Lifetime("a", 4, 0, 1), Lifetime("b", 2, 1, 2), Lifetime("c", 4, 2, 3)]
    >>> found = place(pieces, 4)
    >>> found.nbytes, found.bound, dict(found.offsets)
    (6, 6, {'a': 0, 'c': 0, 'b': 4})
    """
    if len(pieces) > MOST_PIECES:
        return None
    rounded = _rounded(pieces, alignment)
    bound = int(live_bytes(rounded, steps).max())
    orders = ORDERS if len(rounded) <= MOST_FOR_ALL_ORDERS else {"by size": ORDERS["by size"]}
    best = StaticPlacement(0, 0, "", {})
    for name, key in orders.items() if rounded else ():
        found = _placed(sorted(rounded, key=key), bound, name)
        if not best.order or found.nbytes < best.nbytes:
            best = found
        if best.nbytes == bound:
            return best
    return _improved(best, rounded) if len(rounded) <= MOST_FOR_ALL_ORDERS else best


def spread(pieces: Sequence[Lifetime], sizes: Sequence[int], alignment: int = 1) -> list[Mapping[str, int]]:
    """Place pieces in several memories: each in the first where a gap is left for it.

        pieces: what is placed, the ones first that should be in the first memory.
        sizes: the bytes of each memory.
        alignment: every offset is a multiple of this.

    Returns the offsets by name for each memory. A piece that fits nowhere is in none of them.

    >>> pieces = [Lifetime("a", 4, 0, 1), Lifetime("b", 4, 1, 2), Lifetime("c", 4, 2, 3)]
    >>> spread(pieces, [4, 100])
    [{'a': 0, 'c': 0}, {'b': 0}]
    """
    found: list[Mapping[str, int]] = []
    left = _rounded(pieces, alignment)
    for size in sizes:
        laid, places, others = _Laid(len(left)), dict[str, int](), []
        for piece in left:
            at = laid.gap(piece)
            if at + piece.nbytes <= size:
                laid.put(piece, at)
                places[piece.name] = at
            else:
                others.append(piece)
        found.append(places)
        left = others
    return found


def _rounded(pieces: Sequence[Lifetime], alignment: int) -> list[Lifetime]:
    return [replace(piece, nbytes=-(-piece.nbytes // alignment) * alignment) for piece in pieces]


def _duration(piece: Lifetime) -> int:
    return piece.last - piece.first + 1


class _Laid:
    """Pieces that have their offsets."""

    def __init__(self, count: int) -> None:
        self._count = 0
        self._first, self._last, self._begin, self._end = (np.zeros(count, np.int64) for _ in range(4))

    def gap(self, piece: Lifetime) -> int:
        """Return the lowest offset at which a piece overlaps none that is alive with it."""
        first, last = self._first[: self._count], self._last[: self._count]
        there = np.flatnonzero((first <= piece.last) & (last >= piece.first))
        there = there[np.argsort(self._begin[there], kind="stable")]
        # where a gap may begin: at 0, and behind all that begin earlier
        reached = np.concatenate([[0], np.maximum.accumulate(self._end[there])])
        fits = np.flatnonzero(self._begin[there] - reached[:-1] >= piece.nbytes)
        return int(reached[fits[0]] if fits.size else reached[-1])

    def put(self, piece: Lifetime, at: int) -> None:
        """Give a piece its offset."""
        for array, value in zip(
            (self._first, self._last, self._begin, self._end),
            (piece.first, piece.last, at, at + piece.nbytes),
            strict=True,
        ):
            array[self._count] = value
        self._count += 1


def _placed(order: Sequence[Lifetime], bound: int, name: str) -> StaticPlacement:
    """Place the pieces one by one, each at the lowest offset where it fits."""
    laid, offsets, total = _Laid(len(order)), dict[str, int](), 0
    for piece in order:
        at = laid.gap(piece)
        laid.put(piece, at)
        offsets[piece.name] = at
        total = max(total, at + piece.nbytes)
    return StaticPlacement(total, bound, name, offsets)


def _improved(start: StaticPlacement, pieces: Sequence[Lifetime]) -> StaticPlacement:
    """Move what lies highest to the front of the order, again and again, and return the best placement met."""
    best = found = start
    order = sorted(pieces, key=ORDERS[start.order]) if start.order else []
    for _ in range(ROUNDS if order else 0):
        highest = [piece for piece in order if found.offsets[piece.name] + piece.nbytes == found.nbytes]
        names = {piece.name for piece in highest}
        order = [*highest, *(piece for piece in order if piece.name not in names)]
        found = _placed(order, start.bound, f"{start.order}, then what lay highest first")
        if found.nbytes < best.nbytes:
            best = found
        if best.nbytes == start.bound:
            break
    return best
