"""The rules of the profile 'ort', bound to parameters and called directly, against the integer oracle's formulas."""

from __future__ import annotations

import itertools
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qdqnp.errors import ProfileError
from qdqnp.numerics.profiles import profile_named
from qdqnp.numerics.rules.lookup import RationalLookup
from qdqnp.numerics.rules.requantize.protocol import SumContext
from qdqnp.quant import Quant
from tests.ops import draw
from tests.oracles import integers, rounding

Array = np.ndarray[Any, np.dtype[Any]]
F = np.float32
ORT = profile_named("ort")
SEEDS = st.integers(0, 2**32 - 1)


def quant(rng: draw.Rng, dtype: Any) -> Quant:
    return Quant(np.dtype(dtype), draw.scale(rng), np.asarray(draw.zero_point(rng, dtype)))


def parameters(*quants: Quant) -> list[Array]:
    """scale and zero point of each, in the order of the operators' inputs."""
    return list(itertools.chain.from_iterable((q.scale, q.zero_point) for q in quants))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(SEEDS)
def test_requantize(seed: int) -> None:
    """Sums of all sizes, per channel and per tensor, with a bias that may wrap; codes, and the real output."""
    rng = np.random.default_rng(seed)
    dtype = draw.pick(rng, draw.EIGHT)
    x, y = quant(rng, dtype), quant(rng, dtype)
    w = Quant(np.dtype(np.int8), draw.scale(rng, (5,)) if draw.chance(rng, 0.5) else draw.scale(rng), np.int8(0), 0)
    sums = rng.integers(-(2 ** int(rng.integers(3, 31))), 2**30, (40, 5))
    bias = draw.bias(rng, (5,), 1e6)
    alpha = draw.pick(rng, (1.0, 0.3))
    acc = rounding.int32(sums + bias)
    multiplier = integers.product(alpha, x.scale, w.scale)
    bound = ORT.conv.bind(SumContext(x, w, y, bias, alpha))
    wanted = rounding.requantize(acc, integers.ratio(multiplier, y.scale), y.zero_point, dtype)
    found = bound(sums)
    assert found.dtype == dtype
    assert found.tolist() == wanted.tolist()
    real = ORT.gemm.bind(SumContext(x, w, None, bias, alpha))(sums)
    assert real.dtype == F
    assert real.tolist() == integers.product(acc.astype(F), multiplier).tolist()


@settings(max_examples=40, deadline=None, derandomize=True)
@given(SEEDS)
def test_the_stages_of_requantizing_end_in_its_codes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = quant(rng, np.int8), quant(rng, np.int8)
    w = Quant(np.dtype(np.int8), draw.scale(rng), np.int8(0))
    bound = ORT.conv.bind(SumContext(x, w, y, draw.bias(rng, (3,), 1e5)))
    sums = rng.integers(-(2**20), 2**20, (6, 3))
    stages = bound.stages(sums)
    assert stages[0].name == "acc"
    assert stages[-1].name == "y"
    assert stages[-1].array.tolist() == bound(sums).tolist()


@settings(max_examples=40, deadline=None, derandomize=True)
@given(SEEDS, st.sampled_from(["add", "mul"]))
def test_binary(seed: int, which: str) -> None:
    rng = np.random.default_rng(seed)
    dtype = draw.pick(rng, draw.EIGHT)
    a, b, y = (quant(rng, dtype) for _ in range(3))
    codes = [draw.codes(rng, dtype, (60,)) for _ in range(2)]
    rule, oracle = (ORT.add, integers.qlinear_add) if which == "add" else (ORT.mul, integers.qlinear_mul)
    given_ = [codes[0], a.scale, a.zero_point, codes[1], b.scale, b.zero_point, y.scale, y.zero_point]
    found = rule.bind(a, b, y)(*codes)
    assert found.dtype == dtype
    assert found.tolist() == oracle(given_, {}).tolist()


def test_add_rounds_after_the_zero_point() -> None:
    """2.5 and 3.5 are ties; which way they go depends on the zero point's parity, as it is inside the rounding."""
    unit = Quant(np.dtype(np.int8), np.asarray(F(0.5)), np.asarray(0, np.int8))
    codes = np.array([5, 7], np.int8), np.array([0, 0], np.int8)
    for zero, wanted in ((0, [2, 4]), (1, [4, 4])):
        y = Quant(np.dtype(np.int8), np.asarray(F(1)), np.asarray(zero, np.int8))
        assert ORT.add.bind(unit, unit, y)(*codes).tolist() == wanted


