"""Stored: an array of a dump that is read piece by piece, so that a dump may be larger than memory."""

from __future__ import annotations

import math
import os
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from qdqnp.errors import QdqnpError
from qdqnp.files.npy import Arrays, Header, read_exactly
from qdqnp.files.regular import open_regular
from qdqnp.limits import MAX_TENSOR_BYTES, readable_bytes
from qdqnp.peers.devices.frames import decode
from qdqnp.quant import Array

#: Opens the file of an array anew.
Opener = Callable[[], BinaryIO]


class Stored(ABC):
    """An array that is read when it is needed. Its elements are numbered in the order of its shape."""

    def __init__(self, dtype: np.dtype[Any], shape: Sequence[int]) -> None:
        #: The dtype of the elements.
        self.dtype = dtype
        #: The shape; of bytes whose dtype is not known, (bytes,).
        self.shape = tuple(shape)

    @property
    def size(self) -> int:
        """Return the number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Return the bytes of all elements."""
        return self.size * self.dtype.itemsize

    @abstractmethod
    def part(self, start: int, count: int) -> Array:
        """Return `count` elements from the element `start` on, shape (count,).

        Raises OSError or ValueError where they cannot be read.
        """

    def whole(self) -> Array:
        """Return the whole array. Raises ValueError where it is too large, and as `part` does."""
        if self.nbytes > MAX_TENSOR_BYTES:
            raise ValueError(
                f"{readable_bytes(self.nbytes)}, where at most {readable_bytes(MAX_TENSOR_BYTES)} are read"
            )
        return self.part(0, self.size).reshape(self.shape)


class Held(Stored):
    """An array in memory."""

    def __init__(self, array: Array) -> None:
        super().__init__(array.dtype, array.shape)
        self._array = array

    def part(self, start: int, count: int) -> Array:
        return self._array.reshape(-1)[start : start + count]

    def whole(self) -> Array:
        return self._array


class InFile(Stored):
    """The elements of a .npy or .bin file, which is opened for each piece."""

    def __init__(self, opener: Opener, header: Header) -> None:
        super().__init__(header.dtype, header.shape)
        self._opener, self._header = opener, header

    def part(self, start: int, count: int) -> Array:
        if self._header.fortran:
            return self._turned().reshape(-1)[start : start + count]
        with self._opener() as file:
            file.seek(self._header.start + start * self.dtype.itemsize)
            return np.frombuffer(read_exactly(file, count * self.dtype.itemsize), self.dtype)

    def _turned(self) -> Array:
        """Read an array whose first axis is the fastest: it cannot be read piece by piece."""
        if self.nbytes > MAX_TENSOR_BYTES:
            raise ValueError(f"{readable_bytes(self.nbytes)} in Fortran's order; write it in the order of C")
        with self._opener() as file:
            file.seek(self._header.start)
            data = read_exactly(file, self.nbytes)
        return np.ndarray(self.shape, self.dtype, data, order="F")


class Archive:
    """An .npz file that stays open for its members."""

    def __init__(self, path: Path, file: BinaryIO | None = None) -> None:
        """Open the file. Raises OSError and ValueError.

        path: the file.
        file: the open file, where it is inside a folder that is not trusted.
        """
        opened = open_regular(path) if file is None else file
        weakref.finalize(self, opened.close)
        self.arrays = Arrays(opened, MAX_TENSOR_BYTES)

    def member(self, name: str) -> Member:
        """Return a member, of which the header is read. Raises ValueError."""
        return Member(self, name, self.arrays.header(name))


class Member(Stored):
    """An array of an .npz file."""

    def __init__(self, archive: Archive, name: str, header: Header) -> None:
        super().__init__(header.dtype, header.shape)
        self._archive, self._name, self._header = archive, name, header

    def part(self, start: int, count: int) -> Array:
        if not self._header.fortran:
            return self._archive.arrays.part(self._name, start, count)
        if self.nbytes > MAX_TENSOR_BYTES:
            raise ValueError(f"{readable_bytes(self.nbytes)} in Fortran's order; write it in the order of C")
        data = self._archive.arrays.part(self._name, 0, self.size)
        return np.ndarray(self.shape, self.dtype, data, order="F").reshape(-1)[start : start + count]


class InFrame(Stored):
    """The tensor of a frame in a stream, which is decoded again for each piece."""

    def __init__(self, path: Path, at: int, like: Array) -> None:
        super().__init__(like.dtype, like.shape)
        self._path, self._at = path, at

    def part(self, start: int, count: int) -> Array:
        with open_regular(self._path) as file:
            file.seek(self._at, os.SEEK_SET)
            try:
                array = decode(file).array
            except QdqnpError as error:
                raise ValueError("; ".join(str(problem) for problem in error.problems)) from error
        if array is None or (array.dtype, array.shape) != (self.dtype, self.shape):
            raise ValueError("another frame than before: the file has changed")
        return array.reshape(-1)[start : start + count]


class Stacked(Stored):
    """Arrays of one dtype and shape, stacked along a new first axis."""

    def __init__(self, parts: Sequence[Stored]) -> None:
        super().__init__(parts[0].dtype, (len(parts), *parts[0].shape))
        self._parts = parts

    def part(self, start: int, count: int) -> Array:
        each = self._parts[0].size
        pieces, end = [], start + count
        while start < end:
            number, within = divmod(start, each)
            some = min(each - within, end - start)
            pieces.append(self._parts[number].part(within, some))
            start += some
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces or [np.zeros(0, self.dtype)])


class Within(Stored):
    """A range of bytes of another array, such as a tensor in an image of memory."""

    def __init__(self, image: Stored, start: int, count: int) -> None:
        super().__init__(np.dtype(np.uint8), (count,))
        self._image, self._start = image, start

    def part(self, start: int, count: int) -> Array:
        width = self._image.dtype.itemsize
        first, last = (self._start + start) // width, -(-(self._start + start + count) // width)
        data = np.frombuffer(self._image.part(first, last - first).tobytes(), np.uint8)
        return data[self._start + start - first * width :][:count]
