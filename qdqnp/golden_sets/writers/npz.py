"""npz: write one archive of the constants, and one for each input of the network with everything that varies."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, BinaryIO

from qdqnp.files.folder import Folder
from qdqnp.files.npy import Arrays
from qdqnp.golden_sets.catalog import Entry
from qdqnp.golden_sets.formats import ReadableWriter, Settings
from qdqnp.golden_sets.tensor import Document, GoldenTensor
from qdqnp.golden_sets.writers.raw import as_bytes, check_header, npy_header
from qdqnp.quant import Array

CONSTANTS = "npz/constants.npz"
CASE = "npz/case_{case}.npz"


class NpzWriter(ReadableWriter, name="npz"):
    """Writes members stored, not deflated: codes barely shrink, and NumPy cannot map a deflated member."""

    def __init__(self, folder: Folder, settings: Settings, cases: int) -> None:
        super().__init__(folder, settings, cases)
        self._archives: dict[str, tuple[zipfile.ZipFile, BinaryIO]] = {}

    def add(self, entry: Entry, stored: Array, case: int) -> None:
        name = self._file(entry, case)
        if name not in self._archives:
            file = self._folder.open(name, "xb")
            self._archives[name] = zipfile.ZipFile(file, "w", zipfile.ZIP_STORED), file
        header = npy_header(stored.dtype, stored.shape)
        self._folder.require(self._folder.written + len(header) + stored.nbytes)
        member = zipfile.ZipInfo(f"{entry.tensor.key}.npy")  # of 1980: the same call twice gives the same bytes
        member.create_system = 3
        member.file_size = len(header) + stored.nbytes
        archive, file = self._archives[name]
        before = file.tell()
        with archive.open(member, "w") as opened:
            opened.write(header)
            opened.write(as_bytes(stored))
        self._folder.charge(file.tell() - before)

    def end(self, case: int) -> None:
        for archive, file in self._archives.values():
            with file:
                before = file.tell()
                archive.close()
                self._folder.charge(file.tell() - before)
        self._archives.clear()

    def abandon(self) -> None:
        with suppress(Exception):  # a full disk again, most likely; the first error is the one to be told
            self.end(0)

    def place(self, entry: Entry) -> Document:
        return {"file": CASE if entry.stored.tensor.varies else CONSTANTS, "member": entry.stored.tensor.key}

    @staticmethod
    def read(file: BinaryIO, tensor: GoldenTensor, place: Mapping[str, Any], case: int, cases: int) -> bytes:
        arrays, name = Arrays(file, tensor.nbytes), str(place.get("member"))
        check_header(arrays.header(name), tensor, tensor.stored_shape)
        return arrays.read(name).tobytes()

    @staticmethod
    def _file(entry: Entry, case: int) -> str:
        return CASE.format(case=f"{case:05d}") if entry.tensor.varies else CONSTANTS
