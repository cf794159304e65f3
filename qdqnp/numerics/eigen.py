"""Eigen's sums and functions in float32, as ONNX Runtime's build for x86-64 has them: four lanes, nothing fused.

What does not fill four lanes is computed by other means: a sum goes on one by one, a function asks the C library. So
the numbers depend on how many elements there are, and for sums on where in memory they begin.
Source: Eigen at 1d8b82b, which ONNX Runtime 1.32 is built with: Eigen/src/Core/Redux.h,
arch/Default/GenericPacketMathFunctions.h, arch/SSE/PacketMath.h; compared with onnxruntime 1.32 bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from qdqnp.numerics import libm
from qdqnp.numerics.float32 import piecewise, times_power_of_two
from qdqnp.quant import Float32, Int64

F = np.float32
#: Lanes of one register. Memory is aligned to as many elements.
LANES = 4


def reduced(rows: Float32, operation: np.ufunc, first: Int64 | int = 0) -> Float32:
    """Add up or multiply (np.add, np.multiply) the last axis of (R, n), to (R,).

    Four lanes, two registers of four at a time, then (0 + 2) + (1 + 3), then one by one what lies before the first
    aligned element and what is left at the end. With no four aligned elements, all go one by one.

        first: where each row begins, in elements from an aligned one, (R,) or one number for all rows.
    """
    offset = np.broadcast_to(np.asarray(first) % LANES, rows.shape[:1])
    out = np.empty(rows.shape[0], F)
    for start in range(LANES):
        chosen = np.flatnonzero(offset == start)
        if chosen.size:
            part = rows if chosen.size == rows.shape[0] else rows[chosen]
            out[chosen] = _reduced(part, operation, min(-start % LANES, rows.shape[1]))
    return out


def _reduced(rows: Float32, operation: np.ufunc, head: int) -> Float32:
    """Do it for rows whose first aligned element is number `head`."""
    registers = (rows.shape[1] - head) // LANES
    if not registers:
        return one_by_one(rows, operation)
    end = head + registers * LANES
    body = rows[:, head:end].reshape(rows.shape[0], registers, LANES)
    lanes = body[:, 0]
    if registers > 1:
        other = body[:, 1]
        for index in range(2, registers - 1, 2):
            lanes, other = operation(lanes, body[:, index]), operation(other, body[:, index + 1])
        lanes = operation(lanes, other)
        if registers % 2:
            lanes = operation(lanes, body[:, -1])
    halves = operation(lanes[:, :2], lanes[:, 2:])
    total = operation(halves[:, 0], halves[:, 1])
    for column in (*range(head), *range(end, rows.shape[1])):
        total = operation(total, rows[:, column])
    return np.asarray(total)


def one_by_one(rows: Float32, operation: np.ufunc = np.add, start: Float32 | None = None) -> Float32:
    """Add up or multiply the last axis of (R, n), in order. start: what each begins with; the first element if None."""
    total = rows[:, 0] if start is None else start
    for column in range(start is None, rows.shape[1]):
        total = operation(total, rows[:, column])
    return np.asarray(total)


def elementwise(packet: Callable[[Float32], Float32], scalar: Callable[[Float32], Float32], x: Float32) -> Float32:
    """Compute a function of a whole array: the packet form of whole registers, the scalar form of what is left."""
    flat = np.ascontiguousarray(x, F).reshape(-1)
    whole = flat.size // LANES * LANES
    return np.concatenate([packet(flat[:whole]), scalar(flat[whole:])]).reshape(x.shape)


def exp(x: Float32) -> Float32:
    """Compute the exponential function of an array."""
    return elementwise(exp_packet, libm.exp, x)


def log(x: Float32) -> Float32:
    """Compute the natural logarithm of an array."""
    return elementwise(_log, libm.log, x)


@piecewise
def exp_packet(x: Float32) -> Float32:
    """Compute the exponential function of whole registers."""
    limited = np.minimum(x, F(88.723))
    m = np.floor(limited * F(1.44269504088896341) + F(0.5))
    r = m * F(2.12194440e-4) + (m * F(-0.693359375) + limited)
    r2 = r * r
    even = r2 * (r2 * F(1.37449637986719608306884765625e-3) + F(4.166965186595916748046875e-2))
    even = even + F(0.49999988079071044921875)
    odd = r2 * F(8.36894474923610687255859375e-3) + F(0.16666518151760101318359375)
    y = r2 * (r * odd + even) + (r + F(1))
    power = times_power_of_two(y, np.nan_to_num(np.maximum(m, F(-1000))).astype(np.int32))
    return np.where(x < F(-104), F(0), np.maximum(power, x))


@piecewise
def _log(x: Float32) -> Float32:
    inside = (x > 0) & (x < np.inf)
    fraction, exponent = np.frexp(np.where(inside, x, F(1)))
    small = fraction < F(0.707106781186547524)
    e = exponent.astype(F) - small.astype(F)
    f = (fraction - F(1)) + np.where(small, fraction, F(0))
    p = f * ((F(0.18256296349849254) * f + F(1.0000000190281063)) * f + F(1.0000000190281136))
    q = (F(0.049616247954120038) * f + F(0.59923249590823520)) * f + F(1.4999999999999927)
    y = e * F(0.6931471805599453) + p / (q * f + F(1))
    bad = (x < 0) | np.isnan(x)  # whose comparison is the result: all bits set
    return np.where(bad, np.uint32(2**32 - 1).view(F), np.where(inside, y, libm.log_outside(x))).astype(F)


@piecewise
def softplus(x: Float32) -> Float32:
    """Compute log(1 + exp(x)) as whole registers do; of what is left the C library takes log1pf, which is close."""
    power = exp_packet(-np.abs(x))
    sum_ = F(1) + power
    logarithm = np.where(sum_ == 1, power, power * (_log(sum_) / (sum_ - F(1))))
    return np.where(x > 0, x + logarithm, logarithm)
