"""The float32 primitives against exact rationals, rounded once; the sigmoid against ONNX Runtime."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from qdqnp.numerics import float32
from tests.oracles import rounding

Array = np.ndarray[Any, np.dtype[Any]]
F = np.float32
FLOATS = st.floats(width=32, allow_nan=True)
TINY, HUGE = float(np.finfo(F).smallest_subnormal), float(np.finfo(F).max)


def bits(value: Any) -> list[int]:
    """The bit patterns; every NaN as one."""
    array = np.atleast_1d(np.asarray(value, F))
    return np.where(np.isnan(array), F(np.nan), array).view(np.uint32).tolist()


def fused(a: Array, b: Array, c: Array) -> Array:
    return np.array([rounding.fma(*each) for each in zip(a.flat, b.flat, c.flat, strict=True)], F)


# -- the oracle itself ---------------------------------------------------------------------------------------------
@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.floats(allow_nan=False, allow_infinity=False))
@example(1 + 2.0**-24)
@example(1 + 3 * 2.0**-24)
@example(2.0**-150)
@example(3 * 2.0**-150)
@example(2.0**128 - 2.0**103)
@example(math.nextafter(2.0**128 - 2.0**103, 0))
def test_the_oracle_rounds_as_a_conversion_does(value: float) -> None:
    with np.errstate(all="ignore"):
        assert float(rounding.float32_of(Fraction(value))) == float(F(value))


# -- fma -----------------------------------------------------------------------------------------------------------
@settings(max_examples=500, deadline=None, derandomize=True)
@given(FLOATS, FLOATS, FLOATS)
@example(HUGE, HUGE, -HUGE)
@example(TINY, TINY, TINY)
@example(0.0, -1.0, 0.0)
@example(math.inf, 0.0, 1.0)
@example(math.inf, 1.0, -math.inf)
def test_fma_of_anything(a: float, b: float, c: float) -> None:
    assert bits(float32.fma32(F(a), F(b), F(c))) == bits(rounding.fma(F(a), F(b), F(c)))


def test_fma_of_a_subnormal_sum_that_float64_rounds_to_the_middle() -> None:
    """2^-127 + 2^-149 plus 2^-150 (1 - 2^-30): float64 rounds it to the middle of two subnormals, the wrong one
    being even. More bits than usual are dropped there, so the middle does not show in the usual ones."""
    a, b = F(2**-75 * (1 + 2**-15)), F(2**-75 * (1 - 2**-15))
    c = F(2**-127 + 2**-149)
    assert bits(float32.fma32(a, b, c)) == bits(rounding.fma(a, b, c)) == bits(c)
    with np.errstate(all="ignore"):
        assert bits(F(float(a) * float(b) + float(c))) != bits(c)


def near(rng: np.random.Generator, value: Array, ulps: int) -> Array:
    """float32 values at most some steps away."""
    steps = rng.integers(-ulps, ulps, value.shape, endpoint=True)
    return (value.astype(F).view(np.int32) + steps.astype(np.int32)).view(F)


@pytest.mark.parametrize("seed", range(3))
def test_fma_where_the_sum_cancels(seed: int) -> None:
    """c is minus the product, or one of its neighbours: what is left is the product's own discarded part."""
    rng = np.random.default_rng(seed)
    a, b = (rng.normal(0, 1, 1500) * np.exp2(rng.integers(-40, 40, 1500)) for _ in range(2))
    a, b = a.astype(F), b.astype(F)
    c = near(rng, -(a * b), 3)
    assert bits(float32.fma32(a, b, c)) == bits(fused(a, b, c))


@pytest.mark.parametrize("seed", range(3))
def test_fma_beside_the_middle_of_two_float32(seed: int) -> None:
    """a * b is tiny beside c plus half its step: only the part that float64 drops tells which way to round."""
    rng = np.random.default_rng(seed)
    count = 1500
    c = np.abs(rng.normal(1, 0.2, count)).astype(F) * F(2.0**30)
    half = np.spacing(c).astype(np.float64) / 2
    sign = rng.choice([-1.0, 1.0], count)
    a = (sign * half / 2.0**12 * (1 + rng.integers(-2, 3, count) * 2.0**-23)).astype(F)
    b = (2.0**12 * (1 + rng.integers(-2, 3, count) * 2.0**-23)).astype(F)
    wanted = fused(a, b, c)
    assert bits(float32.fma32(a, b, c)) == bits(wanted)
    assert bits(float32.fma32(-a, b, -c)) == bits(-wanted)
    # the plain float64 sum is not enough: it rounds twice
    twice = (a.astype(np.float64) * b.astype(np.float64) + c.astype(np.float64)).astype(F)
    assert bits(twice) != bits(wanted)


