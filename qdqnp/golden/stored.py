"""The stored bytes of one tensor, from the formats that hold them as they are. What the manifest says of sizes is
compared with what is there before anything is read."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NoReturn

import numpy as np

from qdqnp.errors import GoldenError, Problem
from qdqnp.files.npy import FAULTS, read_header

if TYPE_CHECKING:
    from qdqnp.golden.reading import GoldenTensor

READABLE = ("bin", "npy", "npz")


def stored_bytes(folder: Path, kind: str, tensor: GoldenTensor, case: int, cases: int) -> bytes:
    """nbytes bytes. kind: one of READABLE. Raises GoldenError where the file is not what the manifest says."""
    place = tensor.files[kind]
    name = place["file"].replace("{case}", f"{case:05d}")
    try:
        if kind == "npz":
            return _from_npz(folder / name, tensor, f"{place.get('member')}.npy")
        with (folder / name).open("rb") as file:
            if kind == "npy":
                shape = (cases, *tensor.stored_shape) if tensor.varies else tensor.stored_shape
                _check_header(file, tensor, shape)
            file.seek(case * tensor.nbytes, 1)
            data: bytes = file.read(tensor.nbytes)
    except FAULTS as error:
        _refuse(tensor, name, str(error))
    if len(data) != tensor.nbytes:
        _refuse(tensor, name, f"{len(data)} bytes")
    return data


def _from_npz(path: Path, tensor: GoldenTensor, member: str) -> bytes:
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(member)
        if not tensor.nbytes <= info.file_size <= tensor.nbytes + 4096:
            raise ValueError(f"a member of {info.file_size} bytes")
        with archive.open(info) as file:
            _check_header(file, tensor, tensor.stored_shape)  # type: ignore[arg-type]
            data: bytes = file.read(tensor.nbytes)
    if len(data) != tensor.nbytes:
        raise ValueError(f"{len(data)} bytes")
    return data


def _check_header(file: BinaryIO, tensor: GoldenTensor, shape: tuple[int, ...]) -> None:
    """Read an .npy header; the file then stands at the first element."""
    found = read_header(file)
    if found.shape != shape or found.fortran or found.dtype != np.dtype(tensor.dtype).newbyteorder("<"):
        raise ValueError(f"an array {found}")


def _refuse(tensor: GoldenTensor, name: str, got: str) -> NoReturn:
    expected = f"{tensor.dtype}{list(tensor.stored_shape)} of '{tensor.key}'"
    raise GoldenError("the golden set is damaged", [Problem(f"file {name}", expected, got)])
