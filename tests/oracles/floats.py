"""The float32 operators whose order of sums is not specified: float64 values, and how far float32 may be from them.

Each oracle gives (value, bound). A float32 sum of n products in any order, fused or not, is within
n * 2^-24 * sum |products| of the exact one, to first order; the bounds here allow for the second.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.oracles.windows import axes_of, gathered

Array = NDArray[Any]
Inputs = Sequence[Array | None]
Attributes = Mapping[str, Any]
Bounded = tuple[Array, Array]
UNIT = 2.0**-24


def wide(inputs: Inputs, count: int) -> list[Any]:
    """The inputs in float64, None where absent, padded to `count`."""
    given = [None if array is None else array.astype(np.float64) for array in inputs]
    return given + [None] * (count - len(given))


def bounded(value: Array, magnitude: Array, roundings: int) -> Bounded:
    """roundings: how many rounded operations one result goes through at most."""
    return value, 1.01 * roundings * UNIT * magnitude + 1e-44


def conv(inputs: Inputs, attributes: Attributes) -> Bounded:
    x, w, bias = wide(inputs, 3)
    groups, spatial = attributes.get("group", 1), x.ndim - 2
    taps = gathered(x, axes_of(attributes, x.shape[2:], w.shape[2:]), 0)
    taps = taps.reshape(x.shape[0], groups, -1, *taps.shape[2:])
    grouped = w.reshape(groups, -1, *w.shape[1:])
    windows, kernel = "HWD"[:spatial], "hwd"[:spatial]
    rule = f"ngi{windows}{kernel},gfi{kernel}->ngf{windows}"
    value, magnitude = np.einsum(rule, taps, grouped), np.einsum(rule, abs(taps), abs(grouped))
    shape = (x.shape[0], w.shape[0], *value.shape[3:])
    added = 0.0 if bias is None else bias.reshape(1, -1, *[1] * spatial)
    return bounded(value.reshape(shape) + added, magnitude.reshape(shape) + abs(added), w[0].size + 1)


def gemm(inputs: Inputs, attributes: Attributes) -> Bounded:
    a, b, c = wide(inputs, 3)
    a = a.T if attributes.get("transA") else a
    b = b.T if attributes.get("transB") else b
    alpha = attributes.get("alpha", 1.0)
    added = 0.0 if c is None else attributes.get("beta", 1.0) * c
    value, magnitude = alpha * (a @ b) + added, abs(alpha) * (abs(a) @ abs(b)) + abs(added)
    # K products and sums, then alpha, beta (each itself rounded to float32) and the addition
    return bounded(value, magnitude, a.shape[1] + 5)


def matmul(inputs: Inputs, attributes: Attributes) -> Bounded:
    a, b = wide(inputs, 2)
    return bounded(np.matmul(a, b), np.matmul(abs(a), abs(b)), a.shape[-1])


def average_pool(inputs: Inputs, attributes: Attributes) -> Bounded:
    (x,) = wide(inputs, 1)
    axes = axes_of(attributes, x.shape[2:], attributes["kernel_shape"], pool=True)
    taps = gathered(x, axes, 0)
    window = tuple(range(x.ndim, taps.ndim))
    ones = np.ones((1, 1, *x.shape[2:]))
    count = gathered(ones, axes, 0).sum(axis=window)
    if attributes.get("count_include_pad"):
        # ceil_mode's last window counts only as far as the padding goes
        reach = [(axis.positions() < axis.size + axis.after).sum(axis=1) for axis in axes]
        count = reduce(np.multiply.outer, reach)
    magnitude = abs(taps).sum(axis=window) / count
    return bounded(taps.sum(axis=window) / count, magnitude, int(np.prod(attributes["kernel_shape"])) + 1)


def global_average_pool(inputs: Inputs, attributes: Attributes) -> Bounded:
    (x,) = wide(inputs, 1)
    return _mean(x, tuple(range(2, x.ndim)), True)


def reduce_mean(inputs: Inputs, attributes: Attributes) -> Bounded:
    (x,) = wide(inputs, 1)
    axes = attributes.get("axes") or range(x.ndim)
    return _mean(x, tuple(axes), bool(attributes.get("keepdims", 1)))


def _mean(x: Array, axes: tuple[int, ...], keepdims: bool) -> Bounded:
    value, magnitude = (np.asarray(part.mean(axis=axes, keepdims=keepdims)) for part in (x, abs(x)))
    return bounded(value, magnitude, x.size // value.size + 1)


def batch_normalization(inputs: Inputs, attributes: Attributes) -> Bounded:
    x = wide(inputs, 5)[0]
    scale, bias, mean, var = (part.reshape(1, -1, *[1] * (x.ndim - 2)) for part in wide(inputs, 5)[1:])
    factor = scale / np.sqrt(var + attributes.get("epsilon", 1e-5))
    magnitude = abs(x * factor) + abs(mean * factor) + abs(bias)
    return bounded((x - mean) * factor + bias, magnitude, 8)


def softmax(inputs: Inputs, attributes: Attributes) -> Bounded:
    (x,) = wide(inputs, 1)
    axis = attributes.get("axis", -1)
    shifted = x - x.max(axis=axis, keepdims=True)
    power = np.exp(shifted)
    value = power / power.sum(axis=axis, keepdims=True)
    # the rounded difference is an absolute error in the exponent, so a relative one of the power
    slack = 1 + abs(shifted).max(axis=axis, keepdims=True)
    return bounded(value, value * slack, x.shape[axis] + 8)


def function(value: Callable[[Array], Array], slack: float = 0.0) -> Callable[[Inputs, Attributes], Bounded]:
    """A function of each element, by NumPy in float64. slack: how much is added to its magnitude."""

    def oracle(inputs: Inputs, attributes: Attributes) -> Bounded:
        (x,) = wide(inputs, 1)
        found = value(x)
        return bounded(found, abs(found) + slack, 8)

    return oracle


def softplus(x: Array) -> Array:
    return np.logaddexp(0, x)


ORACLES: Mapping[str, Callable[[Inputs, Attributes], Bounded]] = {
    "Conv": conv,
    "Gemm": gemm,
    "MatMul": matmul,
    "AveragePool": average_pool,
    "GlobalAveragePool": global_average_pool,
    "ReduceMean": reduce_mean,
    "BatchNormalization": batch_normalization,
    "Softmax": softmax,
    "Softplus": function(softplus),
    "Mish": function(lambda x: x * np.tanh(softplus(x)), 1e-30),
    **{op: function(getattr(np, op.lower()), 1.0) for op in ("Sin", "Cos")},
    **{op: function(getattr(np, op.lower())) for op in ("Tan", "Sinh", "Cosh")},
    **{f"A{op}": function(getattr(np, f"arc{op}"), 1e-7) for op in ("sin", "cos", "tan", "sinh", "cosh", "tanh")},
}
