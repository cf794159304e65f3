"""8-bit functions as tables: 256 entries of one operand, 65,536 of two. The table is the function, evaluated once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from qdqnp.kernels.scratch import Scratch
from qdqnp.quant import Codes

# Elements looked up at a time, so that the indices stay in cache.
BLOCK = 32 * 1024


def all_codes(dtype: np.dtype[Any]) -> Codes:
    """The 256 codes of an 8-bit dtype in the order of their bytes 0..255."""
    return np.arange(256, dtype=np.uint8).view(dtype)


@dataclass(frozen=True, eq=False)
class UnaryTable:
    """table: bytes of the result, indexed by the byte of the operand."""

    table: bytes
    dtype: np.dtype[Any]

    @classmethod
    def of(cls, function: Callable[[Codes], Codes], x: np.dtype[Any]) -> UnaryTable:
        result = function(all_codes(x))
        return cls(result.tobytes(), result.dtype)

    def __call__(self, codes: Codes) -> Codes:
        # bytes.translate is the one table lookup in reach that needs no 64-bit index per element.
        translated = codes.tobytes().translate(self.table)
        return np.frombuffer(bytearray(translated), self.dtype).reshape(codes.shape)


@dataclass(frozen=True, eq=False)
class BinaryTable:
    """table: codes of the result, shape (65536,), at 256 * byte of a + byte of b."""

    table: Codes

    @classmethod
    def of(cls, function: Callable[[Codes, Codes], Codes], a: np.dtype[Any], b: np.dtype[Any]) -> BinaryTable:
        return cls(np.ascontiguousarray(function(all_codes(a)[:, None], all_codes(b)[None, :]).reshape(-1)))

    def __call__(self, a: Codes, b: Codes, scratch: Scratch) -> Codes:
        shape = np.broadcast_shapes(a.shape, b.shape)
        left = np.broadcast_to(a, shape).reshape(-1).view(np.uint8)
        right = np.broadcast_to(b, shape).reshape(-1).view(np.uint8)
        out = np.empty(left.size, self.table.dtype)
        index = scratch.take("index", (min(BLOCK, max(left.size, 1)),), np.intp)
        for start in range(0, left.size, BLOCK):
            stop = min(start + BLOCK, left.size)
            part = index[: stop - start]
            np.multiply(left[start:stop], 256, out=part, dtype=np.intp)
            np.add(part, right[start:stop], out=part)
            # every index is below 65,536, so the mode never acts; 'clip' spares NumPy a buffered output
            np.take(self.table, part, out=out[start:stop], mode="clip")
        return out.reshape(shape)
