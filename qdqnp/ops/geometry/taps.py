"""What the windowed averages share: taps, which of them lie inside the image, and the divisor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qdqnp.graph import Sizes
from qdqnp.kernels.pool import window_taps
from qdqnp.ops.geometry.pool import PoolAttributes
from qdqnp.ops.geometry.windows import axes_for
from qdqnp.quant import Array, Int64


@dataclass(frozen=True)
class AverageAttributes(PoolAttributes):
    count_include_pad: int = 0


@dataclass(frozen=True, eq=False)
class Taps:
    """The taps of the windows of an average."""

    #: The values of the taps, shape (taps, N, C, *out), row-major within the window.
    values: Array
    #: Whether a tap lies inside the image, shape (taps, *out).
    inside: Array
    #: The divisor of each window, shape out.
    count: Int64


def taps_of(attributes: AverageAttributes, x: Array, out: Sizes) -> Taps:
    """Return the window's elements one by one. Padding is 0 and not inside.

    The divisor counts elements of the image, or, with count_include_pad, elements of the window as far as the declared
    padding reaches.
    """
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
