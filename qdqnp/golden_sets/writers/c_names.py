"""Names in C, of layers by their labels alone, so that a layer more renames no other; and one number a tensor."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from qdqnp.errors import GoldenError, Problem
from qdqnp.golden_sets.catalog import Entry
from qdqnp.golden_sets.names import step_key
from qdqnp.golden_sets.tensor import GoldenTensor

#: The tensors that a device has in its buffers, which a checksum can check.
CHECKED = ("network_input", "output", "network_output")


class CNames:
    """The names of one set."""

    def __init__(self, prefix: str, layers: Mapping[int, str]) -> None:
        """Prepare to name.

        prefix: what every name starts with.
        layers: the layers' own names by index, each different.
        """
        self.prefix, self._layers = prefix, layers

    def layer(self, index: int) -> str:
        return f"{self.prefix}_{self._layers[index]}"

    def symbol(self, tensor: GoldenTensor) -> str:
        """Return the name of a tensor's array."""
        if tensor.index is None:
            return f"{self.prefix}_network_{tensor.key}"
        part = tensor.key.removeprefix(f"{step_key(tensor.index, tensor.layer)}_")
        return f"{self.layer(tensor.index)}_{part}"

    def macro(self, tensor: GoldenTensor) -> str:
        """Return what a tensor's macros start with."""
        return self.symbol(tensor).upper()

    def file(self, tensor: GoldenTensor) -> str:
        """Return the name of the file that holds a tensor's array."""
        owner = f"{self.prefix}_network" if tensor.index is None else self.layer(tensor.index)
        return f"{owner}.c"


def numbered_entries(entries: Iterable[Entry]) -> list[Entry]:
    """Return the entries that have values of their own, in the order of their numbers: what a checksum can check comes
    first, so that a table of checksums has the same numbers."""
    every = list(entries)
    checked = dict.fromkeys(entry.stored for entry in every if entry.tensor.role in CHECKED)
    rest = dict.fromkeys(entry for entry in every if entry.same_as is None)
    return list(checked | rest)


def require_different(text: str, where: str) -> None:
    """Raise GoldenError where a header defines or declares a name twice: labels and parts may meet by chance."""
    names = re.findall(r"^#define (\w+)|^extern .*?(\w+)\[", text, re.M)
    seen: set[str] = set()
    for pair in names:
        name = "".join(pair)
        if name in seen:
            problem = Problem(where, "names that differ", f"'{name}' twice", "Write these layers as two sets.")
            raise GoldenError("two names are one in C", [problem])
        seen.add(name)
