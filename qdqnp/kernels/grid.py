"""Values of an image at places between its elements that a grid names, on plain arrays.

Every product and sum is rounded to float32, in the order of ONNX Runtime 1.32: core/providers/cpu/tensor/
grid_sample.cc; compared with it bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from qdqnp.quant import Array, Float32, Int64

F = np.float32
ONE = F(1)
#: Coordinates beyond this size count as the border.
FAR = F(2.0**62)
#: Elements that a cubic looks at along an axis.
CUBIC = 4
ALPHA = F(-0.75)


@dataclass(frozen=True, eq=False)
class GridAxis:
    """Where the points lie along one axis of the image."""

    #: The size of the image.
    size: int
    #: Places of the points, (P,), in elements.
    at: Float32
    #: The lowest and the highest place, at which reflection turns round.
    border: tuple[np.float32, np.float32]
    #: What lies outside: 'zeros', 'border' or 'reflection'.
    padding: str

    @classmethod
    def of(cls, normal: Float32, size: int, align_corners: bool, padding: str) -> GridAxis:
        """Make the axis of coordinates from -1 to 1: the middles of the corners, or their outer edges."""
        length = F(size)
        with np.errstate(all="ignore"):
            if align_corners:
                at, border = (normal + ONE) / F(2) * F(size - 1), (F(0), length - ONE)
            else:
                at, border = ((normal + ONE) * length - ONE) / F(2), (F(-0.5), length - F(0.5))
        near = np.isfinite(at) & (np.abs(at) <= FAR)
        return cls(size, np.where(near, at, border[0]).astype(F), border, padding)

    @property
    def first(self) -> Int64:
        """The element below each point."""
        return np.floor(self.at).astype(np.int64)

    def inside(self, places: Int64) -> tuple[Int64, Array]:
        """Return the elements that stand for places, and which of them count."""
        if self.padding == "zeros":
            counts = (places >= 0) & (places < self.size)
            return np.where(counts, places, 0), counts
        if self.padding == "reflection":
            places = self._reflected(places.astype(F))
        return np.clip(places, 0, self.size - 1), np.ones(places.shape, bool)

    def _reflected(self, places: Float32) -> Int64:
        """Turn places that lie outside round at the borders, again and again."""
        low, high = self.border
        length = high - low
        if not length > 0:
            return np.full(places.shape, int(low), np.int64)
        below, above = places < low, places > high
        beyond = np.where(below, low - places, np.where(above, places - high, F(0)))
        turns = (beyond / length).astype(np.int64)
        rest = beyond - turns.astype(F) * length
        from_low = below == (turns % 2 == 0)
        turned = np.where(from_low, low + rest, high - rest)
        return np.where(below | above, turned, places).astype(np.int64)


def _values(image: Float32, axes: Sequence[GridAxis], places: Sequence[Int64]) -> Float32:
    """Return the elements of (C, ...) at places, (C, P); 0 where they do not count."""
    found = [axis.inside(each) for axis, each in zip(axes, places, strict=True)]
    counts = np.logical_and.reduce([inside for _, inside in found])
    chosen: tuple[Any, ...] = (slice(None), *(at for at, _ in found))
    return np.where(counts, image[chosen], F(0))


def nearest(image: Float32, axes: Sequence[GridAxis]) -> Float32:
    return _values(image, axes, [np.rint(axis.at).astype(np.int64) for axis in axes])


def linear(image: Float32, axes: Sequence[GridAxis]) -> Float32:
    """Interpolate along the last axis first; in two axes with zeros around, by the weights of the four corners."""
    first = [axis.first for axis in axes]
    to_next = [(at + 1).astype(F) - axis.at for axis, at in zip(axes, first, strict=True)]
    to_first = [axis.at - at.astype(F) for axis, at in zip(axes, first, strict=True)]
    corners = {
        corner: _values(image, axes, [at + more for at, more in zip(first, corner, strict=True)])
        for corner in product((0, 1), repeat=len(axes))
    }
    if len(axes) == 2 and axes[0].padding == "zeros" and axes[0].border[0] < 0:
        shares = [(next_, first_) for next_, first_ in zip(to_next, to_first, strict=True)]
        parts = [shares[0][down] * shares[1][across] * value for (down, across), value in corners.items()]
        return np.asarray(((parts[0] + parts[1]) + parts[2]) + parts[3])
    for next_, first_ in zip(reversed(to_next), reversed(to_first), strict=True):
        lines = {corner[:-1] for corner in corners}
        corners = {line: next_ * corners[(*line, 0)] + first_ * corners[(*line, 1)] for line in lines}
    return corners[()]


def cubic(image: Float32, axes: Sequence[GridAxis]) -> Float32:
    """Interpolate by cubics in two axes, along the last one first."""
    (rows, columns), starts = axes, [axis.first - 1 for axis in axes]
    down, across = (_cubic_weights(axis.at - start.astype(F) - ONE) for axis, start in zip(axes, starts, strict=True))
    lines = [
        _weighted(across, [_values(image, (rows, columns), (starts[0] + row, starts[1] + at)) for at in range(CUBIC)])
        for row in range(CUBIC)
    ]
    return _weighted(down, lines)


def _weighted(weights: Sequence[Float32], values: Sequence[Float32]) -> Float32:
    parts = [weight * value for weight, value in zip(weights, values, strict=True)]
    return np.asarray(((parts[0] + parts[1]) + parts[2]) + parts[3])


def _cubic_weights(x: Float32) -> list[Float32]:
    """Return what the four elements around a point count that lies x behind the second one (Keys, 1981)."""
    x = np.abs(x)
    before, after, rest = x + ONE, F(2) - x, ONE - x
    return [
        ((ALPHA * before - F(5) * ALPHA) * before + F(8) * ALPHA) * before - F(4) * ALPHA,
        ((ALPHA + F(2)) * x - (ALPHA + F(3))) * x * x + ONE,
        ((ALPHA + F(2)) * rest - (ALPHA + F(3))) * rest * rest + ONE,
        ((ALPHA * after - F(5) * ALPHA) * after + F(8) * ALPHA) * after - F(4) * ALPHA,
    ]


#: How values between elements are found, by the name of the mode.
MODES: dict[str, Callable[[Float32, Sequence[GridAxis]], Float32]] = {
    "linear": linear,
    "nearest": nearest,
    "cubic": cubic,
}
