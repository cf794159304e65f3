"""ONNX Runtime's own approximations of functions (MLAS): polynomials in float32, bit for bit.

Each is evaluated by Horner's rule in fused multiply-adds, as MLAS does on x86-64 with FMA3, and takes nothing of NumPy
but additions, multiplications, divisions and the powers of two: the same bits on every machine.
Source: ONNX Runtime 1.32, core/mlas/lib/{logistic,tanh,erf,gelu,compute}.cpp and x86_64/*KernelFma3.S,
{Trans,Softmax}KernelAvx512F.S; each compared with it on millions of elements.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qdqnp.numerics import libm
from qdqnp.numerics.float32 import fma32, piecewise, times_power_of_two
from qdqnp.quant import Float32

F = np.float32


def horner(x: Float32, coefficients: Sequence[float]) -> Float32:
    """Evaluate a polynomial, highest power first: total = fma(total, x, coefficient)."""
    total = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        total = fma32(total, x, np.asarray(coefficient, F))
    return total


def clamp(x: Float32, low: float, high: float) -> Float32:
    """Limit to [low, high]; a NaN stays a NaN."""
    return np.asarray(np.minimum(np.maximum(x, F(low)), F(high)))


# Numerators and denominators of rational approximations, highest power first.
_SIGMOID_ALPHA = (
    4.37031012579801e-11,
    1.15627324459942e-07,
    6.08574864600143e-05,
    8.51377133304701e-03,
    2.48287947061529e-01,
)
_SIGMOID_BETA = (
    6.10247389755681e-13,
    5.76102136993427e-09,
    6.29106785017040e-06,
    1.70198817374094e-03,
    1.16817656904453e-01,
    9.93151921023180e-01,
)
_TANH_ALPHA = (
    -2.76076847742355e-16,
    2.00018790482477e-13,
    -8.60467152213735e-11,
    5.12229709037114e-08,
    1.48572235717979e-05,
    6.37261928875436e-04,
    4.89352455891786e-03,
)
_TANH_BETA = (
    1.19825839466702e-06,
    1.18534705686654e-04,
    2.26843463243900e-03,
    4.89352518554385e-03,
)


@piecewise
def sigmoid(x: Float32) -> Float32:
    """Compute the logistic function: a rational approximation in x, within a few ulps of 1/(1+exp(-x))."""
    clamped = clamp(x, -18, 18)
    square = clamped * clamped
    p, q = horner(square, _SIGMOID_ALPHA) * clamped, horner(square, _SIGMOID_BETA)
    return np.asarray(np.maximum(p / q + F(0.5), F(0)))


@piecewise
def silu(x: Float32) -> Float32:
    """Compute x sigmoid(x) as the kernel for AVX-512 does, where no sigmoid is more than 1; a NaN stays what it is.

    Source: ONNX Runtime 1.32, core/mlas/lib/intrinsics/avx512/silu_avx512f.cpp.
    """
    return np.where(np.isnan(x), x, x * np.minimum(sigmoid(x), F(1)))


@piecewise
def tanh(x: Float32) -> Float32:
    """Compute the hyperbolic tangent: a rational approximation in x."""
    clamped = clamp(x, -9, 9)
    square = clamped * clamped
    return np.asarray(horner(square, _TANH_ALPHA) * clamped / horner(square, _TANH_BETA))


# erf(x) = x + x * small(x * x) up to the split, 1 - exp(-(x + x * large(x))) beyond it; highest power first.
_ERF_SPLIT, _ERF_LIMIT = 0.921875, 3.925
_ERF_SMALL = (
    -5.99104969e-4,
    4.99339588e-3,
    -2.67667342e-2,
    1.12818025e-1,
    -3.76124859e-1,
    1.28379151e-1,
)
_ERF_LARGE = (
    1.72948930e-5,
    -3.83208680e-4,
    3.88393435e-3,
    -2.42545605e-2,
    1.06777847e-1,
    6.34846687e-1,
    1.28717512e-1,
)
_ERF_EXP = (
    1.38319808e-3,
    8.37550033e-3,
    4.16689515e-2,
    1.66664466e-1,
    4.99999851e-1,
    1.0,
    1.0,
)
_ERF_EXP_LOWEST = -88.3762626647949


@piecewise
def erf(x: Float32) -> Float32:
    """Compute the error function: one polynomial near 0, the exponential of another beyond."""
    size = np.minimum(np.abs(x), F(_ERF_LIMIT))
    beyond = size > F(_ERF_SPLIT)
    near = fma32(horner(size * size, _ERF_SMALL), size, size)
    large = np.where(beyond, size, F(0))
    power = np.maximum(-fma32(horner(large, _ERF_LARGE), large, large), F(_ERF_EXP_LOWEST))
    far = F(1) - _power(power, _ERF_EXP)
    return np.copysign(np.where(beyond, far, near), x)


@piecewise
def gelu(x: Float32) -> Float32:
    """Compute 0.5 x (erf(x / sqrt(2)) + 1)."""
    return np.asarray((F(0.5) * x) * (erf(x * F(np.sqrt(0.5))) + F(1)))


@piecewise
def gelu_tanh(x: Float32) -> Float32:
    """Compute 0.5 x (tanh(x (C x x + B)) + 1), which stands for the Gelu. B = sqrt(2 / pi), C = 0.044715 B."""
    return np.asarray((F(0.5) * x) * (tanh(x * (F(0.035677408136300125) * x * x + F(0.7978845608028654))) + F(1)))


# exp(x) = 2^m exp(r), r = x - m ln 2; highest power first.
_EXP = tuple(
    float.fromhex(digits)
    for digits in (
        "0x1.694p-10",
        "0x1.125edcp-7",
        "0x1.555b5ap-5",
        "0x1.55545p-3",
        "0x1.fffff6p-2",
        "0x1p0",
        "0x1p0",
    )
)
#: Below it, and beyond the other, the exponential stays what it is there: 0 and infinity, for whole vectors of AVX-512.
EXP_LOWEST, _EXP_HIGHEST = -103.9720840454, 1000.0
_LOG2_E, _LN2_HIGH, _LN2_LOW = 1.44269504088896341, -6.93145752e-1, -1.42860677e-6
#: Added and taken away again, it rounds a float32 to an integer.
_ROUNDING = 12582912.0


@piecewise
def exp(x: Float32) -> Float32:
    """Compute the exponential function."""
    return _power(clamp(x, EXP_LOWEST, _EXP_HIGHEST), _EXP)


def _exponent(x: Float32) -> Float32:
    """Return m = round(x / ln 2)."""
    return np.asarray(fma32(np.asarray(F(_LOG2_E)), x, np.asarray(F(_ROUNDING))) - F(_ROUNDING))


def _power(x: Float32, coefficients: Sequence[float]) -> Float32:
    """Compute exp(x) of numbers that are not below the lowest: 2^m times the polynomial of what is left of x."""
    m = _exponent(x)
    rest = fma32(m, np.asarray(F(_LN2_LOW)), fma32(m, np.asarray(F(_LN2_HIGH)), x))
    return times_power_of_two(horner(rest, coefficients), np.nan_to_num(m).astype(np.int32))


#: The most negative difference from the largest that Softmax tells apart, by the lanes of its register.
_SOFTMAX_LOWEST = {8: -88.3762626647949, 16: EXP_LOWEST}


def softmax(rows: Float32, lanes: int) -> Float32:
    """Compute Softmax of each row of (R, n): the exponential of what is below the largest, times 1 / their sum.

    lanes: elements of a register: 16 on CPUs with AVX-512, else 8. It decides the order of the sum.
    """
    _, powers, total = _powers(rows, lanes)
    return np.asarray(powers * (F(1) / total))


def log_softmax(rows: Float32, lanes: int) -> Float32:
    """Compute the logarithm of Softmax of each row of (R, n), as (x - largest) - log(sum)."""
    below, _, total = _powers(rows, lanes)
    return np.asarray(below - libm.log(total))


def _powers(rows: Float32, lanes: int) -> tuple[Float32, Float32, Float32]:
    """Return how far each element is below the largest of its row, the exponentials, and the sum of a row's (R, 1)."""
    below = rows - np.maximum(rows.max(axis=1, keepdims=True), np.finfo(F).min)
    powers = (_below_zero if lanes == 16 else _below_zero_normal)(np.maximum(below, F(_SOFTMAX_LOWEST[lanes])))
    registers = np.pad(powers, ((0, 0), (0, -rows.shape[1] % lanes))).reshape(rows.shape[0], -1, lanes)
    total = np.zeros((rows.shape[0], lanes), F)
    for index in range(registers.shape[1]):
        total = total + registers[:, index]
    eight = total[:, -8:] + total[:, :8] if lanes == 16 else total
    pairs = eight[:, ::2] + eight[:, 1::2]
    fours = pairs[:, ::2] + pairs[:, 1::2]
    return below, powers, np.asarray(fours[:, :1] + fours[:, 1:])


@piecewise
def _below_zero(x: Float32) -> Float32:
    return _power(x, _EXP)


@piecewise
def _below_zero_normal(x: Float32) -> Float32:
    """Do the same by eight lanes, whose power of two is 0 where it is below float32's normal range."""
    return np.where(_exponent(x) < -126, F(0), _power(x, _EXP))
