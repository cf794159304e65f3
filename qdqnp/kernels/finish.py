"""A tile of raw sums becomes codes: by one float32 expression where that is proven, else through exact integers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from qdqnp.kernels.certify import CertifiedLine
from qdqnp.kernels.scratch import Scratch
from qdqnp.kernels.strategy import LIMIT32
from qdqnp.quant import Array, Codes, Float32, Int64, code_range


@dataclass(frozen=True, eq=False)
class FloatFinish:
    """codes = rint(clamp(f32(tile + offset) * multiplier)) + zero point.

    The expression is exact because tile and offset are integers that their carrier holds exactly, so f32(tile + offset)
    is the correctly rounded accumulator, which is what a conversion from int32 gives.
    """

    #: Bias and zero-point correction, shaped to broadcast over the tile.
    offset: Array
    #: Shaped to broadcast over the tile.
    multiplier: Float32
    #: The lower limit of the clamp: lowest code less the zero point.
    low: np.float32
    #: The upper limit of the clamp: highest code less the zero point.
    high: np.float32
    zero_point: np.float32

    def __call__(self, tile: Array, scratch: Scratch) -> Array:
        if self.offset.dtype == np.float64:
            real = scratch.take("finish", tile.shape, np.float32)
            np.add(tile, self.offset, out=real, casting="same_kind")
        else:
            real = tile
            np.add(real, self.offset, out=real)
        np.multiply(real, self.multiplier, out=real)  # may overflow to infinity, which the clamp takes in
        real.clip(self.low, self.high, out=real)
        np.rint(real, out=real)
        if self.zero_point:
            np.add(real, self.zero_point, out=real)
        return real


def float_finish(
    tile_dtype: np.dtype[Any],
    bound: int,
    offset: Int64,
    multiplier: Float32,
    zero_point: int,
    dtype: np.dtype[Any],
) -> FloatFinish | None:
    """Return the float32 finish of int32 accumulators, or None where it is not proven to equal them.

        bound: the magnitude that no raw sum exceeds.

    The finish is refused where the int32 accumulator could wrap, or a multiplier is not finite.
    """
    if tile_dtype == np.int64 or not np.isfinite(multiplier).all() or dtype not in (np.int8, np.uint8):
        return None
    reach = int(np.abs(offset).max(initial=0))
    if bound + reach >= 2**31:
        return None
    # float32 holds every integer to 2^24, and the addition then rounds once, as the conversion does.
    carrier = np.float32 if tile_dtype == np.float32 and reach <= LIMIT32 else np.float64
    low, high = code_range(dtype)
    return FloatFinish(
        offset.astype(carrier),
        multiplier,
        np.float32(low - zero_point),
        np.float32(high - zero_point),
        np.float32(zero_point),
    )


@dataclass(frozen=True, eq=False)
class IntegerFinish:
    """codes = requantize(int64 sums): the definition itself, for every rule and every range."""

    #: The bound rule; it takes channels last.
    requantize: Callable[[Int64], Codes]
    #: Turns raw sums into sums of (code - zero point), shaped to broadcast over the tile.
    correction: Int64
    #: The channel axis of the tile.
    axis: int

    def __call__(self, tile: Array, scratch: Scratch) -> Array:
        sums = tile.astype(np.int64) + self.correction
        return np.moveaxis(self.requantize(np.moveaxis(sums, self.axis, -1)), -1, self.axis)


@dataclass(frozen=True, eq=False)
class CertifiedFinish:
    """Computes codes by an expression that `certify` proved; channels that are not proven take the definition."""

    #: Shaped for the tile.
    expression: CertifiedLine
    #: Added to raw sums first, where the rule rounds before it multiplies; None where the expression's offset holds it.
    correction: Array | None
    #: Indices of unproven channels.
    rest: Int64
    #: The finish of the unproven channels; None where all are proven.
    exact: IntegerFinish | None
    #: The channel axis of the tile.
    axis: int
    #: From sums of codes less their zero point to such codes, channels last; None if not all are proven.
    centered: CertifiedLine | None = None

    def __call__(self, tile: Array, scratch: Scratch) -> Array:
        others = tile.take(self.rest, axis=self.axis) if self.exact is not None else None
        real = tile
        if tile.dtype != self.expression.carrier:
            real = scratch.take("finish", tile.shape, self.expression.carrier)
            np.copyto(real, tile, casting="unsafe")  # float32 to float64, or int64 sums that float64 holds
        if self.correction is not None:
            np.add(real, self.correction, out=real)
        codes = self.expression(real, scratch)
        if self.exact is not None and others is not None:
            if self.axis == 0:
                codes[self.rest] = self.exact(others, scratch)
            else:
                codes[:, self.rest] = self.exact(others, scratch)
        return codes
