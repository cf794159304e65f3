"""bin: write raw little-endian bytes; npy: the same behind NumPy's header. The cases of a tensor follow one another."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np

from qdqnp.files.npy import Header, read_exactly, read_header
from qdqnp.golden_sets.catalog import Entry
from qdqnp.golden_sets.formats import ReadableWriter
from qdqnp.golden_sets.tensor import Document, GoldenTensor
from qdqnp.quant import Array


class BinWriter(ReadableWriter, name="bin"):
    """Writes files of values only."""

    def add(self, entry: Entry, stored: Array, case: int) -> None:
        self._folder.append(f"bin/{entry.tensor.key}.bin", as_bytes(stored))

    def place(self, entry: Entry) -> Document:
        return {"file": f"bin/{entry.stored.tensor.key}.bin"}

    @staticmethod
    def read(file: BinaryIO, tensor: GoldenTensor, place: Mapping[str, Any], case: int, cases: int) -> bytes:
        file.seek(case * tensor.nbytes)
        return read_exactly(file, tensor.nbytes)


class NpyWriter(ReadableWriter, name="npy"):
    """Writes .npy files; a tensor that varies has the shape (cases, ...)."""

    def add(self, entry: Entry, stored: Array, case: int) -> None:
        name = f"npy/{entry.tensor.key}.npy"
        if case == 0:
            shape = (self._cases, *stored.shape) if entry.tensor.varies else stored.shape
            self._folder.append(name, npy_header(stored.dtype, shape))
        self._folder.append(name, as_bytes(stored))

    def place(self, entry: Entry) -> Document:
        return {"file": f"npy/{entry.stored.tensor.key}.npy"}

    @staticmethod
    def read(file: BinaryIO, tensor: GoldenTensor, place: Mapping[str, Any], case: int, cases: int) -> bytes:
        header = read_header(file)
        check_header(header, tensor, (cases, *tensor.stored_shape) if tensor.varies else tensor.stored_shape)
        file.seek(header.start + case * tensor.nbytes)
        return read_exactly(file, tensor.nbytes)


def as_bytes(stored: Array) -> memoryview:
    """Return the array's bytes without a copy."""
    return np.ascontiguousarray(stored).reshape(-1).view(np.uint8).data


def npy_header(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    buffer = io.BytesIO()
    header = {"descr": dtype.newbyteorder("<").str, "fortran_order": False, "shape": shape}
    write: Any = np.lib.format.write_array_header_1_0  # without types in the stubs of NumPy 2.0 and 2.1
    write(buffer, header)
    return buffer.getvalue()


def check_header(found: Header, tensor: GoldenTensor, shape: tuple[int, ...]) -> None:
    """Raise ValueError where an .npy header is not the tensor's."""
    if found.shape != shape or found.fortran or found.dtype != np.dtype(tensor.dtype).newbyteorder("<"):
        raise ValueError(f"an array {found}")
