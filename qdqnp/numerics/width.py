"""Width: what is left of an exact integer in a register of so many bits. Only this module wraps or saturates."""

from __future__ import annotations

import numpy as np

from qdqnp.quant import Codes, Int64, Quant


def wrap(value: Int64, bits: int) -> Int64:
    """Return the signed integer in the low `bits` bits, the highest of which is the sign (two's complement).

    value: int64, any shape; the result has that shape.
    bits: 2 to 62.
    """
    low = np.asarray(value, np.int64) & ((1 << bits) - 1)
    sign = low & (1 << (bits - 1))
    return np.asarray(low - 2 * sign)


def saturate(value: Int64, bits: int) -> Int64:
    """Return the value, or the nearer end of [-2^(bits-1), 2^(bits-1) - 1].

    value: int64, any shape; the result has that shape.
    bits: 2 to 62.
    """
    limit = 1 << (bits - 1)
    return np.clip(value, -limit, limit - 1)


def saturate_to(value: Int64, y: Quant) -> Codes:
    """Return the value, or the nearer end of y's codes, in y's dtype. The zero point must have been added.

    value: int64, any shape; the result has that shape.
    """
    low, high = y.range
    return np.clip(value, low, high).astype(y.dtype)


def limited(codes: Codes, y: Quant) -> Codes:
    """Return codes of y's dtype kept between y's limits; as they are where y has none."""
    return codes if y.limits is None else np.clip(codes, *y.limits)
