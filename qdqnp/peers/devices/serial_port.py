"""A board behind a serial port as a device, which speaks the frames of frames.py; a few lines of C do.

The host sends a tensor frame for each input, then run. The board answers with a tensor frame for each tensor that it
shows, then done; or error. A frame whose CRC is wrong is refused: there is no retransmission.

    import serial
    from qdqnp.peers.devices.serial_port import SerialSource
    board = SerialSource(serial.Serial("/dev/ttyACM0", 921600, timeout=10))
"""

from __future__ import annotations

from collections.abc import Mapping

from qdqnp.errors import shorten
from qdqnp.peers.devices.frames import DONE, ERROR, RUN, TENSOR, Frame, Stream, decode, encode, fail
from qdqnp.quant import Array


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
                fail("tensors", f"an error: {shorten(frame.text)}")
            if frame.kind != TENSOR or frame.array is None:
                fail("a tensor, done or error", f"a frame of type {frame.kind}")
            if frame.name in found:
                fail("each tensor once", f"'{shorten(frame.name, 60)}' twice")
            found[frame.name] = frame.array

    def _send(self, data: bytes) -> None:
        """Send all bytes: a stream may take fewer bytes at a time, and returns how many."""
        view = memoryview(data)
        while view:
            count = self._stream.write(bytes(view))
            view = view[count if isinstance(count, int) else len(view) :]
