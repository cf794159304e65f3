"""List a set's tensors while it is being written: which are new, which are known, and what must not change."""

from __future__ import annotations

from array import array as packed
from dataclasses import dataclass, field, replace

from qdqnp.errors import GoldenError, Problem
from qdqnp.golden_sets.tensor import GoldenTensor


@dataclass(eq=False)
class Entry:
    """One tensor while its set is being written."""

    #: The tensor.
    tensor: GoldenTensor
    #: The entry whose bytes this one shares, where another layer has the same tensor.
    same_as: Entry | None = None
    #: CRC-32 of the stored bytes, one for each input of the network where the tensor varies.
    crcs: packed[int] = field(default_factory=lambda: packed("I"))

    @property
    def stored(self) -> Entry:
        """Return the entry whose bytes are written."""
        return self.same_as or self

    @property
    def repeats(self) -> bool:
        """Tell whether each input of the network has bytes of its own to write."""
        return self.tensor.varies and self.same_as is None


class Catalog:
    """The entries by key, in the order in which the first input met them."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self._first: dict[tuple[str, str], Entry] = {}
        self._folded: set[str] = set()

    def again(self, key: str, name: str, dtype: str, shape: tuple[int, ...], case: int) -> Entry:
        """Return the entry of a tensor that a later input of the network has again; the arguments are the fields of
        GoldenTensor.

        Raises GoldenError where the first input did not have it, or gave it another dtype or shape.
        """
        entry = self.entries.get(key)
        first = entry.tensor if entry is not None else None
        if entry is None or first is None or (first.dtype, first.shape) != (dtype, shape):
            problem = Problem(
                f"tensor '{name}', input {case}",
                f"{first.dtype}{list(first.shape)} as for the first input" if first else "no such tensor",
                f"{dtype}{list(shape)}",
                "Write a set for each shape.",
            )
            raise GoldenError("the inputs of one set must be alike", [problem])
        return entry

    def new(self, tensor: GoldenTensor) -> Entry | None:
        """Return the entry of a tensor of the first input, whose bytes must be written now; None for a shared tensor
        that was written already."""
        folded = tensor.key.lower()  # file systems may not tell 'A' from 'a'
        assert folded not in self._folded, tensor.key
        self._folded.add(folded)
        identity = (tensor.name, tensor.layout)
        first = self._first.get(identity) if tensor.shared else None
        if first is not None:
            self.entries[tensor.key] = Entry(replace(tensor, varies=first.tensor.varies), first)
            return None
        entry = self.entries[tensor.key] = Entry(tensor)
        if tensor.shared:
            self._first[identity] = entry
        return entry
