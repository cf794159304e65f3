"""Softmax of int8 codes as TensorFlow's converter writes it in TOSA: tables of exponentials, Newton's division.

tensorflow/compiler/mlir/tosa/transforms, legalize_common.cc (convertSoftmaxOp), legalize_utils.cc
(getTosaConst32bitSoftmaxExpTable). The exponentials are gemmlowp's, here in Python's integers.
"""

from __future__ import annotations

import math

import numpy as np

from tests.oracles.tosa import Graph, Value

I32 = np.int32
POWERS = tuple(enumerate((1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242), -2))


def high(a: int, b: int) -> int:
    """Saturating rounding doubling high multiplication; -2^31 * -2^31 does not occur."""
    product = a * b
    nudged = product + (2**30 if product >= 0 else 1 - 2**30)
    return nudged >> 31 if nudged >= 0 else -(-nudged >> 31)


def over(value: int, exponent: int) -> int:
    size = (abs(value) + (1 << exponent >> 1)) >> exponent
    return size if value >= 0 else -size


def exponential(a: int) -> int:
    """exp of a raw number of 5 integer bits, at most 0; the result has none."""
    if a == 0:
        return 2**31 - 1
    quarter = 1 << 24
    rest = (a & (quarter - 1)) - quarter
    x = (rest << 5) + (1 << 28)
    square = high(x, x)
    inner = over(high(over(high(square, square), 2) + high(square, x), 715827883) + square, 1)
    result = 1895147668 + high(x + inner, 1895147668)
    for exponent, power in POWERS:
        if (rest - a) >> (26 + exponent) & 1:
            result = high(result, power)
    return result


def exponentials(scale: float) -> list[int]:
    """exp(scale * d) for d from -256 to 256; 0 where d is too low."""
    fraction, shift = math.frexp(min(scale * 2.0**26, 2.0**31 - 1))
    multiplier = math.floor(fraction * 2.0**31 + 0.5)
    if multiplier == 2**31:
        multiplier, shift = multiplier >> 1, shift + 1
    lowest = -(31 * 2**26 >> shift)
    return [exponential(high(min(d, 0) << shift, multiplier)) if d >= lowest else 0 for d in range(-256, 257)]


def softmax(graph: Graph, x: Value, scale: float, zero_in: int, zero_out: int) -> Value:
    """Codes of scale 1/256 of rows, the last axis."""

    def const(value: int, dtype: type = I32) -> Value:
        return graph.const(np.full((1,) * len(x.shape), value), dtype)

    def mul(a: Value, b: Value, shift: int) -> Value:
        return graph.op("Mul", [a, b, graph.const(shift)], np.broadcast_shapes(a.shape, b.shape), I32)

    def add(a: Value, b: Value) -> Value:
        return graph.op("Add", [a, b], np.broadcast_shapes(a.shape, b.shape), I32)

    def sub(a: Value, b: Value) -> Value:
        return graph.op("Sub", [a, b], np.broadcast_shapes(a.shape, b.shape), I32)

    def left(a: Value, by: Value) -> Value:
        return graph.op("LogicalLeftShift", [a, by], a.shape, I32)

    def right(a: Value, by: Value) -> Value:
        return graph.op("ArithmeticRightShift", [a, by], a.shape, I32, True)

    last, row = len(x.shape) - 1, (*x.shape[:-1], 1)
    wide = graph.rescale(x, 1.0, zero_in, 0, I32)
    most = graph.op("ReduceMax", [wide], row, I32, last, graph.ts.NanPropagationMode.PROPAGATE)
    index = graph.rescale(sub(wide, most), 128.0, 0, 0, np.int16)
    values, parts = exponentials(scale), []
    for byte, shift in ((24, 17), (16, 9), (8, 1), (0, -7)):
        table = graph.const([value >> byte & 255 for value in values], np.int16)
        found = graph.op("Table", [index, table], x.shape, I32)
        parts.append(left(found, const(shift)) if shift > 0 else right(found, const(-shift)))
    exp = add(add(add(parts[0], parts[1]), parts[2]), parts[3])
    total = graph.summed(right(exp, const(12)), last)
    zeros = graph.op("Clz", [total], row, I32)
    half = left(total, sub(zeros, const(1)))
    guess = add(mul(half, const(-1010580540), 31), const(1515870810))
    for _ in range(3):
        error = sub(const(1 << 29), mul(guess, half, 31))
        guess = add(guess, mul(mul(guess, error, 31), const(4), 0))
    quotient = mul(exp, guess, 30)
    shifts = sub(const(12 + 31 - 8), zeros)
    return graph.rescale(right(quotient, shifts), 1.0, 0, zero_out)
