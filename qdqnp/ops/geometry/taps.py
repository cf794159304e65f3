"""What the windowed averages share: taps, which of them lie inside the image, and the divisor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qdqnp.graph import Sizes
from qdqnp.kernels.pool import pad_plane, tap, window_taps
from qdqnp.kernels.sums import Window
from qdqnp.ops.geometry.pool import PoolAttributes
from qdqnp.ops.geometry.windows import as_planes, axes_for, window_for
from qdqnp.quant import Array, Int64


@dataclass(frozen=True)
class AverageAttributes(PoolAttributes):
    count_include_pad: int = 0


@dataclass(frozen=True, eq=False)
class Taps:
    """The taps of the windows of an average."""

    #: The values of the taps, shape (taps, N, C, Ho, Wo), row-major within the window.
    values: Array
    #: Whether a tap lies inside the image, shape (taps, Ho, Wo).
    inside: Array
    #: The divisor of each window, shape (Ho, Wo).
    count: Int64


def taps_of(attributes: AverageAttributes, x: Array, rows_out: int, cols_out: int) -> Taps:
    """Return the window's elements one by one. Padding is 0 and not inside.

    The divisor counts elements of the image, or, with count_include_pad, elements of the window as far as the declared
    padding reaches.
    """
    planes = as_planes(x)
    window = window_for(attributes, attributes.kernel_shape, x.shape[2:])
    padded = pad_plane(planes, window, rows_out, cols_out, 0)
    ones = pad_plane(np.ones(planes.shape[2:], bool), window, rows_out, cols_out, False)
    places = [(row, col) for row in range(window.kernel[0]) for col in range(window.kernel[1])]
    values = np.stack([tap(padded, window, *place, rows_out, cols_out) for place in places])
    inside = np.stack([tap(ones, window, *place, rows_out, cols_out) for place in places])
    counted = _within_pads(planes.shape[2:], window, rows_out, cols_out) if attributes.count_include_pad else inside
    return Taps(values, inside, counted.sum(axis=0, dtype=np.int64))


def volume_taps(attributes: AverageAttributes, x: Array, out: Sizes) -> Taps:
    """Return what `taps_of` does for windows in three axes: values (taps, N, C, *out), the others without N and C."""
    kernel, spatial = attributes.kernel_shape, x.shape[2:]
    axes = axes_for(attributes, kernel, spatial)
    values = np.stack(list(window_taps(x, axes, kernel, out, 0)))
    inside = np.stack(list(window_taps(np.ones(spatial, bool), axes, kernel, out, False)))
    counted = np.ones((1, *out), np.int64)
    for at, ((stride, dilation, before, after), taps, count, size) in enumerate(
        zip(axes, kernel, out, spatial, strict=True)
    ):
        places = np.arange(count)[:, None] * stride + np.arange(taps) * dilation - before
        within = places < size + after if attributes.count_include_pad else (places >= 0) & (places < size)
        counted = counted * within.sum(axis=1).reshape(tuple(-1 if axis == at else 1 for axis in range(len(out))))
    return Taps(values, inside, counted[0])


def _within_pads(size: tuple[int, ...], window: Window, rows_out: int, cols_out: int) -> Array:
    """Mark the taps in the image or its declared padding (ceil_mode may reach beyond), shape (taps, Ho, Wo)."""
    top, left, bottom, right = window.pads
    places = [(row, col) for row in range(window.kernel[0]) for col in range(window.kernel[1])]
    rows, cols = np.arange(rows_out) * window.strides[0], np.arange(cols_out) * window.strides[1]
    return np.stack(
        [
            ((rows + row * window.dilations[0]) < size[0] + top + bottom)[:, None]
            & ((cols + col * window.dilations[1]) < size[1] + left + right)
            for row, col in places
        ]
    )
