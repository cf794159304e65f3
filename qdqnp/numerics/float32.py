"""The float32 primitives that integer kernels are built from; each states its roundings one by one.

NumPy's float32 ufuncs round each operation once, to nearest-even: `a * b + c` on float32 arrays is two roundings,
exactly as in the C of a kernel that does not contract. Where a kernel does contract, `fma32` says so.
Source of the formulas: ONNX Runtime 1.32, core/mlas/lib/quantize.cpp.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdqnp.quant import Array, Codes, Float32, Int64, code_range

Float64 = NDArray[np.float64]
#: Elements worked on at a time, so that they stay in cache and the temporaries small. It decides speed only.
PIECE = 4 * 1024
#: The same where few temporaries are alive at a time.
LONG_PIECE = 64 * 1024


def as_f32(value: Codes | Float32) -> Float32:
    """Round the value to float32."""
    return np.asarray(value, np.float32)


def clamp_limits(dtype: np.dtype[Any], zero_point: Codes) -> tuple[Float32, Float32]:
    """Return the limits of the clamp before rounding, float32: lowest and highest code, each less the zero point."""
    low, high = code_range(dtype)
    zero = zero_point.astype(np.int64)
    return (low - zero).astype(np.float32), (high - zero).astype(np.float32)


def round_clamped(v: Float32, zero_point: Codes, dtype: np.dtype[Any]) -> Codes:
    """Clamp, round to nearest-even, then add the zero point as an integer.

    A NaN becomes the lowest code: the clamp is MAXPS(v, low), which returns its second operand for a NaN.
    """
    low, high = clamp_limits(dtype, zero_point)
    codes = np.asarray(np.clip(v, low, high))
    if np.isnan(codes.min(initial=0)):  # a minimum is NaN where any element is
        codes = np.where(np.isnan(codes), low, codes)
    np.rint(codes, out=codes)
    codes += zero_point.astype(np.float32)  # both are integers far below 2^24: their float32 sum is exact
    return codes.astype(dtype)


def quantize(x: Float32, scale: Float32, zero_point: Codes, dtype: np.dtype[Any]) -> Codes:
    """Turn real values into codes (QUANT), by a true float32 division, never a multiplication by the reciprocal."""

    def quantized(piece: Float32) -> Codes:
        return round_clamped(np.divide(piece, scale, dtype=np.float32), zero_point, dtype)

    with np.errstate(all="ignore"):  # infinities and NaN saturate; they are not errors here
        return _in_pieces(quantized, x, np.dtype(dtype), LONG_PIECE) if _uniform(x, scale, zero_point) else quantized(x)


def dequantize(codes: Codes, scale: Float32, zero_point: Codes) -> Float32:
    """Compute f32(f32(int32(code) - int32(zero point)) * scale); the int32 difference wraps."""

    def real(piece: Codes) -> Float32:
        if piece.dtype.itemsize <= 2 and piece.dtype.kind in "iu":  # float32 holds every difference of such codes
            difference = piece.astype(np.float32)
            difference = np.subtract(difference, zero_point.astype(np.float32), dtype=np.float32)
        else:
            difference = (piece.astype(np.int32) - zero_point.astype(np.int32)).astype(np.float32)
        return np.multiply(difference, scale, dtype=np.float32)

    return (
        _in_pieces(real, codes, np.dtype(np.float32), LONG_PIECE) if _uniform(codes, scale, zero_point) else real(codes)
    )


def _uniform(x: Array, scale: Float32, zero_point: Codes) -> bool:
    """Tell whether all elements have one scale and one zero point, and keep their shape with them."""
    return scale.size == zero_point.size == 1 and max(scale.ndim, zero_point.ndim) <= x.ndim


def _in_pieces(function: Callable[[Array], Array], x: Array, dtype: np.dtype[Any], size: int) -> Array:
    """Return the function of each element, computed piece by piece."""
    flat, out = x.reshape(-1), np.empty(x.size, dtype)
    for start in range(0, x.size, size):
        out[start : start + size] = function(flat[start : start + size])
    return out.reshape(x.shape)


def requantize(acc: Int64, multiplier: Float32, zero_point: Codes, dtype: np.dtype[Any]) -> Codes:
    """Turn an int32 accumulator into codes by one float32 multiplication (REQUANT).

    The conversion of the accumulator to float32 rounds to nearest-even, which shows when |acc| > 2^24.
    """
    with np.errstate(over="ignore"):
        return round_clamped(acc.astype(np.float32) * multiplier, zero_point, dtype)


def fma32(a: Float32, b: Float32, c: Float32) -> Float32:
    """Compute the float32 fused multiply-add f32(a*b + c), with one rounding.

    The product of two float32 is exact in float64, but its sum with c is rounded there, and then again to float32. Two
    roundings differ from one only where the first lands on the middle between two float32; those few are computed
    again, rounded to odd first, which keeps enough of the discarded part (Boldo and Melquiond, 2008).
    """
    with np.errstate(all="ignore"):
        product = np.multiply(a, b, dtype=np.float64)
        addend = np.asarray(c, np.float64)
        total = np.asarray(product + addend)
        result = total.astype(np.float32)
        doubtful = in_doubt(total)
        if doubtful.any():
            product, addend, total = (np.broadcast_to(x, doubtful.shape)[doubtful] for x in (product, addend, total))
            # TwoSum: error = (product + addend) - total, exactly.
            back = total - product
            error = (product - (total - back)) + (addend - back)
            result = np.array(result)
            result[doubtful] = round_to_odd(total, error)
    return result


# float64 keeps 29 bits more than float32; the middle of two float32 has only the highest of them set. Below float32's
# normal range more bits are dropped, so there the pattern says nothing.
DROPPED, MIDDLE = 0x1FFFFFFF, 0x10000000
SMALLEST_NORMAL = float(np.finfo(np.float32).smallest_normal)


def in_doubt(total: Float64) -> NDArray[np.bool_]:
    """Mark where a float64 sum, itself rounded, may round to another float32 than the exact sum does."""
    middle = (total.view(np.int64) & DROPPED) == MIDDLE
    tiny = (np.abs(total) < SMALLEST_NORMAL) & (total != 0)
    return np.asarray(middle | tiny)


def round_to_odd(total: Float64, error: Float64) -> Float64:
    """Round the exact sum total + error to odd, as float64; total is the nearest float64 of that sum."""
    bits = np.atleast_1d(total).view(np.int64)
    even = (bits & 1) == 0
    inexact = np.isfinite(total) & np.isfinite(error) & (error != 0)
    away_from_zero = (error > 0) == (total > 0)
    moved = np.where(away_from_zero, bits + 1, bits - 1)
    return np.where(inexact & even, moved, bits).astype(np.int64).view(np.float64).reshape(np.shape(total))


def to_int32_x86(v: Float32) -> Int64:
    """Convert to int32 as CVTPS2DQ: round to nearest-even; anything outside int32, and NaN, becomes -2^31."""
    with np.errstate(invalid="ignore"):
        rounded = np.rint(v.astype(np.float64))
        inside = (rounded >= -(2.0**31)) & (rounded < 2.0**31)
        return np.where(inside, rounded, -(2.0**31)).astype(np.int64)


def piecewise(function: Callable[[Float32], Float32]) -> Callable[[Float32], Float32]:
    """Return the function of each element, computed piece by piece, without warnings of infinities and NaNs."""

    def computed(x: Float32) -> Float32:
        with np.errstate(all="ignore"):
            return _in_pieces(function, np.asarray(x, np.float32), np.dtype(np.float32), PIECE)

    computed.__doc__, computed.__name__ = function.__doc__, function.__name__
    return computed


def times_power_of_two(x: Float32, m: NDArray[np.int32]) -> Float32:
    """Compute x 2^m with one rounding: the float64 product is exact."""
    return np.ldexp(x.astype(np.float64), m).astype(np.float32)
