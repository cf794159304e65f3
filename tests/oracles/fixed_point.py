"""Fixed-point requantization in plain Python integers and fractions, one function per row of the specification.

Written from the formulas of the devices' sources, without qdqnp: the multiplier of each family from a real number, the
requantization of one accumulator by (acc, multiplier, shift), and the operators built on them. `shift` is the total
right shift: the real multiplier is multiplier * 2^-shift. TFLite's own s is 31 - shift.
"""

from __future__ import annotations

import functools
import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction

INT32 = (-(2**31), 2**31 - 1)
HALF = Fraction(1, 2)


class OutsideDomainError(Exception):
    """The arithmetic is not defined for these numbers."""


# -- primitives ----------------------------------------------------------------------------------------------------
def up(value: int, shift: int) -> int:
    return value if shift == 0 else (value + (1 << (shift - 1))) >> shift


def away(value: int, shift: int) -> int:
    return value if shift == 0 else (value + (1 << (shift - 1)) - (value < 0)) >> shift


def even(value: int, shift: int) -> int:
    return round(Fraction(value, 1 << shift))  # Python rounds a Fraction half to even


def down(value: int, shift: int) -> int:
    return value >> shift


def toward_zero(value: int, shift: int) -> int:
    return -(-value >> shift) if value < 0 else value >> shift


def by_definition(name: str, value: Fraction) -> int:
    """The integer that a rule of ties gives for an exact number, from the definition of the rule."""
    size, sign = abs(value), -1 if value < 0 else 1
    return {
        "half-up": math.floor(value + HALF),
        "half-away": sign * math.floor(size + HALF),
        "half-even": round(value),
        "floor": math.floor(value),
        "truncate": sign * math.floor(size),
    }[name]


ROUNDING: Mapping[str, Callable[[int, int], int]] = {
    "half-up": up,
    "half-away": away,
    "half-even": even,
    "floor": down,
    "truncate": toward_zero,
}


def wrap32(value: int) -> int:
    return (value + 2**31) % 2**32 - 2**31


def limited(value: int, bits: int) -> int:
    return max(-(1 << (bits - 1)), min(value, (1 << (bits - 1)) - 1))


def f32(value: float) -> float:
    """The float32 nearest to a float64, as a Python float."""
    try:
        return float(struct.unpack("<f", struct.pack("<f", value))[0])
    except OverflowError:
        return math.copysign(math.inf, value)


# -- multipliers -----------------------------------------------------------------------------------------------------
@functools.cache
def quantize_multiplier(real: float, single: bool = False) -> tuple[int, int]:
    """TFLite's QuantizeMultiplier: (multiplier, total shift)."""
    if real == 0:
        return 0, 31
    exact = Fraction(real)
    s = _exponent(exact)
    m = math.floor(exact / Fraction(2) ** s * 2**31 + HALF)
    if m == 2**31:
        m, s = m // 2, s + 1
    if s < -31:
        m, s = 0, 0
    if single and s > 30:
        m, s = 2**31 - 1, 30
    return m, 31 - s


def reduced16(real: float) -> tuple[int, int]:
    m, shift = quantize_multiplier(real)
    return (0x7FFF if m >= 0x7FFF0000 else (m + (1 << 15)) >> 16), shift - 16


def mantissa24(real: float) -> tuple[int, int]:
    exact = Fraction(f32(real))
    if not Fraction(1, 2**32) <= exact < 1:
        raise OutsideDomainError
    shift = 24 - _exponent(exact)
    m = exact * 2**shift
    assert m.denominator == 1
    return int(m), shift


def truncated16(real: float) -> tuple[int, int]:
    if real == 0:
        return 0, 15
    shift = 15 - _exponent(Fraction(real))
    return math.floor(Fraction(real) * Fraction(2) ** shift), shift


def power_of_two(real: float) -> tuple[int, int]:
    exact = Fraction(real)
    if exact <= 0 or Fraction(2) ** (_exponent(exact) - 1) != exact:
        raise OutsideDomainError
    return 1, 1 - _exponent(exact)


def _exponent(exact: Fraction) -> int:
    """e with exact = q * 2^e, q in [1/2, 1)."""
    e = exact.numerator.bit_length() - exact.denominator.bit_length()
    while exact >= Fraction(2) ** e:
        e += 1
    while exact < Fraction(2) ** (e - 1):
        e -= 1
    return e


# -- requantization of one accumulator -------------------------------------------------------------------------------
def _in_int32(value: int) -> int:
    if not INT32[0] <= value <= INT32[1]:
        raise OutsideDomainError
    return value


