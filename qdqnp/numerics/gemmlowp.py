"""gemmlowp's fixed-point functions: a raw int32 with k integer bits stands for raw / 2^(31 - k). Arrays are int64.

Source: google/gemmlowp, fixedpoint/fixedpoint.h (exp_on_negative_values, logistic, tanh), as TFLite Micro's int8
kernels use it.
"""

from __future__ import annotations

import numpy as np

from qdqnp.numerics.width import saturate
from qdqnp.quant import Int64

ONE = 2**31 - 1  # 1 with no integer bit
# exp(-2^e) with no integer bit, e from -2 on
POWERS = (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242)
EXP_EIGHTH = 1895147668  # exp(-1/8)
THIRD = 715827883
NEWTON = (1515870810, -1010580540)  # 48/17 and -32/17 with two integer bits
ONE_F2 = 1 << 29


def high(a: Int64, b: Int64 | int) -> Int64:
    """Compute SaturatingRoundingDoublingHighMul: a * b / 2^31, halves away from zero but for one quirk of truncation.

    The nudge is 2^30, or 1 - 2^30 for negative products, and the division truncates.
    """
    product = a * b
    nudged = product + np.where(product >= 0, 1 << 30, 1 - (1 << 30))
    return saturate(np.where(nudged >= 0, nudged >> 31, -((-nudged) >> 31)), 32)


def over_power(value: Int64, exponent: Int64 | int) -> Int64:
    """Divide by 2^exponent and round halves away from zero (RoundingDivideByPOT)."""
    half = (np.int64(1) << np.asarray(exponent, np.int64)) >> 1
    found: Int64 = np.sign(value) * ((np.abs(value) + half) >> exponent)
    return found


def times_power(value: Int64, exponent: int) -> Int64:
    """Multiply by 2^exponent, saturated to int32 (SaturatingRoundingMultiplyByPOT)."""
    return saturate(value << exponent, 32) if exponent >= 0 else over_power(value, -exponent)


def exp_negative(a: Int64, integer_bits: int) -> Int64:
    """Return exp(a) for a <= 0 of that many integer bits, with no integer bit."""
    fraction = 31 - integer_bits
    quarter = 1 << (fraction - 2)
    mod = (a & (quarter - 1)) - quarter
    result = _exp_near_zero(times_power(mod, integer_bits))
    rest = mod - a
    for exponent, power in zip(range(-2, integer_bits), POWERS, strict=False):
        result = np.where(rest & (1 << (fraction + exponent)), high(result, power), result)
    return np.where(a == 0, ONE, result)


def _exp_near_zero(a: Int64) -> Int64:
    """Return exp(a) for a in [-1/4, 0), with no integer bit."""
    x = a + (1 << 28)
    square = high(x, x)
    third, fourth = high(square, x), high(square, square)
    inner = over_power(high(over_power(fourth, 2) + third, THIRD) + square, 1)
    return EXP_EIGHTH + high(x + inner, EXP_EIGHTH)


def _newton(a: Int64) -> Int64:
    """Return 2 / (1 + a) for a in [0, 1] with no integer bit; the result has two."""
    half = (a + ONE + np.where(a + ONE >= 0, 1, -1)) >> 1  # RoundingHalfSum of numbers that are not negative
    x = NEWTON[0] + high(half, NEWTON[1])
    for _ in range(3):
        x = x + times_power(high(x, ONE_F2 - high(half, x)), 2)
    return x


def reciprocal(a: Int64) -> Int64:
    """Return 1 / (1 + a) for a in [0, 1], both with no integer bit."""
    return times_power(_newton(a), 1)


def sigmoid(a: Int64, integer_bits: int) -> Int64:
    """Return 1 / (1 + exp(-a)), with no integer bit."""
    positive = reciprocal(exp_negative(-np.abs(a), integer_bits))
    return np.where(a == 0, 1 << 30, np.where(a > 0, positive, ONE - positive))


def tanh(a: Int64, integer_bits: int) -> Int64:
    """Return tanh(a), with no integer bit."""
    size = times_power(_newton(exp_negative(-np.abs(a), integer_bits + 1)) - ONE_F2, 2)
    return np.where(a == 0, 0, np.where(a > 0, size, -size))
