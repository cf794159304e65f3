"""The list of a set's tensors while it is being written: what is new, what is known, and what must not change."""

from __future__ import annotations

import zlib
from array import array as packed
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from qdqnp.errors import GoldenError, Problem
from qdqnp.golden.capture import Item
from qdqnp.quant import Array


@dataclass(eq=False)
class Entry:
    """One tensor: its logical dtype and shape, and the CRC-32 of its stored bytes, one for each input of the network
    where it varies. same_as: the entry whose bytes it shares, where another layer has the same tensor."""

    item: Item
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    same_as: Entry | None = None
    crcs: packed[int] = field(default_factory=lambda: packed("I"))

    @property
    def stored(self) -> Entry:
        return self.same_as or self

    @property
    def stored_shape(self) -> tuple[int, ...]:
        axes = self.item.layout.axes
        return tuple(self.shape[axis] for axis in axes) if axes else self.shape


class Catalog:
    """Entries by key, in the order in which the first input met them."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self._first: dict[tuple[str, str], Entry] = {}
        self._folded: set[str] = set()

    def admit(self, item: Item, array: Array, case: int) -> Entry | None:
        """The entry whose bytes are to be written now; None where they have been: constants, shared tensors.

        Raises GoldenError where an input of the network gives a tensor another dtype or shape than the first did.
        """
        if case == 0:
            return self._new(item, array)
        entry = self.entries.get(item.key)
        if entry is None or entry.dtype != array.dtype or entry.shape != array.shape:
            problem = Problem(
                f"tensor '{item.name}', input {case}",
                f"{entry.dtype}{list(entry.shape)} as for the first input" if entry else "no such tensor",
                f"{array.dtype}{list(array.shape)}",
                "Write a set for each shape.",
            )
            raise GoldenError("the inputs of one set must be alike", [problem])
        return entry if item.varies and entry.same_as is None else None

    def _new(self, item: Item, array: Array) -> Entry | None:
        folded = item.key.lower()  # file systems may not tell 'A' from 'a'
        assert folded not in self._folded, item.key
        self._folded.add(folded)
        identity = (item.name, item.layout.name)
        first = self._first.get(identity) if item.shared else None
        entry = self.entries[item.key] = Entry(item, array.dtype, array.shape, first)
        if item.shared:
            self._first.setdefault(identity, entry)
        return entry if first is None else None

    @staticmethod
    def note(entry: Entry, data: memoryview) -> None:
        """Remember the CRC-32 of what was stored."""
        entry.crcs.append(zlib.crc32(data))
