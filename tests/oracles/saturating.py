"""uint8 x int8 sums of x86-64 without VNNI, written out as plainly as can be.

    raw = sum over pairs of clip(a[2i] b[2i] + a[2i+1] b[2i+1], -32768, 32767)

on raw codes, k in GEMM order, which of a convolution is (kernel row, kernel column, channel); then the zero points are
corrected. Nothing of qdqnp is used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.oracles import rounding
from tests.oracles.integers import along, product, ratio, scalar
from tests.oracles.windows import axes_of, gathered

Array = NDArray[Any]
Inputs = Sequence[Array | None]


def sums(a: Array, b: Array, a_zero: int, b_zero: Array) -> Array:
    """a (rows, K) of uint8, b (K, columns) of int8, b_zero (columns,): corrected sums, int64."""
    wide_a, wide_b = a.astype(np.int64), b.astype(np.int64)
    terms = a.shape[1]
    raw = np.zeros((a.shape[0], b.shape[1]), np.int64)
    for k in range(0, terms, 2):
        pair = wide_a[:, k, None] * wide_b[k]
        if k + 1 < terms:
            pair = pair + wide_a[:, k + 1, None] * wide_b[k + 1]
        raw += np.clip(pair, -32768, 32767)
    return raw - a_zero * wide_b.sum(axis=0) - wide_a.sum(axis=1)[:, None] * b_zero + terms * a_zero * b_zero


def _codes(acc: Array, multiplier: Array, y_zero: Any) -> Array:
    return rounding.requantize(rounding.int32(acc), multiplier, scalar(y_zero), np.uint8)


def conv(inputs: Inputs, attributes: Mapping[str, Any]) -> Array:
    """QLinearConv of uint8 with int8 weights, one to three spatial axes."""
    x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, bias = (*inputs, None)[:9]
    assert x is not None and w is not None and w_scale is not None and w_zero is not None
    groups, filters = attributes.get("group", 1), w.shape[0]
    taps = gathered(x, axes_of(attributes, x.shape[2:], w.shape[2:]), scalar(x_zero))
    rank, per_group = x.ndim - 2, w.shape[1]
    positions = taps.shape[2 : 2 + rank]
    order = (0, *range(2, 2 + rank), *range(2 + rank, 2 + 2 * rank), 1)  # image, window, kernel, channel
    zeros = np.broadcast_to(w_zero.astype(np.int64).reshape(-1), (filters,))
    made = []
    for group in range(groups):
        rows = taps[:, group * per_group : (group + 1) * per_group].transpose(order)
        part = slice(group * filters // groups, (group + 1) * filters // groups)
        columns = np.moveaxis(w[part], 1, -1).reshape(filters // groups, -1).T
        made.append(sums(rows.reshape(-1, columns.shape[0]), columns, int(scalar(x_zero)), zeros[part]))
    acc = np.concatenate(made, axis=1).reshape(x.shape[0], *positions, filters)
    acc = np.moveaxis(acc, -1, 1)
    acc = acc if bias is None else acc + along(bias, x.ndim, 1)
    return _codes(acc, ratio(product(scalar(x_scale), along(w_scale, x.ndim, 1)), scalar(y_scale)), y_zero)


def matmul(inputs: Inputs, attributes: Mapping[str, Any]) -> Array:
    """QLinearMatMul of a matrix (or a stack) of uint8 with a matrix of int8."""
    a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero = inputs
    assert a is not None and b is not None and b_scale is not None and b_zero is not None
    zeros = np.broadcast_to(b_zero.astype(np.int64).reshape(-1), (b.shape[1],))
    acc = sums(a.reshape(-1, a.shape[-1]), b, int(scalar(a_zero)), zeros).reshape(*a.shape[:-1], b.shape[1])
    return _codes(acc, ratio(product(scalar(a_scale), along(b_scale, 1, 0)), scalar(y_scale)), y_zero)
