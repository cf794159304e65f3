"""Small layers as models of one node, and what the tests ask of them in plain Python."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from tests.ops.case import one_node
from tests.oracles import fixed_point as oracle

Array = NDArray[Any]
F = np.float32
COMPLETE = ("ort", "exact", "tflite", "tflite-single", "cmsis-nn", "cmsis-nn-single", "neural-art")
LOW, HIGH = -128, 127


def conv(
    weights: Array,
    shape: Sequence[int],
    scales: tuple[float, Sequence[float], float],
    *,
    zeros: tuple[int, int] = (0, 0),
    bias: Sequence[int] | None = None,
    dtype: Any = np.int8,
    **attributes: Any,
) -> onnx.ModelProto:
    """QLinearConv of `weights` (M, C / group, kernel...), its input of that shape; scales of x, of w (per channel), of
    y; zeros of x and y."""
    x, w, y = scales
    arguments = [
        ("x", np.zeros(shape, dtype)),
        ("xs", F(x)),
        ("xz", np.array(zeros[0], dtype)),
        ("w", np.asarray(weights, np.int8)),
        ("ws", np.array(w, F)),
        ("wz", np.int8(0)),
        ("ys", F(y)),
        ("yz", np.array(zeros[1], dtype)),
        None if bias is None else ("b", np.array(bias, np.int32)),
    ]
    return one_node("QLinearConv", arguments, kernel_shape=list(np.shape(weights)[2:]), **attributes).model


def gemm(
    weights: Array,
    rows: int,
    scales: tuple[float, Sequence[float], float],
    zeros: tuple[int, int] = (0, 0),
    bias: Sequence[int] | Array | None = None,
    alpha: float | None = None,
) -> onnx.ModelProto:
    """QGemm of `weights` (N, K), which are stored transposed, on an input (rows, K)."""
    x, w, y = scales
    weights = np.asarray(weights, np.int8)
    arguments = [
        ("x", np.zeros((rows, weights.shape[1]), np.int8)),
        ("xs", F(x)),
        ("xz", np.int8(zeros[0])),
        ("w", weights),
        ("ws", np.array(w, F)),
        ("wz", np.zeros(len(w), np.int8)),
        None if bias is None else ("b", np.array(bias, np.int32)),
        ("ys", F(y)),
        ("yz", np.int8(zeros[1])),
    ]
    return one_node("QGemm", arguments, domain="com.microsoft", transB=1, alpha=alpha).model


def binary(
    op: str,
    shapes: tuple[Sequence[int], Sequence[int]],
    scales: Sequence[float],
    zeros: Sequence[int],
    constant: Array | None = None,
    same: bool = False,
) -> onnx.ModelProto:
    """QLinearAdd or QLinearMul on inputs a and b; constant: of b; same: a on both sides."""
    b = ("b", np.zeros(shapes[1], np.int8) if constant is None else constant)
    arguments = [
        ("a", np.zeros(shapes[0], np.int8)),
        ("as", F(scales[0])),
        ("az", np.int8(zeros[0])),
        ("a", np.zeros(shapes[0], np.int8)) if same else b,
        ("bs", F(scales[1])),
        ("bz", np.int8(zeros[1])),
        ("ys", F(scales[2])),
        ("yz", np.int8(zeros[2])),
    ]
    feeds = ["a"] if same or constant is not None else ["a", "b"]
    return one_node(op, arguments, feeds, domain="com.microsoft").model


def bounds(weights: Array, taps: Array, zero: int, dtype: Any, bias: Sequence[int]) -> list[tuple[int, int]]:
    """For each channel the least and greatest accumulator of a QLinearConv, by trying both ends of the codes for each
    product. taps: (positions, kernel elements) whether a tap lies in the image."""
    info = np.iinfo(dtype)
    found = []
    for channel, kernel in enumerate(np.asarray(weights).reshape(len(weights), np.shape(weights)[1], -1).tolist()):
        ends = []
        for inside in taps.tolist():
            pairs = [
                sorted((w * (info.min - zero), w * (info.max - zero)))
                for plane in kernel
                for w, there in zip(plane, inside, strict=True)
                if there
            ]
            ends.append((sum(pair[0] for pair in pairs), sum(pair[1] for pair in pairs)))
        found.append((min(e[0] for e in ends) + bias[channel], max(e[1] for e in ends) + bias[channel]))
    return found


def inside_image(
    size: Sequence[int], kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int], pads: Sequence[int]
) -> Array:
    """(positions, kernel elements): whether each tap of each window lies in the image."""
    axes = []
    for axis, length in enumerate(size):
        reach = dilations[axis] * (kernel[axis] - 1) + 1
        count = (length + pads[axis] + pads[axis + len(size)] - reach) // strides[axis] + 1
        starts = [n * strides[axis] - pads[axis] for n in range(count)]
        axes.append([[0 <= s + k * dilations[axis] < length for k in range(kernel[axis])] for s in starts])
    return np.array([[all(taps) for taps in itertools.product(*kinds)] for kinds in itertools.product(*axes)])


# -- ties by fractions and plain integers ------------------------------------------------------------------------------
def tie(profile: str, acc: int, scales: tuple[float, float, float]) -> int:
    """The sign of acc's value at the last rounding that meets an exact half; 0 where none does."""
    x, w, y = scales
    if profile == "ort":
        multiplier = F(F(F(x) * F(w)) / F(y))
        return sign_of_half(Fraction(float(F(acc) * multiplier)))
    if profile == "exact":
        return sign_of_half(acc * Fraction(x) * Fraction(w) / Fraction(y))
    m, shift = oracle.quantize_multiplier(oracle.real_multiplier(x, w, y), "single" in profile)
    if "single" in profile:
        return sign_of_half(Fraction(acc * m, 2**shift))
    left, right = max(31 - shift, 0), max(shift - 31, 0)
    first = Fraction((acc << left) * m, 2**31)
    rounded = oracle.by_definition("half-up", first)
    return sign_of_half(Fraction(rounded, 2**right)) or sign_of_half(first)


def neural_art_tie(total: int, s1: int, s2: int, a: int, bc: int) -> int:
    """The same, of the sum before bias."""
    first = Fraction(total, 2**s1)
    x16 = oracle.limited(oracle.by_definition("half-up", first), 16)
    return sign_of_half(Fraction(a * x16 + bc, 2**s2)) or sign_of_half(first)


def sign_of_half(value: Fraction) -> int:
    return 0 if value.denominator != 2 else 1 if value > 0 else -1
