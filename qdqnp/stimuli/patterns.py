"""Plain patterns of codes: what every set of test vectors begins with (TOSA's special sets), and seeded random
codes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from qdqnp.quant import Array, Codes, code_range


@dataclass(frozen=True)
class Slot:
    """What a pattern fills: codes of one dtype and shape, with their zero point."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    zero_point: int

    @property
    def range(self) -> tuple[int, int]:
        return code_range(self.dtype)

    def full(self, code: int) -> Codes:
        return np.full(self.shape, code, self.dtype)


def minimum(slot: Slot) -> Codes:
    return slot.full(slot.range[0])


def maximum(slot: Slot) -> Codes:
    return slot.full(slot.range[1])


def zero_point(slot: Slot) -> Codes:
    return slot.full(slot.zero_point)


def alternating(slot: Slot) -> Codes:
    """The lowest and the highest code in turn along every axis: a chessboard that begins with the lowest."""
    odd = np.zeros(slot.shape, bool)
    for axis, size in enumerate(slot.shape):
        odd ^= (np.arange(size) % 2 == 1).reshape([-1 if a == axis else 1 for a in range(len(slot.shape))])
    low, high = slot.range
    codes: Codes = np.where(odd, high, low).astype(slot.dtype)
    return codes


def first_maximum(slot: Slot) -> Codes:
    """The highest code first, then one LSB below the zero point everywhere (the zero point itself, where it is the
    lowest code)."""
    codes = slot.full(max(slot.zero_point - 1, slot.range[0]))
    codes.reshape(-1)[:1] = slot.range[1]
    return codes


PATTERNS: Mapping[str, Callable[[Slot], Codes]] = {
    "minimum": minimum,
    "maximum": maximum,
    "zero-point": zero_point,
    "alternating": alternating,
    "first-maximum-then-minus-one": first_maximum,
}


def random_codes(slots: Mapping[str, Slot], count: int, seed: int) -> Iterator[dict[str, Array]]:
    """`count` inputs of uniform codes; the same seed gives the same."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        yield {name: draw(slot, rng) for name, slot in slots.items()}


def draw(slot: Slot, rng: np.random.Generator) -> Codes:
    return rng.integers(*slot.range, size=slot.shape, dtype=slot.dtype, endpoint=True)
