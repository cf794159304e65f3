"""Maximum over sliding windows, and the taps of a window as views."""

from __future__ import annotations

import numpy as np

from qdqnp.kernels.sums import Window
from qdqnp.quant import Array


def pad_plane(x: Array, window: Window, rows_out: int, cols_out: int, fill: object) -> Array:
    """x (..., H, W) surrounded by `fill`, far enough for every window of an output of that size (ceil_mode reaches
    beyond the declared pads). Negative padding cuts off instead."""
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
    """The element at (row, col) of every window, shape (..., Ho, Wo), as a view."""
    top, left = row * window.dilations[0], col * window.dilations[1]
    return padded[
        ...,
        top : top + (rows_out - 1) * window.strides[0] + 1 : window.strides[0],
        left : left + (cols_out - 1) * window.strides[1] + 1 : window.strides[1],
    ]


def max_pool(x: Array, window: Window, rows_out: int, cols_out: int, lowest: object) -> Array:
    """Maximum of each window of x (N, C, H, W); padding never wins (it is the lowest value), nor does a NaN.

    Rows and columns are reduced one after the other: the maximum does not care about order.
    """
    kernel_h, kernel_w = window.kernel
    padded = pad_plane(x, window, rows_out, cols_out, lowest)
    stride_w, dilation_w = window.strides[1], window.dilations[1]
    span = (cols_out - 1) * stride_w + 1
    rows = padded[..., 0:span:stride_w].copy()
    for col in range(1, kernel_w):
        np.fmax(rows, padded[..., col * dilation_w : col * dilation_w + span : stride_w], out=rows)
    stride_h, dilation_h = window.strides[0], window.dilations[0]
    span = (rows_out - 1) * stride_h + 1
    out = rows[..., 0:span:stride_h, :].copy()
    for row in range(1, kernel_h):
        np.fmax(out, rows[..., row * dilation_h : row * dilation_h + span : stride_h, :], out=out)
    np.fmax(out, np.asarray(lowest, x.dtype), out=out)
    return out