@pytest.mark.parametrize("seed", range(20))
def test_average_takes_taps_in_order_and_leaves_out_what_is_outside(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = quant(rng, np.uint8), quant(rng, np.uint8)
    taps = draw.codes(rng, np.uint8, (6, 30))
    inside = rng.random((6, 30)) < 0.8
    inside[0] = True
    count = inside.sum(axis=0)
    total = np.zeros(30, F)
    with np.errstate(all="ignore"):
        for place in range(30):
            for tap in range(6):
                if inside[tap, place]:
                    real = F(int(taps[tap, place]) - int(x.zero_point)) * F(x.scale)
                    total[place] = F(total[place] + real)
        shifted = F(1) * total / count.astype(F) / y.scale + F(int(y.zero_point))
    wanted = [min(max(rounding.nearest_int32(v), 0), 255) for v in shifted]
    assert ORT.average_pool.bind(x, y)(taps, inside, count).tolist() == wanted


def test_the_order_of_taps_matters(rng: np.random.Generator) -> None:
    """float32 sums are not associative: reversing the taps changes codes, where means fall on halves."""
    x = Quant(np.dtype(np.int8), np.asarray(F(0.1)), np.asarray(-3, np.int8))
    y = Quant(np.dtype(np.int8), np.asarray(F(0.2)), np.asarray(0, np.int8))
    taps = rng.integers(-20, 20, (8, 20000), np.int8)
    average, inside, count = ORT.average_pool.bind(x, y), np.ones((8, 1), bool), np.full(20000, 8)
    assert (average(taps, inside, count) != average(taps[::-1], inside, count)).any()


@pytest.mark.parametrize("count", [1, 3, 49, 2**24 + 1])
def test_mean_rounds_the_count_and_both_factors(count: int) -> None:
    x = Quant(np.dtype(np.uint8), np.asarray(F(0.3)), np.asarray(7, np.uint8))
    y = Quant(np.dtype(np.uint8), np.asarray(F(0.1)), np.asarray(9, np.uint8))
    sums = np.arange(-500, 500)[:, None] * count // 13
    multiplier = integers.ratio(x.scale, integers.product(y.scale, count))
    wanted = rounding.requantize(rounding.int32(sums), multiplier, y.zero_point, np.uint8)
    assert ORT.global_average_pool.bind(x, y, count)(sums).tolist() == wanted.tolist()


@pytest.mark.parametrize("seed", range(10))
def test_mean_beside_every_threshold(seed: int) -> None:
    """The sums at which codes change, and their neighbours. One bit of the multiplier moves most of them, so another
    order of its two divisions shows."""
    rng = np.random.default_rng(seed)
    x = Quant(np.dtype(np.int8), np.asarray(F(rng.uniform(0.1, 0.2))), np.asarray(-3, np.int8))
    y = Quant(np.dtype(np.int8), np.asarray(F(rng.uniform(0.1, 0.2))), np.asarray(5, np.int8))
    count = 100003
    multiplier = integers.ratio(x.scale, integers.product(y.scale, count))
    thresholds = np.rint((np.arange(-130, 130) + 0.5) / float(multiplier)).astype(np.int64)
    sums = (thresholds[:, None] + np.arange(-2, 3)).reshape(-1, 1)
    wanted = rounding.requantize(sums, multiplier, y.zero_point, np.int8)
    assert ORT.global_average_pool.bind(x, y, count)(sums).tolist() == wanted.tolist()


@pytest.mark.parametrize(("scale", "fine"), [(2.0**-32, True), (2.0**-33, False), (255.0, True), (256.0, False)])
def test_mean_has_a_domain(scale: float, fine: bool) -> None:
    x = Quant(np.dtype(np.int8), np.asarray(F(scale)), np.asarray(0, np.int8))
    y = Quant(np.dtype(np.int8), np.asarray(F(1)), np.asarray(0, np.int8))
    if fine:
        assert ORT.global_average_pool.bind(x, y, 1)(np.array([[0]])).tolist() == [[0]]
    else:
        with pytest.raises(ProfileError, match="multiplier"):
            ORT.global_average_pool.bind(x, y, 1)


@pytest.mark.parametrize("seed", range(10))
def test_convert(seed: int) -> None:
    rng = np.random.default_rng(seed)
    q = quant(rng, draw.pick(rng, (np.int8, np.uint8, np.int16, np.uint16)))
    codes = draw.codes(rng, q.dtype.type, (200,))
    real = ORT.convert.dequantize(codes, q)
    assert real.tolist() == rounding.dequantize(codes, q.scale, q.zero_point).tolist()
    x = (real * F(1.5)).astype(F)
    assert ORT.convert.quantize(x, q).tolist() == rounding.quantize(x, q.scale, q.zero_point, q.dtype).tolist()


class CountingFunction:
    """A real function that counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def float32(self, x: Array) -> Array:
        return x

    def exact(self, x: Fraction) -> Fraction:
        self.asked += 1
        return x + x / 7


def test_the_values_of_a_function_are_computed_once_for_all_bindings() -> None:
    """A rule is bound for every question: stimulate asks hundreds of them of one layer."""
    function = CountingFunction()
    x, y = (Quant(np.dtype(np.int8), F(scale), np.asarray(zero, np.int8)) for scale, zero in ((0.0371, 5), (0.05, -9)))
    codes = np.arange(-128, 128).astype(np.int8)
    found = [RationalLookup().bind(x, y, function)(codes) for _ in range(3)]
    assert function.asked == 256 and all(np.array_equal(found[0], other) for other in found)
    other = replace(x, zero_point=np.asarray(6, np.int8))
    moved = RationalLookup().bind(other, y, function)(codes)
    assert function.asked == 512 and np.array_equal(moved[1:], found[0][:-1]) and len(np.unique(moved)) > 5