def double(acc: int, m: int, shift: int) -> int:
    """gemmlowp: RDPOT(SRDHM32(wrap32(acc * 2^l), m), r)."""
    left, right = max(31 - shift, 0), max(shift - 31, 0)
    return away(up(wrap32(acc << left) * m, 31), right)


def ruy(acc: int, m: int, shift: int) -> int:
    left, right = max(31 - shift, 0), max(shift - 31, 0)
    return up(up(wrap32(acc << left) * m, 31), right)


def single(acc: int, m: int, shift: int) -> int:
    return _in_int32(up(acc * m, shift))


def tosa_single(acc: int, m: int, shift: int) -> int:
    if not -(1 << (shift - 1)) <= acc < 1 << (shift - 1):
        raise OutsideDomainError
    return _in_int32(up(acc * m, shift))


def tosa_double(acc: int, m: int, shift: int) -> int:
    bump = 0 if shift <= 31 else (2**30 if acc >= 0 else -(2**30))
    return _in_int32((acc * m + (1 << (shift - 1)) + bump) >> shift)


def dasym(acc: int, m: int, shift: int) -> int:
    return _in_int32((acc * m + (1 << (shift - 1)) + (2**30 if shift > 31 else 0)) >> shift)


def truncate(acc: int, m: int, shift: int) -> int:
    return _in_int32(toward_zero(acc * m, shift))


def nvdla(acc: int, m: int, shift: int) -> int:
    return limited(away(acc * m, shift), 17)


def pow2(acc: int, m: int, shift: int) -> int:
    return up(acc, shift)


def pow2_floor(acc: int, m: int, shift: int) -> int:
    return acc >> shift


def pow2_even(acc: int, m: int, shift: int) -> int:
    return even(acc, shift)


def float32_round(acc: int, real: float) -> int:
    """XNNPACK: rint of one float32 product."""
    return round(Fraction(f32(f32(float(acc)) * real)))


def float64_round(acc: int, real: float) -> int:
    """round() of C on one float64 product: halves away from zero."""
    return by_definition("half-away", Fraction(float(acc) * real))


@dataclass(frozen=True)
class Row:
    """A profile's requantization. precision: in which s_x * s_w / s_y is formed. shifts: total shifts of the domain.

    bits: of the accumulator. multipliers: the integers that its scheme can give, low and high inclusive.
    """

    requantize: Callable[[int, int, int], int]
    scheme: Callable[[float], tuple[int, int]]
    shifts: tuple[int, int]
    multipliers: tuple[int, int] = (2**30, 2**31 - 1)
    precision: str = "float64"
    bits: int = 32


def _clamped(real: float) -> tuple[int, int]:
    return quantize_multiplier(real, single=True)


_Q = quantize_multiplier
ROWS: Mapping[str, Row] = {
    "tflite": Row(double, _Q, (1, 62)),
    "tflm": Row(double, _Q, (1, 62)),
    "tflm-2026-08": Row(double, _Q, (1, 62)),
    "cmsis-nn": Row(double, _Q, (1, 62)),
    "tflite-ruy": Row(ruy, _Q, (1, 62)),
    "tflite-single": Row(single, _clamped, (1, 62)),
    "cmsis-nn-single": Row(single, _clamped, (1, 62)),
    "tosa-single": Row(tosa_single, _Q, (2, 62)),
    "ethos-u-natural": Row(single, _Q, (2, 62)),
    "tosa-double": Row(tosa_double, _Q, (2, 62)),
    "ethos-u": Row(tosa_double, _Q, (2, 62)),
    "ethos-u-truncate": Row(truncate, _Q, (2, 62)),
    "ethos-u85-dasym": Row(dasym, _Q, (2, 62)),
    "tflite-16x8": Row(single, reduced16, (0, 46), (2**14, 2**15 - 1), bits=48),
    "xnnpack-rndnu": Row(single, mantissa24, (24, 55), (2**23, 2**24 - 1), "float32"),
    "nvdla": Row(nvdla, truncated16, (0, 62), (2**14, 2**15 - 1)),
    "pow2": Row(pow2, power_of_two, (0, 62), (1, 1)),
    "pow2-floor": Row(pow2_floor, power_of_two, (0, 62), (1, 1)),
    "pow2-even": Row(pow2_even, power_of_two, (0, 62), (1, 1)),
}
FLOATS = ("ort", "xnnpack-fp32", "tflite-fc-float", "exact")
NAMES = (*ROWS, *FLOATS)


def real_multiplier(x: float, w: float, y: float, precision: str = "float64") -> float:
    """s_x * s_w / s_y of float32 scales, formed as the family forms it."""
    if precision == "float32":
        return f32(f32(x * w) / y)
    return (f32(x * w) if precision == "float32-product" else x * w) / y


