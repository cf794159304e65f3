"""The C library's expf, logf and powf, bit for bit: glibc from 2.27 on, on x86-64 with FMA.

They take a table and a short polynomial in float64, round to float32 at the end, and are not correctly rounded. Each
step a * b + c is one fused multiply-add there; `fma64` is exact.
Source: glibc, sysdeps/ieee754/flt-32/e_expf.c, e_logf.c, e_powf.c and their tables; sysdeps/x86_64/fpu/multiarch.
Compared with glibc 2.36 on millions of elements.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdqnp.numerics.float32 import PIECE, Float64, piecewise, round_to_odd
from qdqnp.quant import Float32, Int64

F = np.float32


def fma64(a: Float64 | float, b: Float64 | float, c: Float64 | float) -> Float64:
    """Compute the float64 fused multiply-add of numbers that neither overflow nor become subnormal on the way.

    The product and the sum are split into what is rounded and what is left, exactly; the rests are added with rounding
    to odd, so that the last sum rounds as if it were the only one (Boldo and Melquiond, 2008).
    """
    product, rest = _product(*np.broadcast_arrays(np.asarray(a, np.float64), np.asarray(b, np.float64)))
    small, smallest = _sum(np.asarray(c, np.float64), rest)
    large, middle = _sum(product, small)
    return np.asarray(large + round_to_odd(*_sum(smallest, middle)))


def _product(a: Any, b: Any) -> tuple[Any, Any]:
    """a * b rounded, and the rest (Dekker, Veltkamp)."""
    product = a * b
    (high_a, low_a), (high_b, low_b) = (
        (cut - (cut - x), x - (cut - (cut - x))) for cut, x in ((a * _CUT, a), (b * _CUT, b))
    )
    return product, ((high_a * high_b - product) + high_a * low_b + low_a * high_b) + low_a * low_b


def _sum(a: Any, b: Any) -> tuple[Any, Any]:
    """a + b rounded, and the rest (Knuth)."""
    total = a + b
    back = total - a
    return total, (a - (total - back)) + (b - back)


_CUT = 2.0**27 + 1
_hex = float.fromhex

#: The bits of 2^(i / 32), less i shifted to where the exponent begins.
_POWERS: Int64 = np.array(
    [
        *(0x3FF0000000000000, 0x3FEFD9B0D3158574, 0x3FEFB5586CF9890F, 0x3FEF9301D0125B51),
        *(0x3FEF72B83C7D517B, 0x3FEF54873168B9AA, 0x3FEF387A6E756238, 0x3FEF1E9DF51FDEE1),
        *(0x3FEF06FE0A31B715, 0x3FEEF1A7373AA9CB, 0x3FEEDEA64C123422, 0x3FEECE086061892D),
        *(0x3FEEBFDAD5362A27, 0x3FEEB42B569D4F82, 0x3FEEAB07DD485429, 0x3FEEA47EB03A5585),
        *(0x3FEEA09E667F3BCD, 0x3FEE9F75E8EC5F74, 0x3FEEA11473EB0187, 0x3FEEA589994CCE13),
        *(0x3FEEACE5422AA0DB, 0x3FEEB737B0CDC5E5, 0x3FEEC49182A3F090, 0x3FEED503B23E255D),
        *(0x3FEEE89F995AD3AD, 0x3FEEFF76F2FB5E47, 0x3FEF199BDD85529C, 0x3FEF3720DCEF9069),
        *(0x3FEF5818DCFBA487, 0x3FEF7C97337B9B5F, 0x3FEFA4AFA2A490DA, 0x3FEFD0765B6E4540),
    ],
    np.int64,
)
_EXP2 = tuple(map(_hex, ("0x1.c6af84b912394p-5", "0x1.ebfce50fac4f3p-3", "0x1.62e42ff0c52d6p-1")))
_INVERSE_LN2, _SHIFT = _hex("0x1.71547652b82fep+0"), _hex("0x1.8p52")


def _power_of_two(r: Float64, shifted: Float64, scale: float) -> Float64:
    """Compute 2^(k / 32 + r / scale). shifted: k, or k / 32, added to a number that leaves k as its lowest bits."""
    k = shifted.view(np.int64).astype(np.int32).astype(np.int64)
    whole = (_POWERS[k % 32] + (k << 47)).view(np.float64)
    c0, c1, c2 = _EXP2[0] / scale**3, _EXP2[1] / scale**2, _EXP2[2] / scale
    return np.asarray(fma64(fma64(c0, r, c1), r * r, fma64(c2, r, 1.0)) * whole)


@piecewise
def exp(x: Float32) -> Float32:
    """Compute expf."""
    high, low = x > F(_hex("0x1.62e42ep6")), x < F(_hex("-0x1.9fe368p6"))
    wide = np.where(high | low | np.isnan(x), F(0), x).astype(np.float64)
    shifted = fma64(_INVERSE_LN2 * 32, wide, _SHIFT)
    y = _power_of_two(fma64(_INVERSE_LN2 * 32, wide, -(shifted - _SHIFT)), shifted, 32.0)
    return np.select([np.isnan(x), high, low], [x, F(np.inf), F(0)], y.astype(F)).astype(F)


#: 1 / c, log(c) and log2(c) of the middles c of 16 intervals.
_MIDDLES: Float64 = np.array(
    [
        [_hex(digits) for digits in row.split()]
        for row in (
            "0x1.661ec79f8f3bep+0 -0x1.57bf7808caadep-2 -0x1.efec65b963019p-2",
            "0x1.571ed4aaf883dp+0 -0x1.2bef0a7c06ddbp-2 -0x1.b0b6832d4fca4p-2",
            "0x1.49539f0f010bp+0 -0x1.01eae7f513a67p-2 -0x1.7418b0a1fb77bp-2",
            "0x1.3c995b0b80385p+0 -0x1.b31d8a68224e9p-3 -0x1.39de91a6dcf7bp-2",
            "0x1.30d190c8864a5p+0 -0x1.6574f0ac07758p-3 -0x1.01d9bf3f2b631p-2",
            "0x1.25e227b0b8eap+0 -0x1.1aa2bc79c81p-3 -0x1.97c1d1b3b7afp-3",
            "0x1.1bb4a4a1a343fp+0 -0x1.a4e76ce8c0e5ep-4 -0x1.2f9e393af3c9fp-3",
            "0x1.12358f08ae5bap+0 -0x1.1973c5a611cccp-4 -0x1.960cbbf788d5cp-4",
            "0x1.0953f419900a7p+0 -0x1.252f438e10c1ep-5 -0x1.a6f9db6475fcep-5",
            "0x1p+0 0x0p+0 0x0p+0",
            "0x1.e608cfd9a47acp-1 0x1.aa5aa5df25984p-5 0x1.338ca9f24f53dp-4",
            "0x1.ca4b31f026aap-1 0x1.c5e53aa362eb4p-4 0x1.476a9543891bap-3",
            "0x1.b2036576afce6p-1 0x1.526e57720db08p-3 0x1.e840b4ac4e4d2p-3",
            "0x1.9c2d163a1aa2dp-1 0x1.bc2860d22477p-3 0x1.40645f0c6651cp-2",
            "0x1.886e6037841edp-1 0x1.1058bc8a07ee1p-2 0x1.88e9c2c1b9ff8p-2",
            "0x1.767dcf5534862p-1 0x1.4043057b6ee09p-2 0x1.ce0a44eb17bccp-2",
        )
    ]
)
_LOG = tuple(map(_hex, ("-0x1.00ea348b88334p-2", "0x1.5575b0be00b6ap-2", "-0x1.ffffef20a4123p-2")))
_LN2 = _hex("0x1.62e42fefa39efp-1")
_LOG2 = tuple(
    map(
        _hex,
        (
            "0x1.27616c9496e0bp-2",
            "-0x1.71969a075c67ap-2",
            "0x1.ec70a6ca7baddp-2",
            "-0x1.7154748bef6c8p-1",
            "0x1.71547652ab82bp0",
        ),
    )
)


def _split(x: Float32) -> tuple[Float64, NDArray[np.intp], Float64]:
    """Write positive finite numbers as z 2^k; answers z, the number of its interval, and k."""
    bits = x.view(np.int32).astype(np.int64)
    normal = np.where(bits < 0x00800000, (x * F(2**23)).view(np.int32).astype(np.int64) - (23 << 23), bits)
    above = normal - 0x3F330000
    k = above >> 23
    z = (normal - (k << 23)).astype(np.int32).view(F).astype(np.float64)
    return z, np.asarray((above >> 19) % 16, np.intp), k.astype(np.float64)


@piecewise
def log(x: Float32) -> Float32:
    """Compute logf."""
    inside = (x > 0) & (x < np.inf)
    z, interval, k = _split(np.where(inside, x, F(1)))
    r = fma64(z, _MIDDLES[interval, 0], -1.0)
    r2 = r * r
    y = fma64(_LOG[0], r2, fma64(_LOG[1], r, _LOG[2]))
    y = fma64(y, r2, fma64(k, _LN2, _MIDDLES[interval, 1]) + r)
    return np.where(inside, y.astype(F), log_outside(x)).astype(F)


def log_outside(x: Float32) -> Float32:
    """Return what the logarithm is of zeros, infinity, NaNs, which stay, and of negative numbers: x86's NaN."""
    return np.select([x == 0, x == np.inf, x < 0], [F(-np.inf), F(np.inf), -F(np.nan)], x).astype(F)


