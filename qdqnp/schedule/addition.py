"""What two images become code by code: an addition in float32 that has the rule's bits on all pairs, or a table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from qdqnp.kernels.tables import look_up
from qdqnp.numerics.profile import Profile
from qdqnp.numerics.questions import Pairs
from qdqnp.quant import Array, Codes, Float32, Quant
from qdqnp.schedule.image import centered

#: Units in the last place by which the factors of an addition are moved, and what is added to its sums, until one has
#: the rule's answer to every pair.
ULPS = range(-8, 9)
OFFSETS = tuple(np.float32(offset) for offset in (0, 1e-6, -1e-6, 2e-6, -2e-6, 4e-6, -4e-6, 8e-6, -8e-6))

#: A pair is hard if the sum of its reals is this near to a half: only these may change with factors that are moved.
NEAR = 3e-4

#: Hard pairs that every addition is tried on, before it is tried on all pairs.
HARDEST = 512


@dataclass(frozen=True, eq=False)
class Addition:
    """rint(clip(a * left + b * right + offset)) of codes less zero points: equal to the rule on all 65,536 pairs."""

    proof = "equal to the rule on all 65,536 pairs of codes"

    left: np.float32
    right: np.float32
    offset: np.float32
    low: np.float32
    high: np.float32

    def swapped(self) -> Addition:
        """Return the addition with its operands exchanged: a float32 sum of two does not have an order."""
        return Addition(self.right, self.left, self.offset, self.low, self.high)

    def __call__(self, a: Array, b: Array, total: Array, other: Array) -> None:
        """Write the unrounded sums to total. a and total may be the same array.

        other: work memory.
        """
        np.multiply(a, self.left, out=total)
        np.multiply(b, self.right, out=other)
        np.add(total, other, out=total)
        if self.offset:
            np.add(total, self.offset, out=total)
        total.clip(self.low, self.high, out=total)


@dataclass(frozen=True, eq=False)
class PairTable:
    """The rule's answers to all pairs of codes, where no `Addition` gives them."""

    #: Codes less their zero point, (256, 256); at (0, 0) that of the least codes.
    table: Float32
    #: The least codes of both operands, less their zero points.
    least: tuple[int, int]
    proof = "looked up in the rule's answers to all 65,536 pairs of codes"

    def swapped(self) -> PairTable:
        """Return the table with its operands exchanged."""
        return PairTable(np.ascontiguousarray(self.table.T), self.least[::-1])

    def __call__(self, a: Array, b: Array, total: Array, other: Array) -> None:
        """Write codes less their zero point to total; a and total may be the same array."""
        np.multiply(a, np.float32(256), out=total)
        np.add(total, b, out=total)
        np.subtract(total, np.float32(256 * self.least[0] + self.least[1]), out=total)
        look_up(self.table.reshape(-1), total)


def addition(question: Pairs, profile: Profile) -> Addition | PairTable:
    """Return what answers the question for every pair of codes: an expression where there is one, else the table."""
    return of_pairs(question.quants, np.asarray(question.everything().answer(profile)))


def of_pairs(quants: tuple[Quant, Quant, Quant], answers: Codes) -> Addition | PairTable:
    """Return what gives the answers to all pairs of codes: an expression where there is one, else the table.

    quants: of both operands, and of the answers.
    answers: (65536,), in the order of the bytes of the first operand and then of the second.
    """
    a, b, y = quants
    wanted = answers.astype(np.float32).reshape(256, 256) - np.float32(int(y.zero_point))
    left, right = centered(a), centered(b)
    with np.errstate(all="ignore"):
        for found in _candidates(left, right, wanted, quants):
            total, other = np.empty((256, 256), np.float32), np.empty((1, 256), np.float32)
            found(left[:, None], right[None, :], total, other)
            if np.array_equal(np.rint(total), wanted):
                return found
    rows, columns = np.argsort(left), np.argsort(right)
    table = np.ascontiguousarray(wanted[rows][:, columns])
    return PairTable(table, (int(left.min()), int(right.min())))


def _candidates(
    left: Float32, right: Float32, wanted: Float32, quants: tuple[Quant, Quant, Quant]
) -> Iterator[Addition]:
    """Return additions that may have the wanted sums: the ratios of the scales, then those right on hard pairs.

    Which way a sum near to a half is rounded depends on how float32 rounds two products and their sum, that is on the
    last places of the factors; so one is found by trying.
    """
    a, b, y = quants
    low, high = (np.float32(code - int(y.zero_point)) for code in y.range)
    one, two = (np.float32(quant.scale / y.scale) for quant in (a, b))
    yield Addition(one, two, OFFSETS[0], low, high)
    reals = left[:, None] * np.float64(one) + right * np.float64(two)
    hard = np.abs(reals - np.floor(reals) - 0.5) < NEAR
    hard |= np.rint(reals.clip(low, high)) != wanted
    rows, columns = (index[:HARDEST] for index in np.nonzero(hard))
    ones, twos = ((np.float64(ratio) * (1 + 2.0**-23 * np.array(ULPS))).astype(np.float32) for ratio in (one, two))
    products = left[rows] * ones[:, None], right[columns] * twos[:, None]
    for offset in OFFSETS:
        sums = products[0][:, None] + products[1] + offset
        hits = (np.rint(sums.clip(low, high)) == wanted[rows, columns]).all(axis=2)
        for one, two in zip(ones[np.nonzero(hits)[0]], twos[np.nonzero(hits)[1]], strict=True):
            yield Addition(one, two, offset, low, high)
