"""Read NumPy's .npy and .npz files with distrust: headers first, then only the arrays that are asked for.

Nothing is unpickled, and nothing is allocated that a file only promises. What an archive unpacks to is bounded by its
size, so that a bomb is refused. Of compressions, np.savez_compressed's is read: others may ask for gigabytes by a few
bytes of their own.
"""

from __future__ import annotations

import io
import math
import os
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np

from qdqnp.element_types import plain
from qdqnp.files.atomic import Target, new_file
from qdqnp.files.regular import open_regular
from qdqnp.limits import MAX_MEMBERS, MAX_TENSOR_BYTES, UNPACKED, UNPACKED_PER_BYTE, readable_bytes
from qdqnp.quant import Array

# NumPy's reader and writer of the format, which have no types in the stubs of NumPy 2.0 and 2.1.
npy: Any = np.lib.format

# What NumPy, zipfile and zlib raise on damaged files: RuntimeError for encrypted members, its subclass
# NotImplementedError for unknown compression, SyntaxError for headers, which are parsed as Python.
FAULTS = (
    OSError,
    ValueError,
    EOFError,
    KeyError,
    IndexError,
    TypeError,
    RuntimeError,
    SyntaxError,
    OverflowError,
    MemoryError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)
# Bytes of a header's text; NumPy takes no more either.
_MAX_HEADER = 10_000
# Bytes of an archive's list of its members, which Python reads at once.
_MAX_DIRECTORY = 2**22
_ENCRYPTED = 1
# Members that are read side by side, one case of each in turn.
_OPEN = 512
# Bytes before a member's own, at least: its name follows.
_LOCAL_HEADER = 30


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
    magic = stream.read(npy.MAGIC_LEN)
    version = npy.read_magic(io.BytesIO(magic))
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"version {version} of the format, not 1.0 or 2.0")
    width = 2 if version == (1, 0) else 4
    size = stream.read(width)
    length = int.from_bytes(size, "little")
    if length > _MAX_HEADER:  # NumPy allocates it first
        raise ValueError(f"a header of {length} bytes, where at most {_MAX_HEADER} are read")
    text = io.BytesIO(size + stream.read(length))
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy reads what Python 2 wrote, but warns of it, and of old names of dtypes
        shape, fortran, dtype = read(text)
    if any(size < 0 for size in shape):
        raise ValueError(f"a negative size in shape {list(shape)}")
    return Header(tuple(map(int, shape)), dtype, fortran, len(magic) + width + length)


def read_array(stream: IO[bytes], size: int) -> Array:
    """Read the array of an .npy stream of `size` bytes; it is read-only. The header must promise what the stream holds,
    before anything is allocated. Raises one of FAULTS."""
    return _elements(stream, _checked_header(stream, size))


def _checked_header(stream: IO[bytes], size: int) -> Header:
    header = read_header(stream)
    if header.dtype.hasobject:
        raise ValueError("an array of objects. Pickles are never loaded")
    if header.dtype.itemsize == 0:  # of which a file of no bytes holds any number
        raise ValueError(f"elements of no bytes, {header}")
    if header.nbytes != size - header.start:
        raise ValueError(f"{size - header.start} bytes, where the header promises {header.nbytes} for {header}")
    return header


def read_exactly(file: BinaryIO, count: int) -> bytes:
    """Return the next bytes of an open file. Raises ValueError, before anything is allocated, where it has fewer."""
    left = os.fstat(file.fileno()).st_size - file.tell()
    if count > left:
        raise ValueError(f"{max(left, 0)} bytes, where {count} are needed")
    return file.read(count)


def _elements(stream: IO[bytes], header: Header) -> Array:
    data = stream.read(header.nbytes)
    if len(data) != header.nbytes:
        raise ValueError(f"{len(data)} bytes, where the header promises {header.nbytes} for {header}")
    return np.ndarray(header.shape, header.dtype, data, order="F" if header.fortran else "C")


