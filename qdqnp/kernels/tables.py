"""8-bit functions as tables: 256 entries of one operand, 65,536 of two. The table is the function, evaluated in
advance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from qdqnp.kernels.scratch import Scratch
from qdqnp.quant import Array, Codes, all_codes, code_range

# Elements looked up at a time, so that the indices stay in cache.
BLOCK = 32 * 1024


def look_up(table: Array, places: Array) -> None:
    """Overwrite places in a table with what stands there, block by block.

    table: one-dimensional, in the dtype of the places.
    places: integers as floats, each within the table; rows of the first axis are contiguous.
    """
    lines = places.reshape(1, -1) if places.flags.c_contiguous else places.reshape(len(places), -1)
    index = np.empty(min(BLOCK, lines.shape[1]), np.intp)
    for line in lines:
        for start in range(0, line.size, BLOCK):
            part = line[start : start + BLOCK]
            np.copyto(index[: part.size], part, casting="unsafe")
            # no index is outside, so the mode never acts; 'wrap' spares NumPy a buffered output, and is its fastest
            np.take(table, index[: part.size], out=part, mode="wrap")


@dataclass(frozen=True, eq=False)
class UnaryTable:
    """A function of one 8-bit operand as a table."""

    #: The bytes of the result, indexed by the byte of the operand.
    table: bytes
    dtype: np.dtype[Any]

    @classmethod
    def of(cls, function: Callable[[Codes], Codes], x: np.dtype[Any]) -> UnaryTable:
        result = function(all_codes(x))
        return cls(result.tobytes(), result.dtype)

    def __call__(self, codes: Codes) -> Codes:
        # bytes.translate is the only table lookup at hand that does not need a 64-bit index per element.
        translated = codes.tobytes().translate(self.table)
        return np.frombuffer(bytearray(translated), self.dtype).reshape(codes.shape)


@dataclass(frozen=True, eq=False)
class PairLine:
    """A float32 candidate for a binary function: rint(clip(a * left + b * right + offset)).

    It is admitted only by comparison with the function on all 65,536 pairs.
    """

    left: np.float32
    right: np.float32
    offset: np.float32
    dtype: np.dtype[Any]
    #: The least and the largest code; None for those of the dtype.
    limits: tuple[int, int] | None = None

    def __call__(self, a: Codes, b: Codes, out: Codes, scratch: Scratch) -> None:
        """Write the codes of a and b to out; all three are flat and of equal length."""
        total, other = scratch.take("left", a.shape, np.float32), scratch.take("right", b.shape, np.float32)
        np.copyto(total, a)
        np.multiply(total, self.left, out=total)
        np.copyto(other, b)
        np.multiply(other, self.right, out=other)
        np.add(total, other, out=total)
        np.add(total, self.offset, out=total)
        low, high = code_range(self.dtype) if self.limits is None else self.limits
        total.clip(low, high, out=total)
        np.rint(total, out=total)
        np.copyto(out, total, casting="unsafe")


@dataclass(frozen=True, eq=False)
class BinaryTable:
    """A function of two 8-bit operands as a table."""

    #: The codes of the result, shape (65536,), at 256 * byte of a + byte of b.
    table: Codes
    #: A float32 expression that gives the whole table, where one exists.
    fast: PairLine | None = None

    @classmethod
    def of(
        cls, function: Callable[[Codes, Codes], Codes], a: np.dtype[Any], b: np.dtype[Any], candidate: PairLine | None
    ) -> BinaryTable:
        left, right = np.repeat(all_codes(a), 256), np.tile(all_codes(b), 256)
        table = np.ascontiguousarray(function(left, right))
        if candidate is not None and np.isfinite([candidate.left, candidate.right, candidate.offset]).all():
            attempt = np.empty_like(table)
            candidate(left, right, attempt, Scratch())
            if np.array_equal(attempt, table):
                return cls(table, candidate)
        return cls(table)

    def __call__(self, a: Codes, b: Codes, scratch: Scratch) -> Codes:
        if a.shape != b.shape:
            a, b = np.broadcast_arrays(a, b)
        left, right = a.reshape(-1), b.reshape(-1)
        out = np.empty(left.size, self.table.dtype)
        for start in range(0, left.size, BLOCK):
            part = slice(start, min(start + BLOCK, left.size))
            if self.fast is not None:
                self.fast(left[part], right[part], out[part], scratch)
            else:
                self._look_up(left[part].view(np.uint8), right[part].view(np.uint8), out[part], scratch)
        return out.reshape(a.shape)

    def _look_up(self, left: Codes, right: Codes, out: Codes, scratch: Scratch) -> None:
        index = scratch.take("index", left.shape, np.intp)
        np.multiply(left, 256, out=index, dtype=np.intp)
        np.add(index, right, out=index)
        # every index is below 65,536, so the mode never acts; 'wrap' spares NumPy a buffered output, and is its fastest
        np.take(self.table, index, out=out, mode="wrap")
