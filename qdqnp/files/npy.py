"""Read NumPy's files with distrust: without pickles, and without allocating anything that a file does not hold."""

from __future__ import annotations

import lzma
import math
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from qdqnp.files.atomic import new_file
from qdqnp.quant import Array

# NumPy's reader and writer of the format, which have no types in the stubs of NumPy 2.0 and 2.1.
npy: Any = np.lib.format

# What NumPy, zipfile and its decoders raise on damaged files: RuntimeError for encrypted members, its subclass
# NotImplementedError for unknown compression, SyntaxError for headers, which are parsed as Python.
FAULTS = (
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


@dataclass(frozen=True)
class Header:
    """What an .npy file says of its array."""

    #: The shape.
    shape: tuple[int, ...]
    #: The dtype.
    dtype: np.dtype[Any]
    #: Whether the first axis is the fastest.
    fortran: bool
    #: Where the elements begin, in bytes from the start of the file.
    start: int

    @property
    def nbytes(self) -> int:
        """Return the bytes of the elements."""
        return math.prod(self.shape) * self.dtype.itemsize

    def __str__(self) -> str:
        return f"{self.dtype}{list(self.shape)}"


def read_header(stream: IO[bytes]) -> Header:
    """Read the header of an .npy stream, and leave the stream at its first element.

    Raises one of FAULTS for anything else. Version 3 is refused: it is for names of fields, which tensors do not have.
    """
    version = npy.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"version {version} of the format, not 1.0 or 2.0")
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran, dtype = read(stream)
    if any(size < 0 for size in shape):
        raise ValueError(f"a negative size in shape {list(shape)}")
    return Header(tuple(map(int, shape)), dtype, fortran, stream.tell())


def read_array(stream: IO[bytes], size: int) -> Array:
    """Read the array of an .npy stream of `size` bytes. NumPy allocates what a header promises before it reads, so the
    header must promise what the stream holds. Raises one of FAULTS."""
    header = read_header(stream)
    if header.dtype.hasobject:
        raise ValueError("an array of objects: pickles are never loaded")
    if header.nbytes != size - header.start:
        raise ValueError(f"{size - header.start} bytes, where the header promises {header.nbytes} for {header}")
    stream.seek(0)
    array: Array = npy.read_array(stream, allow_pickle=False)
    return array


def write_npz(path: Path, arrays: Mapping[str, Array], what: str) -> None:
    """Write the arrays under their names as an uncompressed .npz: whole or not at all, with the same bytes each time.

    np.savez is not used: it takes names as keyword arguments, where an array named "file" would be its own parameter.
    Raises QdqnpError for what the file system refuses.
    """
    with new_file(path, what) as file, zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.save(member, np.asanyarray(array), allow_pickle=False)
