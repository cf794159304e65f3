"""The maximum over sliding windows, and the taps of a window as views."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np

from qdqnp.kernels.sums import Window
from qdqnp.quant import Array, Codes, Int64

#: Stride, dilation, padding before and padding after of one axis.
Axis = tuple[int, int, int, int]


def pad_plane(x: Array, window: Window, rows_out: int, cols_out: int, fill: object) -> Array:
    """Surround x (..., H, W) by `fill`, far enough for every window of an output of that size.

    ceil_mode reaches beyond the declared pads. Negative padding cuts off instead.
    """
    top, left = window.pads[:2]
    x, top, left = x[..., max(-top, 0) :, max(-left, 0) :], max(top, 0), max(left, 0)
    height, width = x.shape[-2:]
    need_h = (rows_out - 1) * window.strides[0] + window.dilations[0] * (window.kernel[0] - 1) + 1
    need_w = (cols_out - 1) * window.strides[1] + window.dilations[1] * (window.kernel[1] - 1) + 1
    if top == left == 0 and need_h <= height and need_w <= width:
        return x
    shape = (*x.shape[:-2], max(need_h, top + height), max(need_w, left + width))
    padded = np.full(shape, fill, x.dtype)
    padded[..., top : top + height, left : left + width] = x
    return padded


def tap(padded: Array, window: Window, row: int, col: int, rows_out: int, cols_out: int) -> Array:
    """Return the element at (row, col) of every window, shape (..., Ho, Wo), as a view."""
    top, left = row * window.dilations[0], col * window.dilations[1]
    return padded[
        ...,
        top : top + (rows_out - 1) * window.strides[0] + 1 : window.strides[0],
        left : left + (cols_out - 1) * window.strides[1] + 1 : window.strides[1],
    ]


def max_pool(x: Codes, window: Window, rows_out: int, cols_out: int) -> Codes:
    """Return the maximum of each window of x (N, C, H, W); padding never wins: it is the lowest code.

    Rows and columns are reduced one after the other: a maximum does not depend on order.
    """
    padded = pad_plane(x, window, rows_out, cols_out, np.iinfo(x.dtype).min)
    tall = _max_along(padded, x.ndim - 2, 0, window, rows_out)  # rows first: they are contiguous
    return _max_along(tall, x.ndim - 1, 1, window, cols_out)


def _max_along(x: Array, axis: int, side: int, window: Window, count: int) -> Array:
    """Reduce the window's taps along one axis to their maximum.

    side: 0 for rows, 1 for columns.
    """
    stride, dilation = window.strides[side], window.dilations[side]

    def tap_at(index: int) -> Array:
        start = index * dilation
        view: Array = np.moveaxis(x, axis, 0)[start : start + (count - 1) * stride + 1 : stride]
        return np.moveaxis(view, 0, axis)

    if window.kernel[side] == 1:
        return tap_at(0).copy()
    out: Array = np.maximum(tap_at(0), tap_at(1))
    for index in range(2, window.kernel[side]):
        np.maximum(out, tap_at(index), out=out)
    return out


def pad_windows(x: Array, axes: Sequence[Axis], kernel: Sequence[int], out: Sequence[int], fill: object) -> Array:
    """Surround x by `fill` along its last axes, far enough for every window of an output of sizes `out`.

    Negative padding cuts off.
    """
    lead: tuple[Any, ...] = (slice(None),) * (x.ndim - len(axes))
    x = x[(*lead, *(slice(max(-before, 0), None) for _, _, before, _ in axes))]
    shape, inner = list(x.shape[: len(lead)]), list(lead)
    for (stride, dilation, before, _), taps, count, size in zip(axes, kernel, out, x.shape[len(lead) :], strict=True):
        head = max(before, 0)
        shape.append(max((count - 1) * stride + dilation * (taps - 1) + 1, head + size))
        inner.append(slice(head, head + size))
    padded = np.full(shape, fill, x.dtype)
    padded[tuple(inner)] = x
    return padded


def window_taps(
    x: Array, axes: Sequence[Axis], kernel: Sequence[int], out: Sequence[int], fill: object
) -> Iterator[Array]:
    """Yield the element at each place of every window, row-major, as views of shape (..., *out), along the last axes.

    Padding is `fill`; negative padding cuts off.
    """
    padded = pad_windows(x, axes, kernel, out, fill)
    lead: list[Any] = [slice(None)] * (x.ndim - len(axes))
    for tap_ in product(*map(range, kernel)):
        place = lead.copy()
        for t, (stride, dilation, _, _), count in zip(tap_, axes, out, strict=True):
            place.append(slice(t * dilation, t * dilation + (count - 1) * stride + 1, stride))
        yield padded[tuple(place)]


def choose_one_by_one(
    x: Array, axes: Sequence[Axis], kernel: Sequence[int], out: Sequence[int], by_rows: bool
) -> tuple[Array, Int64]:
    """Return the first element of each window of x (N, C, ...), from there on whatever is truly larger; and its place.

    by_rows: how the places of one channel are counted, along the last axis first or along the first one.
    """
    spatial = x.shape[2:]
    lowest: Any = np.finfo(x.dtype).min if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    counted = np.arange(int(np.prod(spatial, dtype=np.int64))).reshape(spatial, order="C" if by_rows else "F")
    best = np.full((*x.shape[:2], *out), lowest, x.dtype)
    place = np.full(best.shape, -1, np.int64)
    begun = np.zeros(tuple(out), bool)
    parts = zip(
        window_taps(x, axes, kernel, out, lowest),
        window_taps(counted, axes, kernel, out, -1),
        strict=True,
    )
    for values, at in parts:
        here = at >= 0
        better = here & (~begun | (values > best))
        best, place = np.where(better, values, best), np.where(better, at, place)
        begun |= here
    return best, place