def power(x: Float32, y: Float32) -> Float32:
    """Compute powf; x and y broadcast together."""
    bases, exponents = np.broadcast_arrays(np.asarray(x, F), np.asarray(y, F))
    out = np.empty(bases.shape, F)
    flat, left, right = out.reshape(-1), bases.reshape(-1), exponents.reshape(-1)
    with np.errstate(all="ignore"):
        for start in range(0, out.size, PIECE):
            piece = slice(start, start + PIECE)
            flat[piece] = _power(left[piece], right[piece])
    return out


def _power(x: Float32, y: Float32) -> Float32:
    special = (x == 0) | (y == 0) | ~np.isfinite(x) | ~np.isfinite(y)
    base, exponent = np.where(special, F(1), np.abs(x)).astype(F), np.where(special, F(1), y).astype(np.float64)
    product = exponent * _log2(base)
    high, low = product > _hex("0x1.fffffffd1d571p+6"), product <= -150
    product = np.where(high | low, 0.0, product)
    shifted = product + _SHIFT / 32
    size = _power_of_two(product - (shifted - _SHIFT / 32), shifted, 1.0).astype(F)
    size = np.select([high, low], [F(np.inf), F(0)], size).astype(F)
    whole, odd = exponent == np.rint(exponent), np.abs(np.fmod(exponent, 2)) == 1
    found = np.where(x < 0, np.where(whole, np.where(odd, -size, size), F(np.nan)), size)
    return np.where(special, power_outside(x, y), found).astype(F)


def power_outside(x: Float32, y: Float32) -> Float32:
    """Return the powers of zeros, infinities and NaNs, and those with such exponents, as IEEE 754 defines pow.

    NumPy's own power takes square roots for an exponent of 0.5 in some of its releases, which differ for -0 and -inf.
    """
    grows = (np.abs(x) > 1) == (y > 0)
    size = np.where(grows, F(np.inf), F(0))
    signed = np.where(np.signbit(x) & (np.abs(np.fmod(y, 2)) == 1), -size, size)
    known = np.where(np.isnan(x) | np.isnan(y), F(np.nan), signed)
    return np.where((y == 0) | (x == 1) | ((x == -1) & np.isinf(y)), F(1), known).astype(F)


def _log2(x: Float32) -> Float64:
    z, interval, k = _split(x)
    r = fma64(z, _MIDDLES[interval, 0], -1.0)
    r2 = r * r
    y = fma64(fma64(_LOG2[2], r, _LOG2[3]), r2, fma64(_LOG2[4], r, _MIDDLES[interval, 2] + k))
    return fma64(fma64(_LOG2[0], r, _LOG2[1]), r2 * r2, y)
