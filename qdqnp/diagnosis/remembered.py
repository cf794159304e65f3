"""Remembered: a sequence whose items are made when they are needed, and kept as far as memory is meant for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar, overload

import numpy as np

T = TypeVar("T")

#: Bytes of the items that are kept in one room: an input of DLA-46-C at 896 x 896 has 60 MB of tensors.
KEPT = 2**26


class Room:
    """The memory for the items of one sequence or several: those asked for last are kept."""

    def __init__(self, most: int | None = None) -> None:
        """Begin with nothing kept.

        most: bytes of the items that are kept; one item is kept in any case. KEPT if None.
        """
        self._most = KEPT if most is None else most
        self._kept: dict[tuple[int, int], tuple[Any, int]] = {}
        self._bytes = 0

    def get(self, key: tuple[int, int]) -> tuple[Any, int] | None:
        """Return an item that is kept, with its size; None for others."""
        found = self._kept.pop(key, None)
        if found is not None:
            self._kept[key] = found  # the last to go
        return found

    def keep(self, key: tuple[int, int], item: Any) -> None:
        """Keep an item, and let go of those that have not been asked for the longest."""
        size = nbytes(item)
        self._bytes += size - self._kept.pop(key, (None, 0))[1]
        self._kept[key] = item, size
        while self._bytes > self._most and len(self._kept) > 1:
            self._bytes -= self._kept.pop(next(iter(self._kept)))[1]


class Remembered(Sequence[T], Generic[T]):
    """Items that are made again where they were not kept."""

    def __init__(self, count: int, make: Callable[[int], T], room: Room | None = None) -> None:
        """Prepare to make items.

        count: how many there are.
        make: makes one; twice the same.
        room: where they are kept; one of their own if None.
        """
        self._count, self._make = count, make
        self._room = Room() if room is None else room

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[T]: ...
    def __getitem__(self, index: int | slice) -> T | Sequence[T]:
        if isinstance(index, slice):
            chosen = range(self._count)[index]
            return Remembered(len(chosen), lambda number: self[chosen[number]], Room(0))
        number = range(self._count)[index]
        kept = self._room.get((id(self), number))
        if kept is not None:
            item: T = kept[0]
            return item
        made = self._make(number)
        self.keep(number, made)
        return made

    def keep(self, number: int, item: T) -> None:
        """Keep an item that was made elsewhere, as far as there is room."""
        self._room.keep((id(self), number), item)


def nbytes(item: Any) -> int:
    """Return the bytes of an array, or of those in a mapping or a sequence.

    >>> nbytes({"a": np.zeros(3, np.int8), "b": [np.zeros(2, np.int16)]})
    7
    """
    if isinstance(item, np.ndarray):
        return int(item.nbytes)
    if isinstance(item, Mapping):
        return sum(nbytes(value) for value in item.values())
    if isinstance(item, Iterable) and not isinstance(item, str | bytes | Remembered):
        return sum(nbytes(value) for value in item)
    return 0
