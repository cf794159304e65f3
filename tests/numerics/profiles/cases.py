"""Random (accumulator, multiplier, shift) in the domain of a row, with many exact ties and extremes among them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.oracles.fixed_point import ROWS, OutsideDomainError

Int64 = NDArray[np.int64]


def draw(rng: np.random.Generator, name: str, count: int) -> tuple[Int64, Int64, Int64]:
    """(acc, multiplier, shift), each (count,). A quarter each: any accumulator; one that gives a result of the size of
    codes; an exact tie of the whole product where the multiplier has one, or of the second rounding, and its
    neighbours; extremes. They are in the accumulator's range; the result may leave int32."""
    row = ROWS[name]
    low, high = row.multipliers
    width = high.bit_length()
    shift = rng.integers(row.shifts[0], row.shifts[1] + 1, count)
    # multipliers with trailing zeros, of every number, make exact ties
    zeros = np.where(rng.random(count) < 0.5, rng.integers(0, width, count), 0)
    m = (rng.integers(low, high + 1, count) >> zeros) << zeros
    m = np.where(rng.random(count) < 0.05, np.where(rng.random(count) < 0.5, low, high), m)
    edge = 1 << (row.bits - 1)
    anywhere = rng.integers(-edge, edge, count)
    sized = np.floor(np.ldexp(rng.uniform(-300, 300, count) / m, shift))
    code_sized = np.where(np.abs(sized) < edge, sized, 0).astype(np.int64)
    halves = np.ldexp((2 * rng.integers(-200, 200, count) + 1) / (2 * m), shift)
    tied = np.where(np.abs(halves) < edge, np.rint(halves), 0).astype(np.int64) + rng.integers(-1, 2, count)
    ends = np.array([-edge, -edge + 1, edge - 1, edge - 2, -2, -1, 0, 1, 2, 2**24 + 1, -(2**24) - 1, 1 << 30, -1 << 30])
    kind = rng.integers(0, 4, count)
    acc = np.choose(kind, [anywhere, code_sized, tied, rng.choice(ends, count)])
    return np.clip(acc, -edge, edge - 1).astype(np.int64), m, shift


def expected(name: str, acc: Int64, m: Int64, shift: Int64) -> tuple[Int64, NDArray[np.bool_]]:
    """The oracle's results, one Python integer after the other, and where they are defined."""
    function = ROWS[name].requantize
    out, defined = np.zeros(len(acc), np.int64), np.ones(len(acc), bool)
    for i, (a, b, c) in enumerate(zip(acc.tolist(), m.tolist(), shift.tolist(), strict=True)):
        try:
            out[i] = function(a, b, c)
        except OutsideDomainError:
            defined[i] = False
    return out, defined


def scales(rng: np.random.Generator, name: str) -> tuple[Any, Any, Any]:
    """float32 scales of x, w and y, powers of two where the row needs them."""
    drawn = rng.uniform(0.001, 0.1, 3) * np.array([1, 0.1, 1])
    if name.startswith("pow2") or rng.random() < 0.2:
        drawn = 2.0 ** np.array([-5, rng.integers(-9, -3), -rng.integers(1, 6)])
    if name == "xnnpack-rndnu" and drawn[0] * drawn[1] / drawn[2] >= 0.5:
        drawn[2] = 1.0
    x, w, y = drawn.astype(np.float32)
    return x, w, y
