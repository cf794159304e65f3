"""Exact sums become codes, channels last, by the expression that is proven for the layer.

The last operation of all, `settle`, makes codes less their zero point: it writes to their own place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from qdqnp.executor.fast.sums import Linear
from qdqnp.kernels.certify import CertifiedLine
from qdqnp.kernels.finish import CertifiedFinish
from qdqnp.kernels.strategy import LIMIT32
from qdqnp.numerics.rules.requantize.protocol import FloatExpression
from qdqnp.numerics.width import wrap
from qdqnp.quant import EIGHT_BIT, Array, Float32, Int64, code_range

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


def repeated(values: Array, channels: int, blocks: int = 1) -> Array:
    """Return values of channels, or one value for all, as rows (blocks, 1, pixels * channels of a block)."""
    each = np.broadcast_to(np.ravel(values), (channels,)).reshape(blocks, 1, -1)
    return np.tile(each, pixels_of_a_row(channels // blocks))


def _in_blocks(row: Array, channels: int, blocks: int) -> Array:
    """Return what `repeated` made for one block, for several."""
    return repeated(row[0, 0, :channels], channels, blocks)


def _rows(tile: Array, values: Array) -> Array:
    """View a flat tile as rows of numbers that `values`, as `repeated` makes them, are for."""
    return tile.reshape(len(values), -1, values.shape[-1])


@dataclass(frozen=True, eq=False)
class Large:
    """Channels whose bias is larger than float32 holds: their accumulators are int32, which may wrap.

    Quantizers give a bias of nearly 2^31 to channels whose weights are all but zero.
    """

    channels: NDArray[np.intp]
    #: Of these channels.
    bias: Int64
    multiplier: Float32

    def __call__(self, pixels: Array) -> Array:
        """Return f32(acc) * multiplier of the channels, for sums (pixels, all channels)."""
        acc = wrap(pixels[:, self.channels].astype(np.int64) + self.bias, 32)
        return np.asarray(acc.astype(np.float32) * self.multiplier)


@dataclass(frozen=True, eq=False)
class Direct:
    """rint(clip(f32(sum + bias) * multiplier)): ONNX Runtime's rule, whose code less zero point needs no zero point."""

    #: All rows as `repeated` makes them.
    bias: Float32
    multiplier: Float32
    low: np.float32
    high: np.float32
    channels: int
    large: Large | None = None

    def bind(self, tile: Array, wide: Array) -> Call:
        """Return what turns the sums of a flat tile, in place, into values whose rint is the code less zero point."""
        rows, pixels = _rows(tile, self.bias), tile.reshape(-1, self.channels)
        biased, large = bool(self.bias.any()), self.large

        def finish() -> None:
            others = None if large is None else large(pixels)
            if biased:
                np.add(rows, self.bias, out=rows)
            np.multiply(rows, self.multiplier, out=rows)
            if large is not None:
                pixels[:, large.channels] = others
            tile.clip(self.low, self.high, out=tile)

        return finish

    wide_floats = 0

    def in_blocks(self, blocks: int) -> Direct | None:
        """Return the finish of tiles whose channels lie in blocks; None where it has none."""
        if self.large is not None:
            return None
        bias, multiplier = (_in_blocks(row, self.channels, blocks) for row in (self.bias, self.multiplier))
        return replace(self, bias=bias, multiplier=multiplier)

    def settle(self, tile: Array, out: Array) -> None:
        """Write codes less their zero point."""
        np.rint(tile, out=out)


