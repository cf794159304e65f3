"""Arrays from .npy and .npz files of unknown origin: no pickles, and nothing larger than what the file holds."""

from __future__ import annotations

import lzma
import math
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy

from qdqnp.errors import InputError, Problem
from qdqnp.limits import MAX_TENSOR_BYTES
from qdqnp.quant import Array

# What NumPy, zipfile and its decoders raise on damaged files: encrypted members are a RuntimeError, unknown compression
# is a NotImplementedError, headers are parsed as Python.
_FAULTS = (
    OSError,
    ValueError,
    EOFError,
    KeyError,
    TypeError,
    RuntimeError,
    SyntaxError,
    OverflowError,
    MemoryError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)


def load_arrays(path: Path) -> dict[str, Array]:
    """The file's arrays by name, '' for the one of an .npy; which of both it is shows in its first bytes.

    Raises InputError.
    """
    try:
        if not zipfile.is_zipfile(path):
            return {"": np.load(path, mmap_mode="r", allow_pickle=False)}
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            _check_members(members, path)
            return {info.filename.removesuffix(".npy"): _member(archive, info) for info in members}
    except _FAULTS as error:
        problem = Problem(f"file {path}", "a readable .npy or .npz file of numbers", str(error) or "an empty file")
        raise InputError("cannot read an input file", [problem]) from error


def _check_members(members: list[zipfile.ZipInfo], path: Path) -> None:
    others = [info.filename for info in members if not info.filename.endswith(".npy")]
    if others:
        problem = Problem(f"file {path.name}", "arrays only (members named .npy)", f"members {others[:5]}")
        raise InputError("an input file holds more than arrays", [problem])
    size = sum(info.file_size for info in members)
    if size > MAX_TENSOR_BYTES:
        problem = Problem(f"file {path.name}", f"at most {MAX_TENSOR_BYTES} bytes unpacked", f"{size}")
        raise InputError("an input file is too large", [problem])


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Array:
    """One array. NumPy allocates what the header says before it reads, so that must be what the member holds."""
    with archive.open(info) as file:
        needed = _promised(file)
    if needed > info.file_size:
        raise ValueError(f"'{info.filename}' holds {info.file_size} bytes, its header promises {needed}")
    with archive.open(info) as file:
        array: Array = npy.read_array(file, allow_pickle=False)  # type: ignore[no-untyped-call]
    return array


def _promised(file: IO[bytes]) -> int:
    """Bytes of the array that a header describes. Version 3 is for names of fields, which no input has."""
    version = npy.read_magic(file)  # type: ignore[no-untyped-call]
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"version {version} of the format, not 1.0 or 2.0")
    read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read_header(file)  # type: ignore[no-untyped-call]
    return int(math.prod(shape) * dtype.itemsize)
