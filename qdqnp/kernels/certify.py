"""Admits a cheap expression in place of a fixed-point requantization, by comparison at every step.

A requantization of one channel is a monotone function of the sum with at most 255 steps, and so is the expression
clip(round(sum * multiplier + offset)). Two monotone functions that agree at two points and have the same value at both
agree everywhere between them. So it is enough to compare them at both ends of the reachable sums and just around each
step, and to see that between any two neighbouring points that were compared neither has a step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdqnp.kernels.scratch import Scratch
from qdqnp.quant import Array, Codes, Int64, code_range

Real = NDArray[np.float64]
Requantize = Callable[[Int64], Codes]  # sums (..., channels) -> codes

# How far around a step the two functions are compared. An expression whose step is off by more is not a candidate.
AROUND = np.arange(-2, 4)

# Sums that are asked for at a time: a rule's stages are a dozen arrays of as many. It decides memory only.
PIECE = 64 * 1024


@dataclass(frozen=True, eq=False)
class CertifiedLine:
    """codes = clip(floor(first(sum) * multiplier + offset + sign * nudge), low, high), one value per channel.

    first(sum) is the sum, or with first_shift > 0 the sum divided by 2^first_shift and rounded half up. sign is the
    sign of first(sum) * multiplier + offset - pivot.
    """

    #: In the carrier's dtype, like all arrays here, shape (channels,) or shaped for a tile.
    multiplier: Array
    offset: Array
    #: Added with the sign; None where no channel needs one.
    nudge: Array | None
    #: The zero point, plus the half that makes a floor a rounding.
    pivot: float
    #: The least code; shaped for a tile, () where it is the same for all channels.
    low: Array
    #: The largest code, likewise.
    high: Array
    first_shift: int
    #: The dtype in which all is computed.
    carrier: np.dtype[Any]

    def take(self, channels: NDArray[np.bool_]) -> CertifiedLine:
        """Return the expression for some channels only."""
        nudge = None if self.nudge is None else self.nudge[channels]
        parts = (self.multiplier[channels], self.offset[channels], nudge, self.pivot)
        return CertifiedLine(*parts, self.low[channels], self.high[channels], self.first_shift, self.carrier)

    def along(self, axis: int) -> CertifiedLine:
        """Return the expression with per-channel values shaped for a 2-D tile whose channel axis is `axis`."""

        def shape(values: Array) -> Array:
            return values.reshape((-1, 1) if axis == 0 else (1, -1))

        def limit(values: Array) -> Array:
            return values[:1].reshape(()) if values.size and (values == values[0]).all() else shape(values)

        nudge = None if self.nudge is None or not self.nudge.any() else shape(self.nudge)
        parts = (shape(self.multiplier), shape(self.offset), nudge, self.pivot)
        return CertifiedLine(*parts, limit(self.low), limit(self.high), self.first_shift, self.carrier)

    def __call__(self, real: Array, scratch: Scratch) -> Array:
        """Overwrite sums with their codes, and return them.

        real: sums in the carrier's dtype.
        """
        self.first(real)
        side = None if self.nudge is None else scratch.take("nudge", real.shape, self.carrier)
        self.floors(real, side)
        if self.low.ndim == self.high.ndim == 0:
            real.clip(self.low, self.high, out=real)
        else:  # clip takes six times as long with limits of their own for each channel
            np.maximum(real, self.low, out=real)
            np.minimum(real, self.high, out=real)
        return real

    def first(self, sums: Array) -> None:
        """Round sums the first time, if they are; in float32 too, where that holds sums and the half that is added."""
        if self.first_shift:
            np.multiply(sums, sums.dtype.type(2.0**-self.first_shift), out=sums)
            np.add(sums, sums.dtype.type(0.5), out=sums)
            np.floor(sums, out=sums)

    def floors(self, real: Array, side: Array | None) -> None:
        """Overwrite what `first` left with codes that are yet to be clipped.

        side: memory of the shape and dtype of `real`, which a nudge needs.
        """
        np.multiply(real, self.multiplier, out=real)
        np.add(real, self.offset, out=real)
        if self.nudge is not None:
            assert side is not None
            np.subtract(real, self.carrier.type(self.pivot), out=side)
            np.copysign(self.nudge, side, out=side)
            np.add(real, side, out=real)
        np.floor(real, out=real)


@dataclass(frozen=True, eq=False)
class Steps:
    """What is known of a requantization: the codes of sums around its steps, and between which sums it has none."""

    points: Points
    #: For each piece of the points, their codes, in integers that hold them.
    codes: tuple[Array, ...]
    #: Whether a channel's codes change nowhere but between neighbouring sums that are both points.
    flat: NDArray[np.bool_]
    #: Which code stands for 0.
    zero: int
    #: What is added to the points, shape (channels,), and taken from their codes.
    shift: Int64
    less: int = 0

    @classmethod
    def of(
        cls,
        requantize: Requantize,
        multiplier: Real,
        offset: Real,
        first_shift: int,
        zero: int,
        dtype: np.dtype[Any],
        low: Int64,
        high: Int64,
    ) -> Steps:
        """Ask `requantize`, which is monotone on [low, high].

        multiplier, offset: shape (channels,), as in numerics' Slope.
        first_shift: as in numerics' Slope.
        zero: the zero point of the codes.
        dtype: the dtype of the codes.
        low, high: the reachable sums, shape (channels,).
        """
        points = Points.of(multiplier, offset, first_shift, dtype, low, high)
        narrow = np.int16 if dtype.itemsize == 1 else np.int32
        codes, flat = [], np.ones(multiplier.shape, bool)
        for sums in points.pieces():
            found = requantize(sums).astype(narrow)
            flat &= ((sums[1:] - sums[:-1] <= 1) | (found[1:] == found[:-1])).all(axis=0)
            codes.append(found)
        return cls(points, tuple(codes), flat, zero, np.zeros(multiplier.shape, np.int64))

    def centered(self, correction: Int64) -> Steps:
        """Return the steps of sums that `correction`, shape (channels,), was added to, as codes less the zero point."""
        return replace(self, zero=0, shift=self.shift + correction, less=self.less + self.zero)

    def ends(self) -> tuple[Array, Array]:
        """Return the codes of the least and of the largest sum."""
        return self.codes[0][0] - self.less, self.codes[-1][-1] - self.less

    def pieces(self) -> Iterator[tuple[Int64, Array]]:
        """Yield sums and their codes, (points, channels) each."""
        for sums, codes in zip(self.points.pieces(), self.codes, strict=True):
            yield sums + self.shift, codes - self.less if self.less else codes


def certify(
    steps: Steps,
    multiplier: Real,
    offset: Real,
    nudges: tuple[Real, ...],
    first_shift: int,
    carrier: np.dtype[Any],
    one_clip: bool = False,
) -> tuple[CertifiedLine, NDArray[np.bool_]]:
    """Return an expression for each channel, and for which channels it is proven to equal what the steps are of.

    multiplier, offset, nudges: shape (channels,), as in numerics' Slope.
    first_shift: as in numerics' Slope.
    carrier: the dtype in which the expression computes.
    one_clip: whether all channels must have the same limits.
    """
    # the codes that the ends reach are the limits: an inner saturation shows as a clip of the output
    least, most = (codes.astype(carrier) for codes in steps.ends())
    if one_clip:
        least, most = np.full_like(least, least.min()), np.full_like(most, most.max())
    attempts = [
        CertifiedLine(
            multiplier.astype(carrier),
            (offset + 0.5 + plain).astype(carrier),
            signed.astype(carrier),
            steps.zero + 0.5,
            least,
            most,
            first_shift,
            carrier,
        )
        for plain, signed in _nudges(nudges, multiplier.shape)
    ]
    equal = [steps.flat.copy() for _ in attempts]
    for sums, codes in steps.pieces():
        for attempt, same in zip(attempts, equal, strict=True):
            same &= (attempt(sums.astype(carrier), Scratch()) == codes).all(axis=0)
    best, proven = attempts[0], equal[0]
    for attempt, same in zip(attempts[1:], equal[1:], strict=True):
        best = _merged(best, attempt, same & ~proven)
        proven = proven | same
    return best, proven


@dataclass(frozen=True, eq=False)
class Points:
    """The sums to compare at: the ends, and some around each step. They are made piece by piece: all at once would take
    more memory than the network whose layer it is."""

    #: Sums at steps, (steps, channels), ascending.
    at: Int64
    #: Where points lie around a step.
    around: Int64
    #: The reachable sums, shape (channels,).
    low: Int64
    high: Int64

    @classmethod
    def of(
        cls, multiplier: Real, offset: Real, first_shift: int, dtype: np.dtype[Any], low: Int64, high: Int64
    ) -> Points:
        first, last = code_range(dtype)
        scale = 1 << first_shift
        with np.errstate(all="ignore"):
            real = np.subtract(np.arange(first, last)[:, None] + 0.5, offset)
            np.divide(real, multiplier, out=real)
        np.nan_to_num(real, copy=False, nan=0.0, posinf=2.0**50, neginf=-(2.0**50))
        np.multiply(real, scale, out=real)
        np.clip(real, low - 8.0 * scale, high + 8.0 * scale, out=real)
        at: Int64 = np.floor(real, out=real).astype(np.int64)
        if not first_shift:
            return cls(np.sort(at, axis=0), AROUND, low, high)
        # steps lie where the first rounding changes: half a unit before each multiple of 2^first_shift
        at = ((at >> first_shift) << first_shift) + (scale >> 1)
        around = np.concatenate([AROUND[:, None] * scale - 1, AROUND[:, None] * scale], axis=1).reshape(-1)
        return cls(np.sort(at, axis=0), around, low, high)

    def pieces(self) -> Iterator[Int64]:
        """Yield the points, (points, channels) each, ascending; the last of a piece are the first of the next."""
        last = self.low
        rows = max(1, PIECE // max(1, self.low.size * self.around.size))
        starts = range(0, len(self.at), rows)
        for first in starts:
            at = self.at[first : first + rows]
            inner = at[:, None, :] + self.around[:, None]
            # where steps are near each other: points up to the last of the step before are among that step's
            before = np.concatenate([last[None], at[:-1] + self.around[-1]])
            np.maximum(inner, before[:, None, :], out=inner)
            np.clip(inner, self.low, self.high, out=inner)
            end = [self.high[None]] if first == starts[-1] else []
            piece = np.concatenate([last[None], inner.reshape(-1, self.low.size), *end])
            last = piece[-1]
            yield piece


def _nudges(nudges: tuple[Real, ...], shape: tuple[int, ...]) -> Iterator[tuple[Real, Real]]:
    """Yield (added to the offset, added with the value's sign): none, then each nudge plain and signed."""
    none = np.zeros(shape)
    yield none, none
    for nudge in nudges:
        yield np.broadcast_to(nudge, shape), none
        yield none, np.broadcast_to(nudge, shape)


def _merged(best: CertifiedLine, attempt: CertifiedLine, where: NDArray[np.bool_]) -> CertifiedLine:
    """Return `attempt` for the channels of `where`, else `best`."""
    assert best.nudge is not None and attempt.nudge is not None
    offset = np.where(where, attempt.offset, best.offset)
    nudge = np.where(where, attempt.nudge, best.nudge)
    return CertifiedLine(
        best.multiplier, offset, nudge, best.pivot, best.low, best.high, best.first_shift, best.carrier
    )