@dataclass(frozen=True, eq=False)
class Certified:
    """The certified expression of the layer from sums of codes less their zero point to such codes; clipped last."""

    #: All rows as `repeated` makes them.
    expression: CertifiedLine
    channels: int
    #: The limits of all channels.
    low: np.float32
    high: np.float32
    #: Those of each, float32, where they differ; None where they are the same.
    lows: Array | None
    highs: Array | None
    #: Whether float32 holds sums and the half that a first rounding adds.
    first_in_float32: bool

    @property
    def wide_floats(self) -> int:
        """How many floats of work memory each element of a tile takes: two for a float64, and as many for a nudge."""
        each = 2 if self.expression.carrier == np.float64 else 1
        return (each if each == 2 else 0) + (each if self.expression.nudge is not None else 0)

    def bind(self, tile: Array, wide: Array) -> Call:
        """Return what turns the sums of a flat tile, in place, into codes less their zero point, yet to be clipped.

        wide: work memory, `wide_floats` for each element.
        """
        carrier, early = self.expression.carrier, self.first_in_float32
        wide = wide.view(carrier)
        real, side = (wide[: tile.size], wide[tile.size :]) if carrier == np.float64 else (tile, wide)
        rows = _rows(real, self.expression.multiplier)
        beside = None if self.expression.nudge is None else side[: tile.size].reshape(rows.shape)

        def finish() -> None:
            if early:
                self.expression.first(tile)
            if real is not tile:
                np.copyto(real, tile)
            if not early:
                self.expression.first(real)
            self.expression.floors(rows, beside)
            if real is not tile:
                np.copyto(tile, real, casting="same_kind")
            for limit, limits in ((np.maximum, self.lows), (np.minimum, self.highs)):
                if limits is not None:
                    narrow = _rows(tile, limits)
                    limit(narrow, limits, out=narrow)

        return finish

    def in_blocks(self, blocks: int) -> Certified:
        """Return the finish of tiles whose channels lie in blocks, (blocks, pixels, channels)."""
        line, parts = self.expression, (self.channels, blocks)
        shaped = replace(
            line,
            multiplier=_in_blocks(line.multiplier, *parts),
            offset=_in_blocks(line.offset, *parts),
            nudge=None if line.nudge is None else _in_blocks(line.nudge, *parts),
        )
        lows, highs = (None if row is None else _in_blocks(row, *parts) for row in (self.lows, self.highs))
        return replace(self, expression=shaped, lows=lows, highs=highs)

    def settle(self, tile: Array, out: Array) -> None:
        """Write codes less their zero point. Integers that float32 rounded are clipped as they were: order is kept."""
        tile.clip(self.low, self.high, out=out)


Finish = Direct | Certified


def finish_of(layer: Linear) -> Finish | None:
    """Return how a layer's sums of (code - zero point) become codes; None where only the definition is proven."""
    channels, found, expression = layer.correction.size, layer.finish, layer.requantizer.expression
    if expression is not None:
        return _direct(layer, expression)
    if isinstance(found, CertifiedFinish) and found.centered is not None:
        line = found.centered
        shaped = replace(
            line,
            multiplier=repeated(line.multiplier, channels),
            offset=repeated(line.offset, channels),
            nudge=None if line.nudge is None else repeated(line.nudge, channels),
        )
        reach = layer.weights.proof.bound + int(np.abs(layer.correction).max(initial=0))
        early = reach + (1 << line.first_shift) <= LIMIT32
        low, high = np.float32(line.low.min()), np.float32(line.high.max())
        return Certified(shaped, channels, low, high, _each(line.low, channels), _each(line.high, channels), early)
    return None


def _direct(layer: Linear, expression: FloatExpression) -> Direct | None:
    """Return the finish of a rule that is one float32 expression; None where it does not make codes of 8 bits."""
    channels, dtype = layer.correction.size, expression.dtype
    if dtype not in EIGHT_BIT or not np.isfinite(expression.multiplier).all():
        return None
    given = 0 if layer.requantizer.bias is None else np.ravel(layer.requantizer.bias)
    bias = np.broadcast_to(np.asarray(given, np.int64), (channels,))
    multiplier = np.broadcast_to(np.ravel(expression.multiplier), (channels,))
    low, high = (np.float32(code - expression.zero_point) for code in code_range(dtype))
    # float32 holds every integer to 2^24; the sum of two such is rounded once, as the conversion of int32 is
    which = np.flatnonzero(np.abs(bias) > LIMIT32)
    large = Large(which, bias[which], multiplier[which]) if which.size else None
    rows = repeated(bias.astype(np.float32), channels), repeated(multiplier, channels)
    return Direct(*rows, low, high, channels, large)


def _each(limits: Array, channels: int) -> Array | None:
    """Return limits of channels as a row; None where all have the same."""
    return None if limits.ndim == 0 else repeated(limits.astype(np.float32), channels)