class Arrays:
    """The arrays of an open .npy or .npz file. The array of an .npy has the name ''."""

    def __init__(self, file: BinaryIO, limit: int) -> None:
        """List what the file holds.

            file: the open file.
            limit: the most bytes that the arrays which are read may have, together.

        Raises one of FAULTS.
        """
        self._file, self._limit = file, limit
        self._size = file.seek(0, io.SEEK_END)
        if not self._size:
            raise ValueError("an empty file")
        file.seek(0)
        plain = file.read(len(npy.MAGIC_PREFIX)) == npy.MAGIC_PREFIX
        end = None if plain else zipfile._EndRecData(file)  # type: ignore[attr-defined]  # what ZipFile will believe
        self._archive: zipfile.ZipFile | None = None
        self._streams: dict[str, tuple[IO[bytes], Header]] = {}
        self._members: Mapping[str, zipfile.ZipInfo] = {}
        if end is not None:
            if end[zipfile._ECD_SIZE] > min(_MAX_DIRECTORY, self._size):  # type: ignore[attr-defined]
                raise ValueError("an archive whose list of members is too long")
            self._archive = zipfile.ZipFile(file)
            self._members = _members(self._archive.infolist(), self._size)
            self._limit = min(limit, UNPACKED + UNPACKED_PER_BYTE * self._size)

    @property
    def packed(self) -> bool:
        """Return whether the file is an archive."""
        return self._archive is not None

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the arrays, in the order of the file."""
        return tuple(self._members) if self.packed else ("",)

    @property
    def unpacked(self) -> int:
        """Return the bytes of all members of the archive, headers included; of an .npy its size."""
        return sum(info.file_size for info in self._members.values()) if self.packed else self._size

    def header(self, name: str) -> Header:
        """Return the header of an array, which promises what the file holds. Raises ValueError where it does not."""
        with _as_value_error(), self._open(name) as (stream, size):
            return _checked_header(stream, size)

    def read(self, name: str) -> Array:
        """Return an array, read-only. Raises ValueError where it is damaged, or the limit is reached; nothing is
        allocated then."""
        with _as_value_error(), self._open(name) as (stream, size):
            header = _checked_header(stream, size)
            if header.nbytes > self._limit:
                text = f"{readable_bytes(header.nbytes)} unpacked" if self.packed else readable_bytes(header.nbytes)
                raise ValueError(f"{text}, where at most {readable_bytes(self._limit)} are read")
            self._limit -= header.nbytes
            return _elements(stream, header)

    def part(self, name: str, start: int, count: int) -> Array:
        """Return `count` elements of an array from the element `start` on, in the order of memory, shape (count,).

        Only these are kept in memory. A compressed member is unpacked up to there; what follows is read from there on.

        Raises ValueError where the array is damaged, or ends before.
        """
        with _as_value_error():
            stream, header = self._at(name)
            _go_to(stream, header.start + start * header.dtype.itemsize)
            data = stream.read(count * header.dtype.itemsize)
            if len(data) != count * header.dtype.itemsize:
                raise ValueError(f"{len(data)} bytes, where {count} elements of {header} are needed")
            return np.frombuffer(data, header.dtype)

    def _at(self, name: str) -> tuple[IO[bytes], Header]:
        """Return an open stream of an array, and its header; the last few are kept open, each where it was left."""
        if name in self._streams:
            self._streams[name] = found = self._streams.pop(name)
            return found
        if self._archive is None:
            self._file.seek(0)
            found = self._file, _checked_header(self._file, self._size)
        else:
            info = self._members[name]
            stream = self._archive.open(info)
            found = stream, _checked_header(stream, info.file_size)
        self._streams[name] = found
        if len(self._streams) > _OPEN:
            self._streams.pop(next(iter(self._streams)))
        return found

    @contextmanager
    def _open(self, name: str) -> Iterator[tuple[IO[bytes], int]]:
        if self._archive is None:
            self._file.seek(0)
            yield self._file, self._size
        else:
            info = self._members[name]
            with self._archive.open(info) as stream:
                yield stream, info.file_size


def _members(listed: list[zipfile.ZipInfo], size: int) -> dict[str, zipfile.ZipInfo]:
    """Return the members by name without '.npy'. Raises ValueError for what np.savez does not write: other files, names
    that are there twice, other compressions, encryption, members that share bytes."""
    if len(listed) > MAX_MEMBERS:
        raise ValueError(f"{len(listed)} members, where at most {MAX_MEMBERS} are read")
    others = [info.filename for info in listed if not info.filename.endswith(".npy")]
    if others:
        raise ValueError(f"more than arrays, which are members named .npy: {others[:5]}")
    found = {info.filename.removesuffix(".npy"): info for info in listed}
    if len(found) != len(listed):
        raise ValueError("a name that two members have")
    for name, info in found.items():
        if info.flag_bits & _ENCRYPTED or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            how = "encrypted" if info.flag_bits & _ENCRYPTED else f"compressed by method {info.compress_type}"
            raise ValueError(f"member '{name}' {how}; np.savez and np.savez_compressed write what is read")
        if info.compress_type == zipfile.ZIP_STORED and info.compress_size != info.file_size:
            raise ValueError(f"member '{name}', stored, of two sizes")
    placed = [*sorted((info.header_offset, info.compress_size) for info in listed), (size, 0)]
    if any(begin + _LOCAL_HEADER + packed > following for (begin, packed), (following, _) in pairwise(placed)):
        raise ValueError("members that overlap")
    return found


def _go_to(stream: IO[bytes], place: int) -> None:
    """Move a stream: a compressed one back to its start, and forth in small steps, where zipfile takes large ones."""
    if not isinstance(stream, zipfile.ZipExtFile) or place < stream.tell():
        stream.seek(place if not isinstance(stream, zipfile.ZipExtFile) else 0)
    while stream.tell() < place and stream.read(min(place - stream.tell(), 2**16)):
        pass


@contextmanager
def _as_value_error() -> Iterator[None]:
    try:
        yield
    except FAULTS as error:
        raise ValueError(str(error) or type(error).__name__) from error


@contextmanager
def open_arrays(path: Path, limit: int = MAX_TENSOR_BYTES) -> Iterator[Arrays]:
    """Open an .npy or .npz file; the first bytes tell which of the two it is.

        path: the file.
        limit: the most bytes that the arrays which are read may have, together.

    Raises OSError where it is no regular file, ValueError where it is neither of the two, or damaged.

    >>> np.save("x.npy", np.zeros((2, 3), np.int8))
    >>> with open_arrays(Path("x.npy")) as arrays:
    ...     arrays.names, arrays.header("").shape, arrays.read("").sum()
    (('',), (2, 3), np.int64(0))
    """
    with open_regular(path) as file:
        with _as_value_error():
            arrays = Arrays(file, limit)
        yield arrays


def write_npz(target: Target, arrays: Mapping[str, Array]) -> None:
    """Write the arrays under their names as an uncompressed .npz: whole or not at all, with the same bytes each time.

    Types that NumPy has no name for are written in one of its own that holds their values (`element_types.plain`).
    np.savez is not used: it takes names as keyword arguments, where an array named "file" would be its own parameter.
    Raises QdqnpError as new_file does.
    """
    with new_file(target) as file, zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.save(member, plain(np.asanyarray(array)), allow_pickle=False)


def npy_bytes(array: Array) -> bytes:
    """Return the bytes of an .npy file."""
    made = io.BytesIO()
    np.save(made, array, allow_pickle=False)
    return made.getvalue()


def npz_bytes(arrays: Mapping[str, Array]) -> bytes:
    """Return the bytes of a compressed .npz file with the arrays under their names."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), npy_bytes(array), zipfile.ZIP_DEFLATED)
    return made.getvalue()
