"""ihex: write Intel HEX. A tensor begins at address 0, and its cases follow one another as in bin."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from qdqnp.errors import GoldenError, Problem
from qdqnp.files.folder import Folder
from qdqnp.golden_sets.catalog import Entry
from qdqnp.golden_sets.formats import Settings, Writer
from qdqnp.golden_sets.tensor import Document
from qdqnp.golden_sets.writers.raw import as_bytes
from qdqnp.quant import Array

END = ":00000001FF\n"
LARGEST = 2**32
CHUNK = 2**16  # intelhex keeps a dictionary of bytes


class IhexWriter(Writer, name="ihex"):
    """Writes records with the intelhex package, one piece at a time; the end record comes last."""

    def __init__(self, folder: Folder, settings: Settings, cases: int) -> None:
        super().__init__(folder, settings, cases)
        try:
            from intelhex import IntelHex
        except ImportError as error:
            problem = Problem("package intelhex", "to be installed", "not installed", 'pip install "qdqnp[ihex]"')
            raise GoldenError("the format ihex needs a package", [problem]) from error
        self._image = IntelHex

    def add(self, entry: Entry, stored: Array, case: int) -> None:
        data, start = as_bytes(stored), case * stored.nbytes
        if start + len(data) > LARGEST:
            problem = Problem(f"tensor '{entry.tensor.key}'", f"at most {LARGEST} bytes", "more", "Use fewer inputs.")
            raise GoldenError("Intel HEX has no addresses for so much", [problem])
        lines: list[str] = []
        for offset in range(0, len(data), CHUNK):
            piece = self._image()
            piece.frombytes(data[offset : offset + CHUNK], start + offset)
            text = io.StringIO()
            piece.write_hex_file(text, write_start_addr=False, eolstyle="native")
            lines.append(text.getvalue().removesuffix(END))
        self._folder.append(f"ihex/{entry.tensor.key}.hex", "".join(lines).encode("ascii"))

    def finish(self, entries: Mapping[str, Entry], layers: list[Document]) -> None:
        for entry in entries.values():
            if entry.same_as is None:
                self._folder.append(f"ihex/{entry.tensor.key}.hex", END.encode("ascii"))

    def place(self, entry: Entry) -> dict[str, Any]:
        return {"file": f"ihex/{entry.stored.tensor.key}.hex"}
