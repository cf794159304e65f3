"""A cheap expression in place of a fixed-point requantization, admitted by comparison at every step.

A requantization of one channel is a monotone function of the sum with at most 255 steps, and so is the expression
clip(round(sum * multiplier + offset)). Two monotone functions that agree at two points and have the same value at both
agree everywhere between them. So it is enough to compare them at both ends of the reachable sums and just around each
step, and to see that between any two neighbouring points that were compared neither has a step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdqnp.kernels.scratch import Scratch
from qdqnp.quant import Array, Codes, Int64, code_range

Real = NDArray[np.float64]
Requantize = Callable[[Int64], Codes]  # sums (..., channels) -> codes

# How far around a step the two functions are compared. An expression whose step is off by more is no candidate.
AROUND = np.arange(-2, 4)


@dataclass(frozen=True, eq=False)
class CertifiedLine:
    """codes = clip(floor(first(sum) * multiplier + offset + sign * nudge)), one value per channel.

    first(sum) is the sum, or with first_shift > 0 the sum divided by 2^first_shift and rounded half up.
    sign is that of the value less `pivot` (the zero point, plus the half that makes a floor a rounding); nudge is None
    where no channel needs one. low, high: the clip. carrier: the dtype in which all of it is computed.
    """

    multiplier: Array
    offset: Array
    nudge: Array | None
    pivot: float
    low: Array
    high: Array
    first_shift: int
    carrier: np.dtype[Any]

    def take(self, channels: NDArray[np.bool_]) -> CertifiedLine:
        """Only some channels."""
        nudge = None if self.nudge is None else self.nudge[channels]
        parts = (self.multiplier[channels], self.offset[channels], nudge, self.pivot)
        return CertifiedLine(*parts, self.low[channels], self.high[channels], self.first_shift, self.carrier)

    def along(self, axis: int) -> CertifiedLine:
        """Per-channel values shaped for a 2-D tile whose channel axis is `axis`."""

        def shape(values: Array) -> Array:
            return values.reshape((-1, 1) if axis == 0 else (1, -1))

        nudge = None if self.nudge is None or not self.nudge.any() else shape(self.nudge)
        parts = (shape(self.multiplier), shape(self.offset), nudge, self.pivot)
        return CertifiedLine(*parts, shape(self.low), shape(self.high), self.first_shift, self.carrier)

    def __call__(self, real: Array, scratch: Scratch) -> Array:
        """real: sums in the carrier's dtype; overwritten with the codes and returned."""
        if self.first_shift:
            np.multiply(real, self.carrier.type(2.0**-self.first_shift), out=real)
            np.add(real, self.carrier.type(0.5), out=real)
            np.floor(real, out=real)
        np.multiply(real, self.multiplier, out=real)
        np.add(real, self.offset, out=real)
        if self.nudge is not None:
            side = scratch.take("nudge", real.shape, self.carrier)
            np.subtract(real, self.carrier.type(self.pivot), out=side)
            np.copysign(self.nudge, side, out=side)
            np.add(real, side, out=real)
        real.clip(self.low, self.high, out=real)
        np.floor(real, out=real)
        return real


def certify(
    requantize: Requantize,
    multiplier: Real,
    offset: Real,
    nudges: tuple[Real, ...],
    first_shift: int,
    zero: int,
    dtype: np.dtype[Any],
    low: Int64,
    high: Int64,
    carrier: np.dtype[Any],
) -> tuple[CertifiedLine, NDArray[np.bool_]]:
    """An expression for each channel, and for which channels it is proven equal to `requantize` on [low, high].

    multiplier, offset, nudges: (channels,) as of numerics' Slope. low, high: reachable sums, (channels,), within which
    requantize is monotone.
    """
    points = _points(multiplier, offset, first_shift, dtype, low, high)
    wanted = requantize(points)
    flat = (points[1:] - points[:-1] <= 1) | (wanted[1:] == wanted[:-1])
    # codes that the ends reach: an inner saturation shows as a clip of the output
    limits = (wanted[0].astype(carrier), wanted[-1].astype(carrier))
    best: CertifiedLine | None = None
    proven = np.zeros(multiplier.shape, bool)
    for plain, signed in _nudges(nudges, multiplier.shape):
        attempt = CertifiedLine(
            multiplier.astype(carrier),
            (offset + 0.5 + plain).astype(carrier),
            signed.astype(carrier),
            zero + 0.5,
            limits[0],
            limits[1] + carrier.type(0.5),
            first_shift,
            carrier,
        )
        got = attempt(points.astype(carrier), Scratch()).astype(np.int64)
        equal = (got == wanted).all(axis=0) & flat.all(axis=0)
        best = attempt if best is None else _merged(best, attempt, equal & ~proven)
        proven |= equal
    assert best is not None
    return best, proven


def _points(multiplier: Real, offset: Real, first_shift: int, dtype: np.dtype[Any], low: Int64, high: Int64) -> Int64:
    """Sums to compare at, (points, channels), ascending: the ends, and some around each step of the expression."""
    first, last = code_range(dtype)
    steps = np.arange(first, last) + 0.5
    with np.errstate(all="ignore"):
        at = (steps[:, None] - offset) / multiplier
    scale = 1 << first_shift
    at = np.nan_to_num(np.asarray(at, np.float64), nan=0.0, posinf=2.0**50, neginf=-(2.0**50)) * scale
    base: Int64 = np.floor(np.clip(at, low - 8.0 * scale, high + 8.0 * scale)).astype(np.int64)
    if first_shift:  # steps lie where the first rounding changes: half a unit before each multiple of 2^first_shift
        base = ((base >> first_shift) << first_shift) + (scale >> 1)
        around = np.concatenate([AROUND[:, None] * scale - 1, AROUND[:, None] * scale], axis=0).reshape(-1)
    else:
        around = AROUND
    inner = (base[:, None, :] + around[None, :, None]).reshape(-1, multiplier.size)
    points = np.concatenate([low[None], np.clip(inner, low, high), high[None]])
    return np.sort(points, axis=0)


def _nudges(nudges: tuple[Real, ...], shape: tuple[int, ...]) -> Iterator[tuple[Real, Real]]:
    """(added to the offset, added with the value's sign): none, then each one plain and signed."""
    none = np.zeros(shape)
    yield none, none
    for nudge in nudges:
        yield np.broadcast_to(nudge, shape), none
        yield none, np.broadcast_to(nudge, shape)


def _merged(best: CertifiedLine, attempt: CertifiedLine, where: NDArray[np.bool_]) -> CertifiedLine:
    """`attempt` for the channels of `where`, else `best`."""
    assert best.nudge is not None and attempt.nudge is not None
    offset = np.where(where, attempt.offset, best.offset)
    nudge = np.where(where, attempt.nudge, best.nudge)
    return CertifiedLine(
        best.multiplier, offset, nudge, best.pivot, best.low, best.high, best.first_shift, best.carrier
    )
