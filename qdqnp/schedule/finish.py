"""Exact sums become codes, channels last, by the expression that is proven for the layer.

The last operation of all, which makes codes less their zero point, is that of the store: it writes to its own place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from qdqnp.executor.fast.sums import Linear
from qdqnp.kernels.certify import CertifiedLine
from qdqnp.kernels.finish import CertifiedFinish, FloatFinish
from qdqnp.kernels.scratch import Scratch
from qdqnp.kernels.strategy import LIMIT32
from qdqnp.quant import Array, Float32

#: Values in a row of numbers that belong to channels: repeated over pixels, so that NumPy's inner loops are long. It
#: was measured and decides speed only.
ROW = 2048

Call = Callable[[], None]


def pixels_of_a_row(channels: int) -> int:
    """Return over how many pixels numbers of channels are repeated; a tile has a multiple of as many."""
    return -(-ROW // channels)


def tile_floats(pixels: int, channels: int) -> int:
    """Return the floats of a tile of so many pixels, rounded up to whole rows of numbers."""
    row = pixels_of_a_row(channels)
    return -(-pixels // row) * row * channels


def repeated(values: Array, channels: int) -> Array:
    """Return values of channels, or one value for all, as a row (1, pixels * channels)."""
    each = np.broadcast_to(np.ravel(values), (channels,))
    return np.tile(each, pixels_of_a_row(channels))[None]


@dataclass(frozen=True, eq=False)
class Direct:
    """rint(clip(f32(sum + bias) * multiplier)): ONNX Runtime's rule, whose code less zero point needs no zero point."""

    #: All rows as `repeated` makes them.
    bias: Float32
    multiplier: Float32
    low: np.float32
    high: np.float32

    def bind(self, tile: Array, wide: Array) -> Call:
        """Return what turns the sums of a flat tile, in place, into values whose rint is the code less zero point."""
        rows = tile.reshape(-1, self.bias.size)
        biased = bool(self.bias.any())

        def finish() -> None:
            if biased:
                np.add(rows, self.bias, out=rows)
            np.multiply(rows, self.multiplier, out=rows)
            tile.clip(self.low, self.high, out=tile)

        return finish

    wide_floats = 0
    #: Values are yet to be rounded when they are stored.
    left = None


@dataclass(frozen=True, eq=False)
class Certified:
    """The certified expression of the layer, which takes raw sums: of codes whose zero point is not subtracted."""

    expression: CertifiedLine
    #: Added to sums, which makes them raw; a row, or None where nothing is to be added. In float32 where that holds raw
    #: sums, else in the expression's dtype.
    raw: Array | None
    #: The zero point, which is yet to be subtracted when codes are stored.
    left: np.float32

    @property
    def wide_floats(self) -> int:
        """How many floats of work memory each element of a tile takes."""
        return 2 if self.expression.carrier == np.float64 else 0

    def bind(self, tile: Array, wide: Array) -> Call:
        """Return what turns the sums of a flat tile, in place, into codes.

        wide: work memory, `wide_floats` for each element.
        """
        real = wide[: 2 * tile.size].view(np.float64) if self.wide_floats else tile
        rows = real.reshape(-1, self.expression.multiplier.size)
        scratch, raw = Scratch(), self.raw
        early = raw is not None and raw.dtype == tile.dtype

        def finish() -> None:
            if raw is not None and early:
                narrow = tile.reshape(-1, raw.size)
                np.add(narrow, raw, out=narrow)
            if real is not tile:
                np.copyto(real, tile)
            if raw is not None and not early:
                np.add(rows, raw, out=rows)
            self.expression(rows, scratch)
            if real is not tile:
                np.copyto(tile, real, casting="same_kind")

        return finish


Finish = Direct | Certified


def finish_of(layer: Linear, zero_point: int) -> Finish | None:
    """Return how a layer's sums of (code - zero point) become codes; None where only the definition is proven.

    zero_point: of the output.
    """
    channels, found = layer.correction.size, layer.finish
    if isinstance(found, FloatFinish):
        bias = layer.requantizer.bias
        offset = np.zeros(channels) if bias is None else np.broadcast_to(np.ravel(bias), (channels,))
        # float32 holds every integer to 2^24; the sum of two such is rounded once, as the conversion of int32 is
        if np.abs(offset).max(initial=0) > LIMIT32:
            return None
        rows = repeated(offset.astype(np.float32), channels), repeated(found.multiplier, channels)
        return Direct(*rows, found.low, found.high)
    if isinstance(found, CertifiedFinish) and found.exact is None:
        line = found.expression
        # with a first rounding the expression takes the sums themselves, else raw ones: raw + correction = sum
        raw = None if found.correction is not None or not layer.correction.any() else -layer.correction
        shaped = replace(
            line,
            multiplier=repeated(line.multiplier, channels),
            offset=repeated(line.offset, channels),
            nudge=None if line.nudge is None else repeated(line.nudge, channels),
            low=line.low if line.low.ndim == 0 else repeated(line.low, channels),
            high=line.high if line.high.ndim == 0 else repeated(line.high, channels),
        )
        kept = np.dtype(np.float32) if _raw_bound(layer) <= LIMIT32 else line.carrier
        return Certified(shaped, None if raw is None else repeated(raw.astype(kept), channels), np.float32(zero_point))
    return None


def _raw_bound(layer: Linear) -> int:
    """Return the magnitude that no sum of products with codes exceeds, whatever the codes of 8 bits are."""
    return int(np.abs(layer.weights.array.astype(np.int64)).sum(axis=-1).max(initial=0)) * 255
