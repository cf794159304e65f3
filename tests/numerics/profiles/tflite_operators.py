"""What a profile computes for an operator of a TFLite network, from its rules alone. Sums are int64."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from qdqnp.numerics.profile import Profile
from qdqnp.numerics.questions import Blends
from qdqnp.numerics.rules.interpolate import InterpolatedAxis
from qdqnp.numerics.rules.lookup import (
    HardSwishFunction,
    IdentityFunction,
    LeakyReluFunction,
    RealFunction,
    SigmoidFunction,
    TanhFunction,
)
from qdqnp.numerics.rules.requantize.protocol import RequantizeRule, SumContext
from qdqnp.quant import Quant
from tests.oracles.tflite import Operator, Tensor

Array = Any
CONV, DEPTHWISE, FULL, MATMUL = "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "BATCH_MATMUL"
ADD, MUL, AVERAGE, MEAN, QUANTIZE = "ADD", "MUL", "AVERAGE_POOL_2D", "MEAN", "QUANTIZE"
SUB = "SUB"
BILINEAR = "RESIZE_BILINEAR"
LOGISTIC, LEAKY, SOFTMAX, TANH, SWISH = "LOGISTIC", "LEAKY_RELU", "SOFTMAX", "TANH", "HARD_SWISH"


def quant(tensor: Tensor) -> Quant:
    one = tensor.scale.size == 1
    scale = tensor.scale.reshape(()) if one else tensor.scale
    zero = tensor.zero_point[:1].reshape(()) if one else tensor.zero_point
    return Quant(tensor.values.dtype, scale, zero.astype(tensor.values.dtype), None if one else tensor.axis)


def _windows(x: Array, size: tuple[int, int], options: Any, fill: int) -> Array:
    """(n, rows, columns, channels, h, w) of x (n, h, w, channels), padded as the options say (0 is SAME)."""
    pads = [(0, 0)]
    for length, kernel, stride in zip(x.shape[1:3], size, (options.strideH, options.strideW), strict=True):
        total = max((-(-length // stride) - 1) * stride + kernel - length, 0) if options.padding == 0 else 0
        pads.append((total // 2, total - total // 2))
    padded = np.pad(x, [*pads, (0, 0)], constant_values=fill)
    return sliding_window_view(padded, size, (1, 2))[:, :: options.strideH, :: options.strideW]


def _sums(op: Operator) -> tuple[Array, Array]:
    """Integer sums without bias, channels last, and the weights (channels, K). float64 holds them exactly."""
    x, w = op.inputs[0], op.inputs[1]
    assert x is not None and w is not None
    codes, weights = x.values.astype(np.float64) - int(x.zero_point[0]), w.values.astype(np.float64)
    assert not w.zero_point.any()
    if op.kind == FULL:
        sums = codes.reshape(-1, weights.shape[1]) @ weights.T
    else:
        assert op.options.dilationHFactor == op.options.dilationWFactor == 1
        taps = _windows(codes, weights.shape[1:3], op.options, 0)
        if op.kind == CONV:
            rows = taps.transpose(0, 1, 2, 4, 5, 3).reshape(*taps.shape[:3], -1)
            sums = rows @ weights.reshape(len(weights), -1).T
        else:
            assert op.options.depthMultiplier == 1
            sums = np.einsum("nyxchw,hwc->nyxc", taps, weights[0])
            weights = np.moveaxis(weights[0], -1, 0)
    return sums.astype(np.int64), weights.reshape(sums.shape[-1], -1).astype(np.int64)


def linear(rule: Callable[[Profile], RequantizeRule]) -> Callable[[Operator, Profile], Array]:
    def compute(op: Operator, profile: Profile) -> Array:
        (x, w, bias), (sums, weights) = (*op.inputs, None)[:3], _sums(op)
        assert x is not None and w is not None
        layer = SumContext(quant(x), quant(w), quant(op.output), None if bias is None else bias.values, weights=weights)
        return rule(profile).bind(layer)(sums)

    return compute


def matmul(op: Operator, profile: Profile) -> Array:
    a, b = op.inputs
    assert a is not None and b is not None
    left, right = (tensor.values.astype(np.int64) - int(tensor.zero_point[0]) for tensor in (a, b))
    layer = SumContext(quant(a), quant(b), quant(op.output), weights=right.T)
    return profile.matmul.bind(layer)(left @ right)


def add(op: Operator, profile: Profile) -> Array:
    a, b = op.inputs
    assert a is not None and b is not None
    return profile.add.bind(quant(a), quant(b), quant(op.output))(a.values, b.values)


def subtract(op: Operator, profile: Profile) -> Array:
    a, b = op.inputs
    assert a is not None and b is not None
    rule: Any = profile.add
    return rule.bind_difference(quant(a), quant(b), quant(op.output))(a.values, b.values)


def mul(op: Operator, profile: Profile) -> Array:
    a, b = op.inputs
    assert a is not None and b is not None
    return profile.mul.bind(quant(a), quant(b), quant(op.output))(a.values, b.values)


def quantize(op: Operator, profile: Profile) -> Array:
    """A rescale of codes, which Concat does to its inputs."""
    (x,) = op.inputs
    assert x is not None
    return profile.concat.bind(quant(x), quant(op.output), IdentityFunction())(x.values)


def average(op: Operator, profile: Profile) -> Array:
    x, options = op.inputs[0], op.options
    assert x is not None
    size = (options.filterHeight, options.filterWidth)

    def taps(values: Array) -> Array:
        found = _windows(values, size, options, 0)
        return np.moveaxis(found.reshape(*found.shape[:4], -1), -1, 0)

    inside = taps(np.ones_like(x.values)) > 0
    return profile.average_pool.bind(quant(x), quant(op.output))(taps(x.values), inside, inside.sum(axis=0))


def mean(op: Operator, profile: Profile) -> Array:
    x, axes = op.inputs
    assert x is not None and axes is not None
    over = tuple(int(axis) for axis in axes.values.reshape(-1))
    sums = (x.values.astype(np.int64) - int(x.zero_point[0])).sum(axis=over)
    count = int(np.prod([x.values.shape[axis] for axis in over]))
    return profile.global_average_pool.bind(quant(x), quant(op.output), count)(sums)


def function(of: Callable[[Operator], RealFunction]) -> Callable[[Operator, Profile], Array]:
    def compute(op: Operator, profile: Profile) -> Array:
        (x,) = op.inputs
        assert x is not None
        return profile.lookup.bind(quant(x), quant(op.output), of(op))(x.values)

    return compute


def softmax(op: Operator, profile: Profile) -> Array:
    (x,) = op.inputs
    assert x is not None
    return profile.softmax.bind(quant(x), quant(op.output), x.values.shape[1])(x.values)


def bilinear(op: Operator, profile: Profile) -> Array:
    x, options = op.inputs[0], op.options
    assert x is not None
    mode = "half_pixel" if options.halfPixelCenters else "align_corners" if options.alignCorners else "asymmetric"
    sizes = zip(x.values.shape[1:3], op.output.values.shape[1:3], strict=True)
    rows, columns = (InterpolatedAxis(before, after, Fraction(after, before), mode) for before, after in sizes)
    question = Blends.of("", quant(x), quant(op.output), x.values, (rows, columns))
    return question.codes(profile.resize)


COMPUTE: Mapping[str, Callable[[Operator, Profile], Array]] = {
    CONV: linear(lambda profile: profile.conv),
    DEPTHWISE: linear(lambda profile: profile.conv),
    FULL: linear(lambda profile: profile.gemm),
    MATMUL: matmul,
    ADD: add,
    MUL: mul,
    AVERAGE: average,
    MEAN: mean,
    QUANTIZE: quantize,
    LOGISTIC: function(lambda op: SigmoidFunction()),
    LEAKY: function(lambda op: LeakyReluFunction(op.options.alpha)),
    SOFTMAX: softmax,
    BILINEAR: bilinear,
    TANH: function(lambda op: TanhFunction()),
    SUB: subtract,
    SWISH: function(lambda op: HardSwishFunction()),
}


def activated(codes: Array, op: Operator) -> Array:
    """The clip of a fused activation: 0 none, 1 Relu, 3 Relu6."""
    activation = getattr(op.options, "fusedActivationFunction", 0)
    assert activation in (0, 1, 3)
    zero, scale = int(op.output.zero_point[0]), float(op.output.scale[0])
    top = zero + round(6 / scale) if activation == 3 else 127
    return np.clip(codes, max(zero, -128) if activation else -128, min(top, 127))


# operator -> the field of a profile that is its arithmetic
FIELD: Mapping[str, str] = {
    CONV: "conv",
    DEPTHWISE: "conv",
    FULL: "gemm",
    MATMUL: "matmul",
    ADD: "add",
    MUL: "mul",
    AVERAGE: "average_pool",
    MEAN: "global_average_pool",
    QUANTIZE: "concat",
    LOGISTIC: "lookup",
    LEAKY: "lookup",
    SOFTMAX: "softmax",
    BILINEAR: "resize",
    TANH: "lookup",
    SWISH: "lookup",
    SUB: "add",
}
