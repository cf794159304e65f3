"""The arena: one block of memory for all images of a run, each at its own place while it is needed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from qdqnp.quant import Array

#: Floats of a cache line.
LINE = 16


@dataclass(frozen=True)
class Span:
    """Memory that is needed from one action to another, both included."""

    name: str
    floats: int
    first: int
    last: int


def rounded(floats: int) -> int:
    """Return the next multiple of a cache line."""
    return -(-floats // LINE) * LINE


def offsets(spans: Iterable[Span]) -> tuple[Mapping[str, int], int]:
    """Return where each span begins, in floats, and how many floats all need.

    Spans that are needed at the same time do not overlap. The largest are placed first, each as low as it fits.
    """
    placed: list[tuple[int, Span]] = []
    for span in sorted(spans, key=lambda span: (-span.floats, span.first)):
        at = 0
        for start, other in sorted(placed, key=lambda pair: pair[0]):
            if other.last < span.first or span.last < other.first:
                continue
            if at + rounded(span.floats) <= start:
                break
            at = max(at, start + rounded(other.floats))
        placed.append((at, span))
    total = max((at + rounded(span.floats) for at, span in placed), default=0)
    return {span.name: at for at, span in placed}, total


def aligned(floats: int) -> Array:
    """Return that many zeros that begin at a cache line."""
    raw = np.zeros(floats + LINE, np.float32)
    skip = -raw.ctypes.data % (4 * LINE) // 4
    return raw[skip : skip + floats]


def carve(block: Array, sizes: Sequence[int]) -> list[Array]:
    """Return parts of a block of those sizes, one after the other, each at a cache line."""
    parts, at = [], 0
    for size in sizes:
        parts.append(block[at : at + size])
        at += rounded(size)
    return parts
