"""Evidence: how much the elements that differ can tell, and so which names they can bear.

A wrong guess meets a difference of d codes by chance once in about 1 + |d| times: an element that differs by d is worth
log2(1 + |d|) bits, one bit if it is off by one. A fault that is one of n ways that were tried needs log2(n) bits and
some to spare, or one of the ways fits by chance. Less than `ENOUGH` bits is little evidence: it is said in words, every
recognizer is asked, and where all differences are of one code, a small error of any origin is named beside the fault.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from qdqnp.diagnosis.tally import ordered
from qdqnp.quant import Array

# Sixteen elements that are off by one, or two that are off by 255.
ENOUGH = 16.0
# What an element tells at most: its code.
MOST = 8.0
# Of as many searched ways as this many bits more than the evidence has, one fits by chance in one of 16 times.
SPARE = 4.0


def bits_of(got: Sequence[Array], want: Sequence[Array]) -> float:
    """Return the bits of evidence in the elements that differ.

    got: what the device made, by case.
    want: what it should have made, by case; shapes as in `got`.
    """
    total = 0.0
    for mine, right in zip(got, want, strict=True):
        distance = np.abs(ordered(mine).astype(np.float64) - ordered(right).astype(np.float64))
        total += float(np.minimum(np.log2(1.0 + distance), MOST).sum())
    return total


def bears(bits: float, ways: int) -> bool:
    """Tell whether so many bits of evidence bear a fault that is one of so many ways that were tried."""
    return bits >= math.log2(max(1, ways)) + SPARE
