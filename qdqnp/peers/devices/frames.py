"""The frames in which a board sends tensors, over a line or into a file, with a CRC for each.

All numbers are little endian:

    bytes  what
    4      "QDQP"
    1      type: 1 tensor, 2 run, 3 done, 4 error, 5 tensor in blocks of channels
    1      dtype of a tensor: 1 int8, 2 uint8, 3 int16, 4 int32, 5 float32; else 0
    1      number of axes, 0 to 8
    1      length n of the name, in bytes
    4      length m of the data, in bytes
    4 * a  size of each axis
    n      name, UTF-8
    m      data, row-major; of an error: text
    4      CRC-32 (zlib, IEEE 802.3) of everything after "QDQP"

The axes of type 5 are N, C, H, W and B. B channels lie side by side, behind them the columns, the rows, and the next B
channels: N, C / B, H, W, B. Where B does not divide C, the last block is narrower, or has zeros or anything else in the
place of the channels that are missing: the length of the data tells.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

import numpy as np

from qdqnp.errors import InputError, Problem, QdqnpError
from qdqnp.quant import Array

MAGIC, HEADER = b"QDQP", struct.Struct("<BBBBI")
TENSOR, RUN, DONE, ERROR, BLOCKS = 1, 2, 3, 4, 5
DTYPES: Mapping[int, np.dtype[Any]] = {
    1: np.dtype("<i1"),
    2: np.dtype("<u1"),
    3: np.dtype("<i2"),
    4: np.dtype("<i4"),
    5: np.dtype("<f4"),
}
NUMBERS = {dtype: number for number, dtype in DTYPES.items()}
TENSORS = (TENSOR, BLOCKS)
MAX_AXES, MAX_DATA, MAX_NOISE = 8, 256 * 2**20, 4096


class Readable(Protocol):
    """What frames are read from. `read` may return fewer bytes; no bytes mean a timeout, or the end."""

    def read(self, size: int, /) -> bytes: ...


class Stream(Readable, Protocol):
    """The methods that pyserial's Serial and an unbuffered file have."""

    def write(self, data: bytes, /) -> object: ...


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame of the protocol above."""

    #: The frame's type.
    kind: int
    #: The tensor's name; '' for other frames.
    name: str = ""
    #: The tensor; None for other frames.
    array: Array | None = None
    #: The text of an error; '' for other frames.
    text: str = ""


def encode(frame: Frame) -> bytes:
    """Return the bytes of a frame. Raises InputError for an array or a name that a frame cannot hold."""
    name = frame.name.encode()
    array = None if frame.array is None else np.asarray(frame.array, order="C")
    data = frame.text.encode() if array is None else b""
    shape: tuple[int, ...] = ()
    number = 0
    if array is not None:
        kind = array.dtype.newbyteorder("<")
        if kind not in NUMBERS or array.ndim > MAX_AXES or array.nbytes > MAX_DATA:
            listed = f"{', '.join(str(dtype) for dtype in NUMBERS)} of up to {MAX_AXES} axes"
            raise InputError(
                "cannot send a tensor", [Problem(f"tensor '{frame.name}'", listed, f"{array.dtype}{list(array.shape)}")]
            )
        number, shape, data = NUMBERS[kind], array.shape, array.astype(kind).tobytes()
    if len(name) > 255:
        raise InputError("cannot send a tensor", [Problem("name", "at most 255 bytes", str(len(name)))])
    header = HEADER.pack(frame.kind, number, len(shape), len(name), len(data))
    body = header + struct.pack(f"<{len(shape)}I", *shape) + name + data
    return MAGIC + body + struct.pack("<I", zlib.crc32(body))


def decode(stream: Readable) -> Frame:
    """Read one frame. Bytes before its "QDQP", such as a boot message, are skipped. Raises QdqnpError."""
    _find_magic(stream)
    header = _exactly(stream, HEADER.size)
    kind, number, axes, name_length, data_length = HEADER.unpack(header)
    if axes > MAX_AXES or data_length > MAX_DATA or (kind in TENSORS and number not in DTYPES):
        fail("a frame header", f"type {kind}, dtype {number}, {axes} axes, {data_length} bytes")
    rest = _exactly(stream, 4 * axes + name_length + data_length)
    (crc,) = struct.unpack("<I", _exactly(stream, 4))
    if crc != zlib.crc32(header + rest):
        fail("a frame with its CRC-32", "another CRC-32", "Bytes were lost or changed on the line.")
    shape = struct.unpack(f"<{axes}I", rest[: 4 * axes])
    name = rest[4 * axes : 4 * axes + name_length].decode(errors="replace")
    data = rest[4 * axes + name_length :]
    if kind not in TENSORS:
        return Frame(kind, name, None, data.decode(errors="replace"))
    dtype = DTYPES[number]
    if kind == BLOCKS:
        return Frame(TENSOR, name, _unblocked(data, dtype, shape))
    if math.prod(shape) * dtype.itemsize != data_length:
        fail(f"{math.prod(shape) * dtype.itemsize} bytes for {dtype}{list(shape)}", f"{data_length} bytes")
    return Frame(kind, name, native(data, dtype, shape))


def _unblocked(data: bytes, dtype: np.dtype[Any], shape: Sequence[int]) -> Array:
    """Return the tensor (N, C, H, W) of blocks of channels."""
    if len(shape) != 5 or not all(shape):
        fail("axes N, C, H, W and B, none of them 0", str(list(shape)))
    n, channels, rows, columns, block = shape
    whole, rest = divmod(channels, block)
    full = (n, whole + bool(rest), rows, columns, block)
    if len(data) == math.prod(full) * dtype.itemsize:
        blocks = native(data, dtype, full)
        return np.ascontiguousarray(np.moveaxis(blocks, 4, 2).reshape(n, -1, rows, columns)[:, :channels])
    if len(data) != n * channels * rows * columns * dtype.itemsize:
        fail(f"{math.prod(full) * dtype.itemsize} bytes for {dtype}{list(shape)}", f"{len(data)} bytes")
    flat = native(data, dtype, (n, channels * rows * columns))
    head, tail = np.split(flat, [whole * block * rows * columns], axis=1)
    parts = ((head, whole, block), (tail, 1, rest))
    moved = [np.moveaxis(part.reshape(n, count, rows, columns, size), 4, 2) for part, count, size in parts]
    return np.concatenate([part.reshape(n, -1, rows, columns) for part in moved], axis=1)


def native(data: bytes, dtype: np.dtype[Any], shape: Sequence[int]) -> Array:
    """Return the array of little-endian bytes, in this machine's byte order."""
    array: Array = np.frombuffer(data, dtype).reshape(shape).astype(dtype.newbyteorder("="))
    return array


def _find_magic(stream: Readable) -> None:
    seen = b""
    for _ in range(MAX_NOISE):
        seen = (seen + _exactly(stream, 1))[-len(MAGIC) :]
        if seen == MAGIC:
            return
    fail("a frame", f"{MAX_NOISE} bytes without 'QDQP'", "Is the baud rate right?")


def _exactly(stream: Readable, size: int) -> bytes:
    parts: list[bytes] = []
    left = size
    while left:
        part = stream.read(min(left, 65536))
        if not part:
            fail(f"{size} bytes", f"{size - left} before the timeout")
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def fail(expected: str, got: str, hint: str = "") -> NoReturn:
    """Raise QdqnpError: the device sent something else than was expected."""
    raise QdqnpError("the device failed", [Problem("frames", expected, got, hint)])