@pytest.mark.parametrize("seed", range(2))
def test_fma_of_subnormal_results_and_of_overflow(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = (np.exp2(rng.uniform(-80, -60, 1500)).astype(F) for _ in range(2))
    c = near(rng, np.full(1500, 2.0**-126, F), 2000) * rng.choice(np.array([-1, 1, 0], F), 1500)
    assert bits(float32.fma32(a, b, c)) == bits(fused(a, b, c))
    edge = near(rng, np.full(1500, 2.0**64, F), 4)
    last = near(rng, np.full(1500, -(2.0**103), F), 4)
    with np.errstate(all="ignore"):
        found = float32.fma32(edge, near(rng, np.full(1500, 2.0**64, F), 4), last)
        assert {True, False} == set(np.isinf(found).tolist())
    a, b = edge, near(rng, edge, 2)
    assert bits(float32.fma32(a, b, last)) == bits(fused(a, b, last))


def test_fma_keeps_shapes_and_broadcasts() -> None:
    a, b, c = np.ones((3, 1), F), np.full((4,), 2, F), np.asarray(F(3))
    assert float32.fma32(a, b, c).shape == (3, 4)
    assert float32.fma32(c, c, c).shape == ()
    assert float32.fma32(c, c, c).dtype == F


# -- rounding to codes ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.uint16])
def test_quantize_against_exact_quotients(dtype: type, rng: np.random.Generator) -> None:
    """The float32 quotient by exact division of rationals, then Python's own rounding to even."""
    info = np.iinfo(dtype)
    for scale in (F(0.1), F(0.25), F(3e-5), F(1e-44), F(3e38)):
        x = ((rng.integers(2 * info.min - 9, 2 * info.max + 9, 150) / 2) * float(scale)).astype(np.float64)
        x = x[np.abs(x) < HUGE].astype(F)
        for zero in (info.min, 0, info.max):
            found = float32.quantize(x, scale, np.asarray(zero, dtype), np.dtype(dtype))
            wanted = [_code(rounding.float32_of(Fraction(float(v)) / Fraction(float(scale))), zero, info) for v in x]
            assert found.dtype == dtype
            assert found.tolist() == wanted


def _code(ratio: np.float32, zero: int, info: Any) -> int:
    if math.isinf(ratio):
        return info.max if ratio > 0 else info.min
    return min(max(round(float(ratio)) + zero, info.min), info.max)


@pytest.mark.parametrize(("dtype", "low", "high"), [(np.int8, -128, 127), (np.uint8, 0, 255), (np.uint16, 0, 65535)])
def test_quantize_what_is_no_number(dtype: type, low: int, high: int) -> None:
    x = np.array([np.nan, -np.nan, np.inf, -np.inf, HUGE, -HUGE], F)
    found = float32.quantize(x, F(0.5), np.asarray(7, dtype), np.dtype(dtype))
    assert found.tolist() == [low, low, high, low, high, low]


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_requantize_against_exact_products(dtype: type, rng: np.random.Generator) -> None:
    """f32(acc), then its float32 product, each an exact rational rounded once."""
    info = np.iinfo(dtype)
    around = rng.integers(-3000, 3000, 80)
    acc = np.concatenate([around, 2**24 + around, -(2**24) - around, 2**31 - 1 - abs(around), -(2**31) + abs(around)])
    for multiplier in (F(0.5), F(0.037), F(2.0**-18), F(2.0**-25), F(1e-45), F(3e38)):
        found = float32.requantize(acc, multiplier, np.asarray(3, dtype), np.dtype(dtype))
        rounded = [Fraction(float(rounding.float32_of(Fraction(int(a))))) for a in acc]
        products = [rounding.float32_of(real * Fraction(float(multiplier))) for real in rounded]
        assert found.tolist() == [_code(p, 3, info) for p in products]


def test_halves_go_to_even_and_the_zero_point_comes_after() -> None:
    acc = np.array([1, 3, 5, -1, -3, -5], np.int64)
    assert float32.requantize(acc, F(0.5), np.asarray(1, np.int8), np.dtype(np.int8)).tolist() == [1, 3, 3, 1, -1, -1]


@settings(max_examples=300, deadline=None, derandomize=True)
@given(FLOATS)
@example(2147483647.0)
@example(2147483648.0)
@example(2147483520.0)
@example(-2147483648.0)
@example(-2147483904.0)
@example(0.5)
@example(2.5)
@example(8388607.5)
def test_conversion_to_int32(value: float) -> None:
    assert float32.to_int32_x86(np.array([value], F)).tolist() == [rounding.nearest_int32(F(value))]


def test_dequantize_rounds_the_difference_then_the_product() -> None:
    codes = np.array([2**24 + 1, -(2**24) - 3, 2**31 - 1, -(2**31)], np.int32)
    found = float32.dequantize(codes, F(0.3), np.asarray(0, np.int32))
    wanted = [
        rounding.float32_of(Fraction(float(rounding.float32_of(Fraction(int(c))))) * Fraction(float(F(0.3))))
        for c in codes
    ]
    assert bits(found) == bits(wanted)
