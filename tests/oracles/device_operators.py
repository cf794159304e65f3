"""Operators of whole networks on devices, in plain Python integers, from the formulas of their makers.

Each class is a device. Codes are int8; Q is a scale and a zero point; `mean` is given the sum of (code - zero point),
`average` the raw codes of one window that lie in the image.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from tests.oracles.fixed_point import Q, by_definition, code, double, f32, quantize_multiplier, ruy, single, tosa_double


def log2_up(count: int) -> int:
    """ceil(log2 count)."""
    k = 0
    while 1 << k < count:
        k += 1
    return k


def mbqm(requantize: Callable[[int, int, int], int], value: int, real: float) -> int:
    return requantize(value, *quantize_multiplier(real))


# -- TOSA ------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Tosa:
    """TOSA's RESCALE; apply_scale_32 in one of its two modes."""

    double: bool

    def rescaled(self, value: int, real: float) -> int:
        return mbqm(tosa_double if self.double else single, value, real)

    def add(self, a: Q, b: Q, y: Q) -> Callable[[int, int], int]:
        twice = 2 * max(a[0], b[0])

        def operand(x: int, q: Q) -> int:
            if self.double and q[0] / twice != 0.5:
                return self.rescaled(self.rescaled(x - q[1], 2.0**20), q[0] / twice)
            return self.rescaled(x - q[1], q[0] / twice * 2**20)

        left, right = ([operand(x, q) for x in range(-128, 128)] for q in (a, b))
        return lambda p, q: code(self.rescaled(left[p + 128] + right[q + 128], twice / (y[0] * 2**20)), y[1])

    def mul(self, a: Q, b: Q, y: Q) -> Callable[[int, int], int]:
        return lambda p, q: code(self.rescaled((p - a[1]) * (q - b[1]), a[0] * b[0] / y[0]), y[1])

    def rescale(self, x: Q, y: Q) -> Callable[[int], int]:
        return lambda p: code(self.rescaled(p - x[1], x[0] / y[0]), y[1])

    def mean(self, x: Q, y: Q, count: int) -> Callable[[int], int]:
        return lambda total: code(self.rescaled(total, 1 / count * x[0] / y[0]), y[1])

    def average(self, x: Q, y: Q, codes: list[int]) -> int:
        k, total = log2_up(len(codes)), sum(c - x[1] for c in codes)
        mean = single(total, ((2**30 + 1) << k) // len(codes), 30 + k)
        return code(mean, y[1]) if x[0] == y[0] else self.rescale(x, y)(code(mean, x[1]))

    def sigmoid(self, x: Q, y: Q) -> Callable[[int], int]:
        """llround(1 / (1 + exp(-x)) / s_y) + z_y, as TensorFlow's converter fills the table."""
        return lambda p: code(by_definition("half-away", Fraction(1 / (1 + math.exp(-x[0] * (p - x[1]))) / y[0])), y[1])


# -- Arm Ethos-U -----------------------------------------------------------------------------------------------------
def vela_scale(real: float) -> tuple[int, int]:
    """Vela's quantise_scale: the multiplier may be 2^31."""
    significand, exponent = math.frexp(real)
    shift = 31 - exponent
    return (int(significand * 2**31 + 0.5), shift) if 0 <= shift < 64 else (0, 16)


@dataclass(frozen=True)
class EthosU:
    """Ethos-U55 and U65 as Vela 5.2.0 programs them, with the rounding TFL of the output scaler."""

    def scaled(self, value: int, real: float) -> int:
        return tosa_double(value, *vela_scale(real))

    def add(self, a: Q, b: Q, y: Q) -> Callable[[int, int], int]:
        """The operand of the larger scale is only shifted, by 19."""
        twice = 2 * max(a[0], b[0])

        def operand(x: int, q: Q) -> int:
            return (x - q[1]) << 19 if 2 * q[0] == twice else self.scaled(x - q[1], q[0] * 2**20 / twice)

        left, right = ([operand(x, q) for x in range(-128, 128)] for q in (a, b))
        return lambda p, q: code(self.scaled(left[p + 128] + right[q + 128], twice / (y[0] * 2**20)), y[1])

    def mul(self, a: Q, b: Q, y: Q) -> Callable[[int, int], int]:
        return lambda p, q: code(self.scaled((p - a[1]) * (q - b[1]), f32(f32(a[0] * b[0]) / y[0])), y[1])

    def rescale(self, x: Q, y: Q) -> Callable[[int], int]:
        """A 1x1 average pool with the rounding NATURAL."""
        factor, bits = f32(x[0] / y[0]), 0
        if factor > 1:
            bits = len(bin(math.ceil(factor))) - 2 + 1
        elif factor < 1:
            bits = -(len(bin(math.ceil(f32(1 / factor)))) - 2 - 1)
        scale = int(((1 << (31 - bits)) + 1) * factor + 0.5)
        return lambda p: code(single(p - x[1], scale, 31 - bits), y[1])

    def mean(self, x: Q, y: Q, count: int) -> Callable[[int], int]:
        m, shift = vela_scale(x[0] / y[0])
        s, k = 31 - shift, 0
        while 2 ** (k + 1) <= count:
            k += 1
        k = min(k, 32, 31 + s)
        return lambda total: code(tosa_double(total, (m << k) // count, 31 - (s - k)), y[1])

    def average(self, x: Q, y: Q, codes: list[int]) -> int:
        n = len(codes)
        k = math.frexp(n - 1)[1]
        mean = code(tosa_double(sum(codes), ((1 << (31 + k)) + (1 << k)) // n, 31 + k), 0)
        return mean if x == y else self.rescale(x, y)(mean)

    def sigmoid(self, x: Q, y: Q) -> Callable[[int], int]:
        def of(p: int) -> int:
            real = x[0] * (p - x[1])
            value = y[1] + (0.0 if real <= -8 else 1.0 if real >= 8 else 1 / (1 + math.exp(-real))) / y[0]
            return code(math.trunc(value + (-0.5 if value < 0 else 0.5)), 0)

        return of

    def leaky(self, x: Q, y: Q, alpha: float) -> Callable[[int], int]:
        """MBQM with TFLite's two roundings, by alpha below the zero point."""

        def of(p: int) -> int:
            factor = alpha if p < x[1] else 1.0
            return code(double(p - x[1], *vela_scale(f32(f32(x[0] * factor) / y[0]))), y[1])

        return of


# -- LiteRT's optimized kernels ----------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Ruy:
    """What differs from LiteRT's reference kernels: rescales of codes and means."""

    def rescale(self, x: Q, y: Q) -> Callable[[int], int]:
        return lambda p: code(mbqm(ruy, p - x[1], x[0] / y[0]), y[1])

    def mean(self, x: Q, y: Q, count: int) -> Callable[[int], int]:
        real = f32(x[0] / f32(count * y[0]))
        zero = f32(f32(x[1] * x[0]) / y[0])
        offset = y[1] - int(f32(zero + 0.5) if zero > 0 else f32(zero - 0.5))
        return lambda total: code(mbqm(ruy, total + x[1] * count, real), offset)


# -- XNNPACK -----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Xnnpack:
    """The kernels of XNNPACK's int8 operators."""

    def add(self, a: Q, b: Q, y: Q) -> Callable[[int, int], int]:
        ratios = [f32(q[0] / y[0]) for q in (a, b)]
        shift = 20 - math.floor(math.log2(max(ratios)))
        m_a, m_b = (round(ratio * 2**shift) for ratio in ratios)
        return lambda p, q: code(((p - a[1]) * m_a + (q - b[1]) * m_b + (1 << (shift - 1))) >> shift, y[1])

    def mul(self, a: Q, b: Q, y: Q) -> Callable[[int, int], int]:
        factor = f32(f32(a[0] * b[0]) / y[0])
        return lambda p, q: code(round(f32((p - a[1]) * (q - b[1]) * factor)), y[1])

    def rescale(self, x: Q, y: Q) -> Callable[[int], int]:
        m = round(256 * f32(x[0] / y[0]))
        return lambda p: code(((p - x[1]) * m + 128) >> 8, y[1])

    def mean(self, x: Q, y: Q, count: int) -> Callable[[int], int]:
        m = f32(f32(x[0] / y[0]) * f32(1 / count))
        offset = f32(y[1] - f32(f32(x[1] * count) * m))
        return lambda total: code(round(f32(f32(f32(total + x[1] * count) * m) + offset)), 0)


# -- ESP-DL ----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class EspDl:
    """Scales are powers of two. rounding: 'half-up', 'half-even' or 'floor'."""

    rounding: str

    def add(self, a: Q, b: Q, y: Q) -> Callable[[int, int], int]:
        assert a[0] == b[0] == y[0]
        return lambda p, q: code(p - a[1] + q - b[1], y[1])

    def mul(self, a: Q, b: Q, y: Q) -> Callable[[int, int], int]:
        unit = Fraction(a[0]) * Fraction(b[0]) / Fraction(y[0])
        return lambda p, q: code(by_definition(self.rounding, (p - a[1]) * (q - b[1]) * unit), y[1])

    def rescale(self, x: Q, y: Q) -> Callable[[int], int]:
        return lambda p: code(by_definition(self.rounding, (p - x[1]) * Fraction(x[0]) / Fraction(y[0])), y[1])

    def mean(self, x: Q, y: Q, count: int) -> Callable[[int], int]:
        m = f32(f32(x[0] * f32(1 / count)) / y[0])

        def of(total: int) -> int:
            real = f32(f32(total) * m)
            up = math.floor(f32(real + 0.5))
            return code({"half-up": up, "half-even": round(real), "floor": math.floor(real)}[self.rounding], y[1])

        return of

    def average(self, x: Q, y: Q, codes: list[int]) -> int:
        return self.mean(x, y, len(codes))(sum(c - x[1] for c in codes))