def code(value: int, zero: int, low: int = -128, high: int = 127) -> int:
    return max(low, min(value + zero, high))


def requantize(name: str, acc: int, scales: tuple[float, float, float], zero: int) -> int:
    """The int8 code of an int32 accumulator, all the way from the three scales (x, w, y)."""
    x, w, y = scales
    if name == "ort":
        product = f32(f32(float(acc)) * real_multiplier(x, w, y, "float32"))
        return round(max(min(product, float(127 - zero)), float(-128 - zero))) + zero
    if name == "exact":
        return code(round(acc * Fraction(x) * Fraction(w) / Fraction(y)), zero)
    if name == "xnnpack-fp32":
        return code(float32_round(acc, real_multiplier(x, w, y, "float32")), zero)
    if name == "tflite-fc-float":
        return code(float64_round(acc, real_multiplier(x, w, y)), zero)
    row = ROWS[name]
    m, shift = row.scheme(real_multiplier(x, w, y, row.precision))
    return code(row.requantize(acc, m, shift) if m else 0, zero)


# -- operators of the complete rows ----------------------------------------------------------------------------------
Q = tuple[float, int]  # scale and zero point of a tensor of int8 codes


@dataclass(frozen=True)
class Operators:
    """Add, Mul, rescale of codes, average and mean of a TFLite-like row, MBQM being its own requantization."""

    name: str

    def mbqm(self, value: int, real: float) -> int:
        row = ROWS[self.name]
        m, shift = row.scheme(real)
        return row.requantize(value, m, shift)

    def add(self, a: Q, b: Q, y: Q) -> Callable[[int, int], int]:
        twice = 2 * max(a[0], b[0])
        left = [self.mbqm((x - a[1]) << 20, a[0] / twice) for x in range(-128, 128)]
        right = [self.mbqm((x - b[1]) << 20, b[0] / twice) for x in range(-128, 128)]
        last = twice / (2**20 * y[0])
        return lambda p, q: code(self.mbqm(left[p + 128] + right[q + 128], last), y[1])

    def mul(self, a: Q, b: Q, y: Q) -> Callable[[int, int], int]:
        real = real_multiplier(a[0], b[0], y[0], "float32" if self.name == "tflite" else "float64")
        return lambda p, q: code(self.mbqm((p - a[1]) * (q - b[1]), real), y[1])

    def rescale(self, x: Q, y: Q) -> Callable[[int], int]:
        return lambda p: code(self.mbqm(p - x[1], x[0] / y[0]), y[1])

    def mean(self, x: Q, y: Q, count: int) -> Callable[[int], int]:
        """Of the sum of (code - zero point)."""
        if self.name.startswith("cmsis-nn") and x == y:
            return lambda total: code(by_definition("half-away", Fraction(total + x[1] * count, count)), 0)
        row = ROWS[self.name]
        m, shift = row.scheme(x[0] / y[0])
        k = 0
        while 2 ** (k + 1) <= count:
            k += 1
        k = min(k, 31 + (31 - shift))
        return lambda total: code(row.requantize(total, (m << k) // count, shift + k), y[1])

    def average(self, x: Q, y: Q, codes: list[int]) -> int:
        """Of the raw codes of one window that lie in the image."""
        if x == y:
            return code(by_definition("half-away", Fraction(sum(codes), len(codes))), 0)
        return self.mean(x, y, len(codes))(sum(c - x[1] for c in codes))


@dataclass(frozen=True)
class ExactOperators:
    """The same operators on real numbers, rounded once, half to even."""

    name: str = "exact"

    def add(self, a: Q, b: Q, y: Q) -> Callable[[int, int], int]:
        left, right, unit = Fraction(a[0]), Fraction(b[0]), Fraction(y[0])
        return lambda p, q: code(round(((p - a[1]) * left + (q - b[1]) * right) / unit), y[1])

    def mul(self, a: Q, b: Q, y: Q) -> Callable[[int, int], int]:
        factor = Fraction(a[0]) * Fraction(b[0]) / Fraction(y[0])
        return lambda p, q: code(round((p - a[1]) * (q - b[1]) * factor), y[1])

    def rescale(self, x: Q, y: Q) -> Callable[[int], int]:
        return lambda p: code(round((p - x[1]) * Fraction(x[0]) / Fraction(y[0])), y[1])

    def mean(self, x: Q, y: Q, count: int) -> Callable[[int], int]:
        return lambda total: code(round(total * Fraction(x[0]) / Fraction(y[0]) / count), y[1])

    def average(self, x: Q, y: Q, codes: list[int]) -> int:
        return self.mean(x, y, len(codes))(sum(c - x[1] for c in codes))


# -- ST Neural-ART ---------------------------------------------------------------------------------------------------
def largest_shift(real: float) -> int:
    """The shift that puts rint(real * 2^shift) in [2^14, 2^15)."""
    shift = 15 - _exponent(Fraction(real))
    return shift - 1 if round(Fraction(real) * Fraction(2) ** shift) == 2**15 else shift


def first_shift(weights: list[list[int]]) -> int:
    largest, s1 = max(abs(sum(row)) for row in weights), 0
    while largest > 2 ** (7 + s1):
        s1 += 1
    return s1


def neural_art_addend(scales: tuple[float, list[float], float], bias: list[int], zero: int, shift: int) -> list[int]:
    """BC of each channel, of the bias's float32 value; the quotient is in float64. `scales` are those of x, w and y."""
    x, channels, y = scales
    reals = [f32(f32(b) * f32(x * w)) for b, w in zip(bias, channels, strict=True)]
    return [limited(math.floor(Fraction(zero + real / y) * 2**shift), 32) for real in reals]


def neural_art_parameters(
    weights: list[list[int]], scales: tuple[float, list[float], float], bias: list[int], zero: int
) -> tuple[int, int, list[int], list[int]]:
    """S1, S2, A and BC of a convolution, compiler 1.1.3."""
    s1, (x, channels, y) = first_shift(weights), scales
    reals = [x * w / y for w in channels]
    s2 = largest_shift(max(reals) * 2.0**s1)
    a = [round(Fraction(real) * 2 ** (s1 + s2)) for real in reals]
    return s1, s2, a, neural_art_addend(scales, bias, zero, s2)


def neural_art(acc: int, s1: int, s2: int, a: int, bc: int, tie: str = "half-up") -> int:
    x16 = limited(ROUNDING[tie](acc, s1), 16)
    return limited(ROUNDING[tie](a * x16 + bc, s2), 8)


def neural_art_1_1_1_parameters(
    weights: list[list[int]], scales: tuple[float, list[float], float], bias: list[int], zero: int
) -> tuple[int, int, list[int], int, list[int], int]:
    """S1, sh1, A1, A2, BC and S2 of a convolution, compilers 1.1.0 and 1.1.1."""
    s1, (x, channels, y) = first_shift(weights), scales
    products = [f32(x * w) for w in channels]
    biases = [Fraction(f32(f32(code) * product)) for code, product in zip(bias, products, strict=True)]
    exponent = -200
    while Fraction(2) ** exponent < Fraction(y):
        exponent += 1
    s2, middle = 20, Fraction(2) ** (exponent - 6)
    while max(map(abs, biases)) > 2**15 * middle:
        s2, middle = s2 - 1, middle * 2
    reals = [Fraction(float(product)) / middle for product in products]
    sh1 = largest_shift(float(max(reals)) * 2.0**s1)
    a1 = [math.floor(real * 2 ** (s1 + sh1) + Fraction(1, 2)) for real in reals]
    codes = [Fraction(zero + float(value) / y) for value in biases]
    more = 0
    while max(map(abs, codes)) and max(map(abs, codes)) * 2 ** (s2 + more + 1) < 2**31:
        more += 1
    bc = [limited(round(code * 2 ** (s2 + more)), 32) >> more for code in codes]
    return s1, sh1, a1, round(middle / Fraction(y) * 2**s2), bc, s2


def neural_art_1_1_1(
    acc: int, s1: int, sh1: int, a1: int, a2: int, bc: int, s2: int, ties: tuple[str, str, str] = ("half-up",) * 3
) -> int:
    x16 = limited(ROUNDING[ties[0]](acc, s1), 16)
    m16 = limited(ROUNDING[ties[1]](a1 * x16, sh1), 16)
    return limited(ROUNDING[ties[2]](a2 * m16 + bc, s2), 8)


def neural_art_add(a: Q, b: Q, y: Q, tie: str = "half-up") -> Callable[[int, int], int]:
    ratios = a[0] / y[0], b[0] / y[0]
    s = largest_shift(max(ratios))
    inner = [largest_shift(ratio) - s for ratio in ratios]
    factor = [round(Fraction(ratio) * Fraction(2) ** (s + i)) for ratio, i in zip(ratios, inner, strict=True)]
    constant = (y[1] - ratios[0] * a[1] - ratios[1] * b[1]) * 2.0**s
    cs = next(n for n in range(64) if abs(round(Fraction(constant) / 2**n)) < 2**15)
    c = round(Fraction(constant) / 2**cs) << cs
    return lambda p, q: limited(ROUNDING[tie](((factor[0] * p) >> inner[0]) + ((factor[1] * q) >> inner[1]) + c, s), 8)
