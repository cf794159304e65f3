"""A board behind a serial port as a device, with a framing that a few lines of C can speak.

Host and board exchange frames, little endian:

    bytes  what
    4      "QDQP"
    1      type: 1 tensor, 2 run, 3 done, 4 error
    1      dtype of a tensor: 1 int8, 2 uint8, 3 int16, 4 int32, 5 float32; else 0
    1      number of axes, 0 to 8
    1      length n of the name, in bytes
    4      length m of the data, in bytes
    4 * a  size of each axis
    n      name, UTF-8
    m      data, row-major; of an error: text
    4      CRC-32 (zlib, IEEE 802.3) of everything after "QDQP"

The host sends a tensor frame for each input, then run. The board answers with a tensor frame for each tensor that it
shows, then done; or error. A frame whose CRC is wrong is refused: there is no retransmission.

    import serial
    from qdqnp.peers.devices.serial_port import SerialSource
    board = SerialSource(serial.Serial("/dev/ttyACM0", 921600, timeout=10))
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

import numpy as np

from qdqnp.errors import InputError, Problem, QdqnpError, shorten
from qdqnp.quant import Array

MAGIC, HEADER = b"QDQP", struct.Struct("<BBBBI")
TENSOR, RUN, DONE, ERROR = 1, 2, 3, 4
DTYPES: Mapping[int, np.dtype[Any]] = {
    1: np.dtype("<i1"),
    2: np.dtype("<u1"),
    3: np.dtype("<i2"),
    4: np.dtype("<i4"),
    5: np.dtype("<f4"),
}
NUMBERS = {dtype: number for number, dtype in DTYPES.items()}
MAX_AXES, MAX_DATA, MAX_NOISE = 8, 256 * 2**20, 4096


class Stream(Protocol):
    """The methods that pyserial's Serial and an unbuffered file have. `read` may return fewer bytes; no bytes mean a
    timeout."""

    def read(self, size: int, /) -> bytes: ...

    def write(self, data: bytes, /) -> object: ...


@dataclass(frozen=True, eq=False)
class Frame:
    #: The frame's type.
    """One frame of the protocol above."""

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


def decode(stream: Stream) -> Frame:
    """Read one frame. Bytes before its "QDQP", such as a boot message, are skipped. Raises QdqnpError."""
    _find_magic(stream)
    header = _exactly(stream, HEADER.size)
    kind, number, axes, name_length, data_length = HEADER.unpack(header)
    if axes > MAX_AXES or data_length > MAX_DATA or (kind == TENSOR and number not in DTYPES):
        _fail("a frame header", f"type {kind}, dtype {number}, {axes} axes, {data_length} bytes")
    rest = _exactly(stream, 4 * axes + name_length + data_length)
    (crc,) = struct.unpack("<I", _exactly(stream, 4))
    if crc != zlib.crc32(header + rest):
        _fail("a frame with its CRC-32", "another CRC-32", "Bytes were lost or changed on the line.")
    shape = struct.unpack(f"<{axes}I", rest[: 4 * axes])
    name = rest[4 * axes : 4 * axes + name_length].decode(errors="replace")
    data = rest[4 * axes + name_length :]
    if kind != TENSOR:
        return Frame(kind, name, None, data.decode(errors="replace"))
    dtype = DTYPES[number]
    if math.prod(shape) * dtype.itemsize != data_length:
        _fail(f"{math.prod(shape) * dtype.itemsize} bytes for {dtype}{list(shape)}", f"{data_length} bytes")
    return Frame(kind, name, native(data, dtype, shape))


def native(data: bytes, dtype: np.dtype[Any], shape: Sequence[int]) -> Array:
    """Return the array of little-endian bytes, in this machine's byte order."""
    array: Array = np.frombuffer(data, dtype).reshape(shape).astype(dtype.newbyteorder("="))
    return array


def _find_magic(stream: Stream) -> None:
    seen = b""
    for _ in range(MAX_NOISE):
        seen = (seen + _exactly(stream, 1))[-len(MAGIC) :]
        if seen == MAGIC:
            return
    _fail("a frame", f"{MAX_NOISE} bytes without 'QDQP'", "Is the baud rate right?")


def _exactly(stream: Stream, size: int) -> bytes:
    parts: list[bytes] = []
    left = size
    while left:
        part = stream.read(min(left, 65536))
        if not part:
            _fail(f"{size} bytes", f"{size - left} before the timeout")
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _fail(expected: str, got: str, hint: str = "") -> NoReturn:
    raise QdqnpError("the device failed", [Problem("serial port", expected, got, hint)])


class SerialSource:
    """A board behind a stream that speaks the frames of this file."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def tensors(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Send the inputs, run, and collect what the board shows. Raises QdqnpError where it does not answer in
        frames."""
        for name, array in inputs.items():
            self._send(encode(Frame(TENSOR, name, array)))
        self._send(encode(Frame(RUN)))
        found: dict[str, Array] = {}
        while True:
            frame = decode(self._stream)
            if frame.kind == DONE:
                return found
            if frame.kind == ERROR:
                _fail("tensors", f"an error: {shorten(frame.text)}")
            if frame.kind != TENSOR or frame.array is None:
                _fail("a tensor, done or error", f"a frame of type {frame.kind}")
            if frame.name in found:
                _fail("each tensor once", f"'{shorten(frame.name, 60)}' twice")
            found[frame.name] = frame.array

    def _send(self, data: bytes) -> None:
        """Send all bytes: a stream may take fewer bytes at a time, and returns how many."""
        view = memoryview(data)
        while view:
            count = self._stream.write(bytes(view))
            view = view[count if isinstance(count, int) else len(view) :]
