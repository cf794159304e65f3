"""bin: raw little-endian bytes; npy: the same behind NumPy's header. The cases of a tensor follow one another."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from qdqnp.files.folder import Folder
from qdqnp.golden.catalog import Entry
from qdqnp.golden.options import Options
from qdqnp.golden.writers.base import Plain
from qdqnp.quant import Array


class BinWriter(Plain):
    def __init__(self, folder: Folder, options: Options, cases: int) -> None:
        self._folder = folder

    def add(self, entry: Entry, stored: Array, case: int) -> None:
        self._folder.append(f"bin/{entry.item.key}.bin", as_bytes(stored))

    def place(self, entry: Entry) -> dict[str, Any]:
        return {"file": f"bin/{entry.stored.item.key}.bin"}


class NpyWriter(Plain):
    """A tensor that varies has the shape (cases, ...)."""

    def __init__(self, folder: Folder, options: Options, cases: int) -> None:
        self._folder, self._cases = folder, cases

    def add(self, entry: Entry, stored: Array, case: int) -> None:
        name = f"npy/{entry.item.key}.npy"
        if case == 0:
            shape = (self._cases, *stored.shape) if entry.item.varies else stored.shape
            self._folder.append(name, npy_header(stored.dtype, shape))
        self._folder.append(name, as_bytes(stored))

    def place(self, entry: Entry) -> dict[str, Any]:
        return {"file": f"npy/{entry.stored.item.key}.npy"}


def as_bytes(stored: Array) -> memoryview:
    """The array's bytes without a copy."""
    return np.ascontiguousarray(stored).reshape(-1).view(np.uint8).data


def npy_header(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    buffer = io.BytesIO()
    header = {"descr": dtype.newbyteorder("<").str, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, header)  # type: ignore[no-untyped-call]
    return buffer.getvalue()
