"""PULP's RequantShift, TI's TINPU and Rockchip's output stage in plain Python integers, from what is published."""

from __future__ import annotations

import math
from fractions import Fraction

from tests.oracles.fixed_point import code, even, f32, wrap32


def top_mantissa(real: float) -> tuple[int, int]:
    """The implicit bit and the top 14 bits of a float32's mantissa, plus 1, and the shift."""
    fraction, exponent = math.frexp(f32(real))
    return math.floor(fraction * 2**15) + 1, 15 - exponent


def rockchip(acc: int, scales: tuple[float, float, float], zero: int) -> int:
    x, w, y = scales
    m, shift = top_mantissa(f32(f32(x * w) / y))
    return code(even(acc * m, shift), zero)


def requant_shift(value: int, mul: int, add: int, shift: int, zero: int) -> int:
    """RequantShift in int32, as C computes it on a machine that wraps."""
    total = wrap32(wrap32(wrap32(value) * mul) + add)
    return code(wrap32(total + (1 << (shift - 1))) >> shift, zero)


def pulp(value: int, bias: int, scales: tuple[float, float, float], zero: int, shift: int = 16) -> int:
    """With mul and add derived from the scales."""
    x, w, y = scales
    mul = round(Fraction(x * w / y) * 2**shift)
    return requant_shift(value, mul, wrap32(bias * mul), shift, zero)


def offset_scale_shift(bias: int, scales: tuple[float, float, float], bits: int = 8) -> tuple[int, int, int]:
    """TI's compute_offset_scale_shift, in float32 as torch has it."""
    x, w, y = scales
    real = f32(f32(x * w) / y)
    shift = max(0, min(math.floor(f32(math.log2(f32((2**bits - 1) / real)))), 31))
    scale = round(real * 2**shift)
    return round(f32(f32(bias) + f32(2.0 ** (shift - 1) / scale))), scale, shift


def tinpu(value: int, bias: int, scales: tuple[float, float, float]) -> int:
    offset, scale, shift = offset_scale_shift(bias, scales)
    return code(math.floor(Fraction((value + offset) * scale, 1 << shift)), 0)


def block_sum(products: list[int], block: int, bits: int, saturating: bool) -> int:
    """An accumulator that keeps `bits` bits after each block of products."""
    total, low, high = 0, -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    for start in range(0, len(products), block):
        total += sum(products[start : start + block])
        total = max(low, min(total, high)) if saturating else (total - low) % (1 << bits) + low
    return total
