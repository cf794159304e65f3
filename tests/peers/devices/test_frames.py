"""Frames: tensors in blocks of channels come out in order. What else frames hold is tested with a board, in
test_capture.py."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest

from qdqnp.errors import QdqnpError
from qdqnp.peers.devices.frames import BLOCKS, HEADER, MAGIC, TENSOR, decode


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("channels, block", [(8, 1), (8, 8), (8, 4), (7, 3), (5, 8)])
def test_blocks_of_channels_are_put_in_order(channels: int, block: int, padded: bool, rng: np.random.Generator) -> None:
    tensor = rng.integers(-9999, 9999, (2, channels, 3, 4)).astype(np.int16)
    images = []
    for image in tensor:
        parts = [image[first : first + block] for first in range(0, channels, block)]
        if padded:
            parts[-1] = np.pad(parts[-1], ((0, block - len(parts[-1])), (0, 0), (0, 0)), constant_values=5)
        images.append(b"".join(np.moveaxis(part, 0, -1).astype("<i2").tobytes() for part in parts))
    data = b"".join(images)
    body = HEADER.pack(BLOCKS, 3, 5, 1, len(data)) + struct.pack("<5I", *tensor.shape, block) + b"x" + data
    frame = decode(io.BytesIO(MAGIC + body + struct.pack("<I", zlib.crc32(body))))
    assert frame.kind == TENSOR and frame.name == "x"
    np.testing.assert_array_equal(frame.array, tensor)
    cut = HEADER.pack(BLOCKS, 3, 5, 1, len(data) - 2) + body[HEADER.size : -2]
    with pytest.raises(QdqnpError, match="bytes"):
        decode(io.BytesIO(MAGIC + cut + struct.pack("<I", zlib.crc32(cut))))
