"""Float32 rounding from its definition: exact rational numbers, rounded once to nearest-even.

Slow, obvious, and independent of qdqnp.numerics, which reaches the same numbers through float64 tricks.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def float32_of(value: Fraction) -> np.float32:
    """The float32 nearest to an exact number, ties to even; beyond the range, an infinity."""
    size = abs(value)
    if size == 0:
        return np.float32(0)
    exponent = size.numerator.bit_length() - size.denominator.bit_length()
    if size < Fraction(2) ** exponent:
        exponent -= 1
    quantum = max(exponent, -126) - 23  # 24 significant bits, fewer where the number is subnormal
    steps = round(size / Fraction(2) ** quantum)  # Python rounds a Fraction half to even
    rounded = math.inf if steps * Fraction(2) ** quantum >= Fraction(2) ** 128 else math.ldexp(steps, quantum)
    return np.float32(math.copysign(rounded, value))


def fma(a: np.float32, b: np.float32, c: np.float32) -> np.float32:
    """f32(a * b + c) with one rounding."""
    x, y, z = float(a), float(b), float(c)
    with np.errstate(all="ignore"):
        plain = np.float64(x) * np.float64(y) + np.float64(z)
    if not (math.isfinite(x) and math.isfinite(y) and math.isfinite(z)):
        return np.float32(plain)
    exact = Fraction(x) * Fraction(y) + Fraction(z)
    # an exact zero keeps IEEE's sign, which the float64 sum has: the product is exact there
    return float32_of(exact) if exact else np.float32(plain)


def nearest_int32(value: np.float32) -> int:
    """x86's conversion of a float32 to int32: nearest-even, and -2^31 for all that does not fit."""
    if not math.isfinite(value):
        return -(2**31)
    rounded = round(float(value))
    return rounded if -(2**31) <= rounded < 2**31 else -(2**31)


def quantize(x: Array, scale: Array, zero_point: Array, dtype: Any) -> Array:
    """x / scale in float32, to the nearest integer (ties to even), shifted and saturated; NaN is the lowest code."""
    with np.errstate(all="ignore"):
        ratio = np.asarray(x, np.float32) / np.asarray(scale, np.float32)
    assert ratio.dtype == np.float32
    return saturated(ratio, zero_point, dtype)


def requantize(acc: Array, multiplier: Array, zero_point: Array, dtype: Any) -> Array:
    """int32 accumulators times a float32: two roundings to float32, one to an integer, then shift and saturate."""
    with np.errstate(all="ignore"):
        product = acc.astype(np.float32) * np.asarray(multiplier, np.float32)
    assert product.dtype == np.float32
    return saturated(product, zero_point, dtype)


def saturated(value: Array, zero_point: Array, dtype: Any) -> Array:
    info = ml_dtypes.iinfo(dtype)
    # float64 holds the rounded value and its shift exactly while they matter: saturation is at 2^16 or below
    shifted = np.rint(value.astype(np.float64)) + np.asarray(zero_point, np.float64)
    shifted[np.isnan(shifted)] = info.min
    return np.clip(shifted, info.min, info.max).astype(dtype)


def dequantize(codes: Array, scale: Array, zero_point: Array) -> Array:
    """(code - zero point) as float32, times scale."""
    difference = codes.astype(np.int64) - np.asarray(zero_point, np.int64)
    with np.errstate(all="ignore"):
        return difference.astype(np.float32) * np.asarray(scale, np.float32)


def int32(value: Array) -> Array:
    """What a 32-bit register keeps of exact integers, as int64."""
    return (np.asarray(value, np.int64) + 2**31) % 2**32 - 2**31


# Of the largest exponent, what has no room for its fraction: ONNX Runtime's casts that do not saturate leave the
# specification there. First and end of the values, and what they become.
UNLIKE_THE_SPECIFICATION = {"float8_e4m3fn": (480, 496, 448.0), "float8_e5m2": (61440, 65536, math.nan)}


def small_float(values: Array, dtype: Any, saturate: bool) -> Array:
    """The nearest number of a float8 type, one value at a time: of two as near the one whose code is even."""
    codes = np.arange(256, dtype=np.uint8)
    with np.errstate(all="ignore"):
        known = [(float(v), int(c)) for v, c in zip(codes.view(dtype).astype(np.float64), codes, strict=True)]
    finite = [(value, code) for value, code in known if math.isfinite(value)]
    flat = [_nearest(float(value), finite, str(np.dtype(dtype)), saturate) for value in values.reshape(-1)]
    return np.array(flat, np.float32).astype(dtype).reshape(values.shape)


def _nearest(value: float, finite: list[tuple[float, int]], name: str, saturate: bool) -> float:
    largest, size = max(v for v, _ in finite), abs(value)
    if math.isnan(value) or (saturate and size > largest):
        return value if math.isnan(value) else math.copysign(largest, value)
    first, end, made = UNLIKE_THE_SPECIFICATION.get(name, (0, 0, 0))
    if first <= size < end:
        return math.copysign(made, value)
    steps = sorted({v for v, _ in finite if v >= 0})
    beyond = 2 * steps[-1] - steps[-2]  # the next number, if there were one
    if size >= (steps[-1] + beyond) / 2 and not (
        size == (steps[-1] + beyond) / 2 and _code(steps[-1], finite) % 2 == 0
    ):
        return math.copysign(math.inf, value) if name == "float8_e5m2" else math.nan
    if size > steps[-1]:
        return math.copysign(steps[-1], value)
    best = min(steps, key=lambda step: (abs(Fraction(step) - Fraction(size)), _code(step, finite) % 2))
    return math.copysign(best, value)


def _code(value: float, finite: list[tuple[float, int]]) -> int:
    return next(code for v, code in finite if v == value)
