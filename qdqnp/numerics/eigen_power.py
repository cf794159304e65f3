"""Eigen's powers with one exponent for all elements, in float32: 2^(y log2 x), with the logarithm in two float32.

A number in two float32 is the unrounded sum of a high and a low part. Products are split as by Dekker, for nothing is
fused in ONNX Runtime's build for x86-64. Elements that do not fill four lanes are the C library's powers.
Source: Eigen at 1d8b82b, Eigen/src/Core/arch/Default/GenericPacketMathFunctions.h (generic_pow_impl, accurate_log2,
generic_exp2, unary_pow); compared with onnxruntime 1.32 bit for bit.
"""

from __future__ import annotations

import numpy as np

from qdqnp.numerics import eigen, libm
from qdqnp.numerics.float32 import piecewise, times_power_of_two
from qdqnp.quant import Float32

F = np.float32
#: A number in two float32: its high and its low part.
Two = tuple[Float32, Float32]
ONE = F(1)
#: Splits a float32 into 12 and 12 bits.
CUT = F(2**12 + 1)
#: Whole exponents in this range are multiplied out.
FEWEST, MOST = -3, 7


def power(x: Float32, exponent: float) -> Float32:
    """Compute x to the power of one exponent, which is finite.

    >>> power(np.array([1, 4, 9, 16], np.float32), -0.5).tolist()
    [1.0, 0.5, 0.3333333432674408, 0.25]
    """
    y = np.asarray(exponent, F)
    packet = _multiplied if y == np.rint(y) and FEWEST <= y <= MOST else _any_power
    with np.errstate(all="ignore"):
        return eigen.elementwise(lambda part: packet(part, y), lambda part: libm.power(part, y), x)


def _multiplied(x: Float32, y: Float32) -> Float32:
    """Square again and again; of a negative exponent the reciprocal is taken first."""
    count, square, product = abs(int(y)), ONE / x if y < 0 else x, np.ones_like(x)
    if count == 0:
        return product
    while count > 1:
        if count % 2:
            product = product * square
        square = square * square
        count //= 2
    return np.asarray(product * square)


def _any_power(x: Float32, y: Float32) -> Float32:
    special = (x == 0) | ~np.isfinite(x)
    size = _positive(np.where(special, ONE, np.abs(x)), y)
    whole, odd = y == np.rint(y), np.abs(np.fmod(y, 2)) == 1
    negative = (-size if odd else size) if whole else np.full_like(size, np.nan)
    return np.where(special, libm.power_outside(x, np.full_like(x, y)), np.where(x < 0, negative, size)).astype(F)


def _positive(x: Float32, y: Float32) -> Float32:
    """Compute powers of positive finite numbers."""

    @piecewise
    def powers(part: Float32) -> Float32:
        fraction, exponent = np.frexp(part)
        small = fraction < F(0.70710678118654752440)
        fraction = np.where(small, F(2) * fraction, fraction)
        whole = exponent.astype(F) - small.astype(F)
        found = _sum(_product(whole, y), _times(_log2(fraction), y))
        steps = _round(found[0])
        rest = (found[0] - steps) + found[1]
        more = _round(rest)
        high, low = _product(_LN2, rest - more)
        return times_power_of_two(eigen.exp_packet(high) * (ONE + low), (steps + more).astype(np.int32))

    return powers(x)


def _log2(z: Float32) -> Two:
    """Compute log2 of numbers in [1 / sqrt(2), sqrt(2)]."""
    x = z - ONE
    polynomial = np.full_like(x, _HIGHER[0])
    for coefficient in _HIGHER[1:]:
        polynomial = polynomial * x + coefficient
    lower = _sum(_C1, _product(x, polynomial))
    return _times(_sum(_C0, _times(lower, x)), x)


def _round(x: Float32) -> Float32:
    """Round to the nearest integer, halves away from zero."""
    size = np.abs(x)
    whole = np.trunc(size)
    return np.asarray(np.copysign(whole + (size - whole >= F(0.5)), x), F)


def _fast(a: Float32, b: Float32) -> Two:
    """a + b in two, where a is the larger one."""
    total = a + b
    return total, b - (total - a)


def _sum(a: Two, b: Two) -> Two:
    high, low = _fast(a[0], b[0])
    return _fast(high, (b[1] + low) + a[1])


def _product(a: Float32, b: Float32) -> Two:
    product = np.asarray(a * b)
    (high_a, low_a), (high_b, low_b) = _split(a), _split(b)
    low = high_a * high_b - product
    return product, ((low + high_a * low_b) + low_a * high_b) + low_a * low_b


def _split(x: Float32) -> Two:
    cut = CUT * x
    high = (x - cut) + cut
    return high, x - high


def _times(a: Two, b: Float32) -> Two:
    high, low = _product(a[0], b)
    total, rest = _fast(high, a[1] * b)
    return _fast(total, rest + low)


def _two(number: float) -> Two:
    high = F(number)
    return np.asarray(high), np.asarray(F(number - float(high)))


_LN2 = np.asarray(0.693147180559945309417232121458, F)
#: The coefficients of log2(1 + x) / x: the two lowest, and the others from the highest on.
_C0 = _two(1.442695041742110273474963832995854318141937255859375)
_C1 = _two(-7.2134751588268664068692714863573201000690460205078125e-01)
_HIGHER = tuple(
    F(number)
    for number in (
        *(9.7010828554630279541015625e-02, -1.6896486282348632812500000e-01, 1.7200836539268493652343750e-01),
        *(-1.7892272770404815673828125e-01, 2.0505344867706298828125000e-01, -2.4046677350997924804687500e-01),
        *(2.8857553005218505859375000e-01, -3.6067414283752441406250000e-01, 4.8089790344238281250000000e-01),
    )
)
