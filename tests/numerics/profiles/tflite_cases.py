"""Operators of TFLite on which candidate arithmetics part: scale ratios near powers of two, sums on and beside ties."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tests.numerics.profiles.tflite_operators import (
    ADD,
    AVERAGE,
    BILINEAR,
    CONV,
    DEPTHWISE,
    FULL,
    LEAKY,
    LOGISTIC,
    MATMUL,
    MEAN,
    MUL,
    QUANTIZE,
    SOFTMAX,
    SUB,
    SWISH,
    TANH,
)
from tests.oracles.tflite import Operator, Tensor
from tests.oracles.tflite_kernels import options

Array = Any
SIDE = 64  # rows and channels of a layer; a case has SIDE * SIDE codes
Rng = np.random.Generator


def tensor(values: Array, scale: Any = (), zero: int = 0, axis: int = 0) -> Tensor:
    return Tensor(values, np.asarray(scale, np.float32).reshape(-1), np.asarray([zero], np.int64), axis)


def empty(shape: tuple[int, ...], scale: float, zero: int) -> Tensor:
    """An output that is yet to be computed."""
    return tensor(np.zeros(shape, np.int8), scale, zero)


def zero_point(rng: Rng) -> int:
    return int(rng.choice([-128, 127, 0, rng.integers(-128, 128)]))


def codes(rng: Rng, shape: tuple[int, ...]) -> Array:
    return rng.integers(-128, 128, shape).astype(np.int8)


def some_scales(rng: Rng, count: int) -> Array:
    """float32; all of them powers of two one time in four: what is a tie then is one exactly."""
    if rng.random() < 0.25:
        return np.float32(2.0) ** rng.integers(-8, -2, count).astype(np.float32)
    return rng.uniform(0.002, 0.2, count).astype(np.float32)


def output_scale(rng: Rng, product: float, low: int, high: int) -> np.float32:
    """A scale that puts product / scale within some 2^-24 of 2^-k for a k in low..high; one time in four anywhere."""
    k = rng.uniform(low, high) if rng.random() < 0.25 else float(rng.integers(low, high + 1))
    scale = np.float32(product * 2**k)
    return np.float32(np.nextafter(scale, np.float32(rng.choice([-np.inf, float(scale), np.inf]))))


def pair(kind: str, low: int, high: int) -> Callable[[Rng], Operator]:
    def make(rng: Rng) -> Operator:
        (a, b), shape = some_scales(rng, 2), (1, SIDE * SIDE)
        unit = float(a) * float(b) if kind == MUL else float(max(a, b))
        inputs = (tensor(codes(rng, shape), a, zero_point(rng)), tensor(codes(rng, shape), b, zero_point(rng)))
        output = empty(shape, output_scale(rng, unit, low, high), zero_point(rng))
        return Operator(kind, inputs, output, options(kind))

    return make


def layer(kind: str) -> Callable[[Rng], Operator]:
    """A layer with weights, per tensor or per channel, with sums of the size of codes."""

    def make(rng: Rng) -> Operator:
        terms = 1 if kind == DEPTHWISE else int(rng.integers(1, 9))
        per_channel = bool(rng.random() < 0.5)
        x, y = some_scales(rng, 2)
        k = rng.integers(4, 9, SIDE if per_channel else 1)
        near = float(y) * 2.0**-k / float(x)
        w = np.where(rng.random(k.shape) < 0.25, near * rng.uniform(0.7, 1.4, k.shape), near).astype(np.float32)
        w = np.nextafter(w, rng.choice([0, 1, 1, 2], w.shape).astype(np.float32) * w)
        weights = rng.integers(-127, 128, (SIDE, terms)).astype(np.int8)
        bias = np.rint(rng.uniform(-60, 60, SIDE) * 2.0**k).astype(np.int32)
        shapes: Mapping[str, tuple[tuple[int, ...], tuple[int, ...], int, tuple[int, ...]]] = {
            CONV: ((1, 1, SIDE, terms), (SIDE, 1, 1, terms), 0, (1, 1, SIDE, SIDE)),
            DEPTHWISE: ((1, 1, SIDE, SIDE), (1, 1, 1, SIDE), 3, (1, 1, SIDE, SIDE)),
            FULL: ((SIDE, terms), (SIDE, terms), 0, (SIDE, SIDE)),
        }
        x_shape, w_shape, axis, y_shape = shapes[kind]
        inputs = (
            tensor(codes(rng, x_shape), x, zero_point(rng)),
            tensor(weights.reshape(w_shape), w, 0, axis),
            tensor(bias, (x * w).astype(np.float32), 0),
        )
        return Operator(kind, inputs, empty(y_shape, y, zero_point(rng)), options(kind, **SLIDING[kind]))

    return make


SLIDING: Mapping[str, Mapping[str, int]] = {
    CONV: {"padding": 1, "strideH": 1, "strideW": 1},
    DEPTHWISE: {"padding": 1, "strideH": 1, "strideW": 1, "depthMultiplier": 1},
    FULL: {},
}


def matmul(rng: Rng) -> Operator:
    terms = int(rng.integers(1, 9))
    a, b = some_scales(rng, 2)
    inputs = (
        tensor(codes(rng, (SIDE, terms)), a, zero_point(rng)),
        tensor(codes(rng, (terms, SIDE)), b, zero_point(rng)),
    )
    output = empty((SIDE, SIDE), output_scale(rng, float(a) * float(b), 6, 10), zero_point(rng))
    return Operator(MATMUL, inputs, output, options(MATMUL))


def average(rng: Rng) -> Operator:
    """Windows of 1 to 7 by 1 to 7, with and without padding."""
    height, width = (int(n) for n in rng.integers(1, 8, 2))
    same, stride = int(rng.random() < 0.5), int(rng.integers(1, 3))
    channels, side = 16, 22
    values = codes(rng, (1, side, side, channels))
    values[..., :4] = rng.integers(-1, 2, (1, side, side, 4))  # sums near zero, of both signs
    x = tensor(values, some_scales(rng, 1), zero_point(rng))
    used = (side, side) if same else (side - height + 1, side - width + 1)
    out = [-(-n // stride) for n in used]
    chosen = options(AVERAGE, padding=1 - same, strideH=stride, strideW=stride, filterHeight=height, filterWidth=width)
    output = empty((1, out[0], out[1], channels), float(x.scale[0]), int(x.zero_point[0]))
    return Operator(AVERAGE, (x,), output, chosen)


def mean(rng: Rng) -> Operator:
    """Means of planes or of rows, their scales equal one time in three."""
    height, width = (int(n) for n in rng.integers(1, 9, 2))
    channels = 256
    values = np.clip(rng.integers(-128, 128, channels) + rng.integers(-9, 10, (1, height, width, channels)), -128, 127)
    (s,) = some_scales(rng, 1)
    x = tensor(values.astype(np.int8), s, zero_point(rng))
    equal = rng.random() < 1 / 3
    scale, zero = (s, int(x.zero_point[0])) if equal else (output_scale(rng, float(s), -2, 2), zero_point(rng))
    over = [(1, 2), (1,), (2,)][int(rng.integers(3))]
    shape = tuple(1 if axis in over else size for axis, size in enumerate(x.values.shape))
    axes = tensor(np.array(over, np.int32))
    return Operator(MEAN, (x, axes), empty(shape, scale, zero), options(MEAN, keepDims=True))


def quantize(rng: Rng) -> Operator:
    (s,) = some_scales(rng, 1)
    x = tensor(np.arange(-128, 128, dtype=np.int8).reshape(1, -1), s, zero_point(rng))
    output = empty((1, 256), output_scale(rng, float(s), -3, 5), zero_point(rng))
    return Operator(QUANTIZE, (x,), output, options(QUANTIZE))


def logistic(rng: Rng) -> Operator:
    x = tensor(np.arange(-128, 128, dtype=np.int8).reshape(1, -1), some_scales(rng, 1), zero_point(rng))
    return Operator(LOGISTIC, (x,), empty((1, 256), 1 / 256, -128), None)


def tanh(rng: Rng) -> Operator:
    x = tensor(np.arange(-128, 128, dtype=np.int8).reshape(1, -1), some_scales(rng, 1), zero_point(rng))
    return Operator(TANH, (x,), empty((1, 256), 1 / 128, 0), None)


def swish(rng: Rng) -> Operator:
    (s,) = some_scales(rng, 1)
    x = tensor(np.arange(-128, 128, dtype=np.int8).reshape(1, -1), s, zero_point(rng))
    return Operator(SWISH, (x,), empty((1, 256), output_scale(rng, float(s), -2, 3), zero_point(rng)), None)


def leaky(rng: Rng) -> Operator:
    (s,) = some_scales(rng, 1)
    x = tensor(np.arange(-128, 128, dtype=np.int8).reshape(1, -1), s, zero_point(rng))
    alpha = float(np.float32(rng.choice([0.01, 0.1, 0.2, 0.25, rng.uniform(0, 1)])))
    output = empty((1, 256), output_scale(rng, float(s), -2, 2), zero_point(rng))
    return Operator(LEAKY, (x,), output, options(LEAKY, alpha=alpha))


def softmax(rng: Rng) -> Operator:
    """Rows of 1 to 64 codes, all over or near their maximum."""
    values = codes(rng, (SIDE, int(rng.integers(1, SIDE + 1))))
    if rng.random() < 0.5:
        values = np.clip(values // 16 + rng.integers(-128, 128), -128, 127).astype(np.int8)
    x = tensor(values, some_scales(rng, 1), zero_point(rng))
    return Operator(SOFTMAX, (x,), empty(values.shape, 1 / 256, -128), options(SOFTMAX, beta=1.0))


def bilinear(rng: Rng) -> Operator:
    """Both directions, every mode of places, sizes whose ratio has no short binary fraction."""
    before, after = rng.integers(1, 13, 2), rng.integers(1, 25, 2)
    if rng.random() < 0.3:
        after = before * rng.integers(1, 5, 2)
    scale, zero, channels = some_scales(rng, 1), zero_point(rng), int(rng.integers(1, 9))
    x = tensor(codes(rng, (1, *before, channels)), scale, zero)
    output = empty((1, *after, channels), float(scale[0]), zero)
    half = rng.random() < 0.5
    corners = not half and rng.random() < 0.5
    chosen = options(BILINEAR, halfPixelCenters=half, alignCorners=corners)
    return Operator(BILINEAR, (x, tensor(after.astype(np.int32))), output, chosen)


MAKE: Mapping[str, Callable[[Rng], Operator]] = {
    CONV: layer(CONV),
    DEPTHWISE: layer(DEPTHWISE),
    FULL: layer(FULL),
    MATMUL: matmul,
    ADD: pair(ADD, -1, 3),
    SUB: pair(SUB, -1, 3),
    MUL: pair(MUL, 3, 9),
    AVERAGE: average,
    MEAN: mean,
    QUANTIZE: quantize,
    LOGISTIC: logistic,
    LEAKY: leaky,
    SOFTMAX: softmax,
    BILINEAR: bilinear,
    TANH: tanh,
    SWISH: swish,
}


# -- int16 codes -------------------------------------------------------------------------------------------------------
def wide_codes(rng: Rng, shape: tuple[int, ...]) -> Array:
    """int16; one time in three small ones."""
    found = rng.integers(-(2**15), 2**15, shape)
    return (found >> int(rng.integers(1, 10)) if rng.random() < 0.3 else found).astype(np.int16)


def wide_empty(shape: tuple[int, ...], scale: Any) -> Tensor:
    return tensor(np.zeros(shape, np.int16), scale)


def wide_layer(kind: str) -> Callable[[Rng], Operator]:
    """As `layer`, with sums of the size of int16 codes, and biases in 64 bits."""

    def make(rng: Rng) -> Operator:
        made = layer(kind)(rng)
        x, w, bias = made.inputs
        assert x is not None and w is not None and bias is not None
        large = bias.values.astype(np.int64) * 256
        one = w.scale[:1] if kind == FULL else w.scale  # LiteRT's FullyConnected of int16 takes one scale
        inputs = (
            tensor(wide_codes(rng, x.values.shape), x.scale),
            tensor(w.values, one, 0, w.axis),
            tensor(large, (x.scale * one).astype(np.float32)),
        )
        return Operator(kind, inputs, wide_empty(made.output.values.shape, made.output.scale), made.options)

    return make


def wide_pair(kind: str, low: int, high: int) -> Callable[[Rng], Operator]:
    def make(rng: Rng) -> Operator:
        (a, b), shape = some_scales(rng, 2), (1, SIDE * SIDE)
        unit = float(a) * float(b) if kind == MUL else float(max(a, b))
        inputs = (tensor(wide_codes(rng, shape), a), tensor(wide_codes(rng, shape), b))
        chosen = options(kind, potScaleInt16=False) if kind == ADD else options(kind)
        return Operator(kind, inputs, wide_empty(shape, output_scale(rng, unit, low, high)), chosen)

    return make


def wide_matmul(rng: Rng) -> Operator:
    terms, (a, b) = int(rng.integers(1, 9)), some_scales(rng, 2)
    inputs = (tensor(wide_codes(rng, (SIDE, terms)), a), tensor(wide_codes(rng, (terms, SIDE)), b))
    output = wide_empty((SIDE, SIDE), output_scale(rng, float(a) * float(b), 12, 17))
    return Operator(MATMUL, inputs, output, options(MATMUL))


def wide_average(rng: Rng) -> Operator:
    made = average(rng)
    (x,) = made.inputs
    assert x is not None
    values = wide_codes(rng, x.values.shape)
    values[..., :4] = rng.integers(-1, 2, (*x.values.shape[:3], 4))
    output = wide_empty(made.output.values.shape, x.scale)
    return Operator(AVERAGE, (tensor(values, x.scale),), output, made.options)


def wide_mean(rng: Rng) -> Operator:
    """Means of planes, their scales equal one time in three."""
    (height, width), channels, (s,) = (int(n) for n in rng.integers(1, 9, 2)), 256, some_scales(rng, 1)
    x = tensor(wide_codes(rng, (1, height, width, channels)), s)
    scale = s if rng.random() < 1 / 3 else output_scale(rng, float(s), -2, 2)
    axes = tensor(np.array([1, 2], np.int32))
    return Operator(MEAN, (x, axes), wide_empty((1, 1, 1, channels), scale), options(MEAN, keepDims=True))


def wide_quantize(rng: Rng) -> Operator:
    (s,) = some_scales(rng, 1)
    x = tensor(wide_codes(rng, (1, SIDE * SIDE)), s)
    output = wide_empty((1, SIDE * SIDE), output_scale(rng, float(s), -3, 5))
    return Operator(QUANTIZE, (x,), output, options(QUANTIZE))


#: Operators of int16 codes and int8 weights, by names of their own.
WIDE = "int16 "
MAKE_16X8: Mapping[str, Callable[[Rng], Operator]] = {
    WIDE + CONV: wide_layer(CONV),
    WIDE + DEPTHWISE: wide_layer(DEPTHWISE),
    WIDE + FULL: wide_layer(FULL),
    WIDE + MATMUL: wide_matmul,
    WIDE + ADD: wide_pair(ADD, -1, 3),
    WIDE + MUL: wide_pair(MUL, 10, 17),
    WIDE + AVERAGE: wide_average,
    WIDE + MEAN: wide_mean,
    WIDE + QUANTIZE: wide_quantize,
}
