"""Scratch is reusable work memory. One Scratch belongs to one run at a time; no array that is returned lives in it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from qdqnp.quant import Array


class Scratch:
    """Lends buffers by tag. A tag's buffer is valid until the same tag is taken again."""

    def __init__(self) -> None:
        self._buffers: dict[str, np.ndarray[Any, np.dtype[np.uint8]]] = {}

    def take(self, tag: str, shape: tuple[int, ...], dtype: Any) -> Array:
        """Return an uninitialized array in the tag's buffer, which grows as needed."""
        size = math.prod(shape) * np.dtype(dtype).itemsize
        buffer = self._buffers.get(tag)
        if buffer is None or buffer.nbytes < size:
            buffer = self._buffers[tag] = np.empty(size, np.uint8)
        array: Array = buffer[:size].view(dtype).reshape(shape)
        return array


class ScratchPool:
    """Lends a Scratch to each run, so that runs in several threads never share one.

    A deque's `append` and `pop` are atomic: no lock, which a fork would leave locked.
    """

    def __init__(self) -> None:
        self._free: deque[Scratch] = deque()

    @contextmanager
    def lend(self) -> Iterator[Scratch]:
        try:
            scratch = self._free.pop()
        except IndexError:
            scratch = Scratch()
        try:
            yield scratch
        finally:
            self._free.append(scratch)
