"""hex: write a file for Verilog's $readmemh: one word a line, comments after //."""

from __future__ import annotations

from typing import Any

import numpy as np

from qdqnp.files.folder import Folder
from qdqnp.golden_sets.catalog import Entry
from qdqnp.golden_sets.formats import Settings, Writer
from qdqnp.golden_sets.writers.raw import as_bytes
from qdqnp.quant import Array


class HexWriter(Writer, name="hex"):
    """Writes words of hex_width bits.

    With lanes 'little' the first element is the lowest part of its word, with 'big' the highest. An element wider than
    a word takes several words, in the same order. Every case begins a new word; its last word is filled with zeros.
    """

    def __init__(self, folder: Folder, settings: Settings, cases: int) -> None:
        super().__init__(folder, settings, cases)
        self._bytes, self._lanes = settings.hex_width // 8, settings.hex_lanes

    def add(self, entry: Entry, stored: Array, case: int) -> None:
        place = "lowest" if self._lanes == "little" else "highest"
        head = f"// {entry.tensor.key}: {entry.tensor.dtype} {list(stored.shape)}, words of {8 * self._bytes} bits, "
        head += f"first element {place}\n" if case == 0 else ""
        lines = head if case == 0 else ""
        if entry.tensor.varies and self._cases > 1:
            lines += f"// case {case}\n"
        self._folder.append(f"hex/{entry.tensor.key}.hex", (lines + words(stored, self._bytes, self._lanes)).encode())

    def place(self, entry: Entry) -> dict[str, Any]:
        return {
            "file": f"hex/{entry.stored.tensor.key}.hex",
            "word_bits": 8 * self._bytes,
            "lanes": self._lanes,
            "words": -(-entry.tensor.nbytes // self._bytes),
        }


def words(stored: Array, size: int, lanes: str) -> str:
    """Return lines of one word of `size` bytes each."""
    if not stored.size:
        return ""
    ordered = stored.astype(stored.dtype.newbyteorder(">" if lanes == "big" else "<"))
    data = np.frombuffer(as_bytes(ordered), np.uint8)
    filled = np.zeros(-(-data.size // size) * size, np.uint8)
    filled[: data.size] = data
    rows = filled.reshape(-1, size)
    if lanes == "little":
        rows = rows[:, ::-1]
    return rows.tobytes().hex("\n", size) + "\n"
