"""Make plain patterns of codes, with which every set of test vectors begins (TOSA's special sets), and seeded random
codes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from qdqnp.quant import Array, Codes, code_range


@dataclass(frozen=True)
class Slot:
    """The place of an input that a pattern fills."""

    #: The dtype of the codes.
    dtype: np.dtype[Any]
    #: The shape of the input.
    shape: tuple[int, ...]
    #: The zero point of the codes.
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
    """Alternate the lowest and the highest code along every axis: a chessboard that begins with the lowest."""
    odd = np.zeros(slot.shape, bool)
    for axis, size in enumerate(slot.shape):
        odd ^= (np.arange(size) % 2 == 1).reshape([-1 if a == axis else 1 for a in range(len(slot.shape))])
    low, high = slot.range
    codes: Codes = np.where(odd, high, low).astype(slot.dtype)
    return codes


def first_maximum(slot: Slot) -> Codes:
    """Put the highest code first, and one LSB below the zero point everywhere else (the zero point itself, where it is
    the lowest code)."""
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
    """Yield `count` inputs of uniform codes; the same seed gives the same inputs."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        yield {name: draw(slot, rng) for name, slot in slots.items()}


def draw(slot: Slot, rng: np.random.Generator) -> Codes:
    return rng.integers(*slot.range, size=slot.shape, dtype=slot.dtype, endpoint=True)
