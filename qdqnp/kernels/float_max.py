"""Maximum of float32 windows, with ONNX Runtime's choice between 0.0 and -0.0 and where NaN are.

A maximum does not depend on its order but for these, and ONNX Runtime has four orders: core/mlas/lib/pooling.cpp and,
for all that MLAS lacks, core/providers/cpu/nn/pool_functors.h. Compared with onnxruntime 1.32 bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import reduce

import numpy as np

from qdqnp.kernels.pool import Axis, pad_plane, tap, window_taps
from qdqnp.kernels.sums import Window
from qdqnp.quant import Array, Float32

LOWEST = np.float32(np.finfo(np.float32).min)
#: Floats in a vector of MLAS.
LANES = 4
#: Columns, padding included, that MLAS's vectorized kernel has room for.
WIDEST = 2048 - (LANES - 1)
LARGEST_KERNEL = 32

Choice = Callable[[Array, Array], Array]


def float_max_pool(x: Float32, window: Window, rows: int, cols: int, planar: bool, plain: bool) -> Float32:
    """Return the maximum of each window of x (N, C, H, W), of shape (N, C, rows, cols).

    planar: whether the image has rows in the file, not only here.
    plain: whether MLAS computes it, which knows neither dilations nor an order of indices.
    """
    if not plain:
        return _one_by_one(x, window, rows, cols)
    pads, size = window.pads, x.shape[-2:]
    if window.kernel == size and window.strides == (1, 1) and not any(pads):
        return largest(x.reshape(*x.shape[:2], -1))[..., None, None]
    fits = max(window.kernel) <= LARGEST_KERNEL and size[1] + pads[1] + pads[3] <= WIDEST
    if planar and window.strides[1] <= 2 and fits and min(pads) >= 0:
        return _vectorized(x, window, rows, cols)
    padded = pad_plane(x, window, rows, cols, LOWEST)
    return reduce(first_of_equals, _taps(padded, window, rows, cols), np.full((*x.shape[:2], rows, cols), LOWEST))


def first_of_equals(best: Array, x: Array) -> Array:
    """Return the larger; the first of equals, and where one is a NaN. As std::max."""
    return np.where(best < x, x, best)


def _last(best: Array, x: Array) -> Array:
    """Return the larger; the second of equals, and where one is a NaN. As the instruction maxps."""
    return np.where(best > x, best, x)


def _taps(padded: Array, window: Window, rows: int, cols: int) -> Iterable[Array]:
    for row in range(window.kernel[0]):
        for col in range(window.kernel[1]):
            yield tap(padded, window, row, col, rows, cols)


def _one_by_one(x: Float32, window: Window, rows: int, cols: int) -> Float32:
    """Return the first element in the image, and from there on whatever is truly larger."""
    inside = pad_plane(np.ones(x.shape[-2:], bool), window, rows, cols, False)
    best = np.full((*x.shape[:2], rows, cols), LOWEST)
    begun = np.zeros((rows, cols), bool)
    padded = pad_plane(x, window, rows, cols, LOWEST)
    for values, here in zip(_taps(padded, window, rows, cols), _taps(inside, window, rows, cols), strict=True):
        best = np.where(here & (~begun | (values > best)), values, best)
        begun |= here
    return best


def largest(x: Float32) -> Float32:
    """Return the maximum of all elements, (N, C, n) to (N, C).

    Four lanes, the lanes against each other, then what is left over.
    """
    full = x.shape[-1] // LANES * LANES
    lanes = np.full((*x.shape[:2], LANES), LOWEST)
    for start in range(0, full, LANES):
        lanes = _last(lanes, x[..., start : start + LANES])
    lanes = _last(lanes[..., :2], lanes[..., 2:])
    best = _last(lanes[..., 0], lanes[..., 1])
    return reduce(first_of_equals, (x[..., at] for at in range(full, x.shape[-1])), best)


def float_max_volume(x: Float32, axes: Sequence[Axis], kernel: tuple[int, ...], out: tuple[int, ...]) -> Float32:
    """Return the maximum of each window of x (N, C, D, H, W), of shape (N, C, *out), as MLAS computes it."""
    if kernel == x.shape[2:] and all(axis == (1, 1, 0, 0) for axis in axes):
        return largest(x.reshape(*x.shape[:2], -1)).reshape(*x.shape[:2], 1, 1, 1)
    stride, _, left, right = axes[2]
    if stride > 2 or max(kernel) > LARGEST_KERNEL or x.shape[4] + left + right > WIDEST:
        taps = window_taps(x, axes, kernel, out, LOWEST)
        return reduce(first_of_equals, taps, np.full((*x.shape[:2], *out), LOWEST))
    found = np.empty((*x.shape[:2], *out), np.float32)
    for place in np.ndindex(*out[:2]):
        ranges = [
            range(max(at * axis[0] - axis[2], 0), min(at * axis[0] - axis[2] + taps, size))
            for at, axis, taps, size in zip(place, axes[:2], kernel[:2], x.shape[2:4], strict=True)
        ]
        lines = [x[:, :, depth, row] for depth in ranges[0] for row in ranges[1]]
        line = _reduced([np.full_like(lines[0], LOWEST), *lines], x.shape[4])
        buffer = np.full((*x.shape[:2], max((out[2] - 1) * stride + kernel[2], left + x.shape[4])), LOWEST)
        buffer[..., left : left + x.shape[4]] = line
        ends = (out[2] - 1) * stride + 1
        parts = (buffer[..., at : at + ends : stride] for at in range(kernel[2]))
        found[(slice(None), slice(None), *place)] = reduce(_last, parts)
    return found


def _reduced(lines: Sequence[Float32], width: int) -> Float32:
    """Reduce lines of an image to one: four columns at once, those left over one by one."""
    full = width // LANES * LANES
    parts = ((slice(0, full), _last), (slice(full, width), first_of_equals))
    return np.concatenate([reduce(choose, (line[..., part] for line in lines)) for part, choose in parts], axis=-1)


def _vectorized(x: Float32, window: Window, rows: int, cols: int) -> Float32:
    """Reduce the rows of each window, four columns at once, those left over one by one; then the columns."""
    top, left = window.pads[:2]
    height, width = x.shape[-2:]
    reach = (cols - 1) * window.strides[1] + window.kernel[1]
    buffer = np.full((*x.shape[:2], rows, max(reach, left + width)), LOWEST)
    for row in range(rows):
        start = row * window.strides[0] - top
        lines = [x[..., at, :] for at in range(max(start, 0), min(start + window.kernel[0], height))]
        buffer[..., row, left : left + width] = _reduced(lines, width)
    ends = (cols - 1) * window.strides[1] + 1
    return reduce(_last, (buffer[..., at : at + ends : window.strides[1]] for at in range(window.kernel[1])))
