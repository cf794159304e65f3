"""What a writer of one format does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from qdqnp.golden.catalog import Entry
from qdqnp.golden.manifest import Document
from qdqnp.quant import Array


class Writer(Protocol):
    """Called for each input of the network ('case') in turn: begin, add for every new tensor, end; at last, finish.

    Constants come with the first case. Nothing that grows with the cases may be kept.
    """

    def begin(self, case: int) -> None: ...

    def add(self, entry: Entry, stored: Array, case: int) -> None:
        """stored: in its stored layout, C order, little-endian."""
        ...

    def end(self, case: int) -> None: ...

    def abandon(self) -> None:
        """Let go of open files, because something has failed."""
        ...

    def finish(self, entries: Mapping[str, Entry], layers: list[Document]) -> None:
        """Write what lists all tensors."""
        ...

    def place(self, entry: Entry) -> dict[str, Any]:
        """Where the tensor is: 'file' and what else finds it there; empty where the format leaves it out. '{case}' in a
        file name stands for the number of the case, five digits."""
        ...


class Plain:
    """A writer that appends each tensor's cases to a file of its own, and lists nothing."""

    def begin(self, case: int) -> None:
        pass

    def end(self, case: int) -> None:
        pass

    def abandon(self) -> None:
        pass

    def finish(self, entries: Mapping[str, Entry], layers: list[Document]) -> None:
        pass
