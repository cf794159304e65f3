"""QuantizeLinear and DequantizeLinear where rounding is decided: halves and their neighbours, NaN, the range's ends."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.ops.case import Case, assert_same, check, computed, one_node
from tests.ops.cases.convert import NAMES

F = np.float32


def quantizer(x: Any, scale: float, zero: Any) -> Case:
    return one_node(
        "QuantizeLinear", [("x", np.asarray(x, F)), ("s", F(scale)), ("z", zero)], opset=21, output=zero.dtype
    )


@pytest.mark.parametrize("scale", [1.0, 0.25, 2.0**-20])
@pytest.mark.parametrize("dtype", NAMES)
def test_every_half_and_its_neighbours(dtype: type, scale: float) -> None:
    info = np.iinfo(dtype)
    halves = np.arange(-300.5, 300.5, dtype=F) if info.max < 300 else np.arange(-70000.5, 70000.5, 7, dtype=F)
    x = np.concatenate([halves, np.nextafter(halves, F(np.inf)), np.nextafter(halves, F(-np.inf))]) * F(scale)
    for zero in (info.min, 0, 5, info.max):
        check(quantizer(x, scale, np.asarray(max(zero, info.min), dtype)))


def test_ties_go_to_the_even_step_before_the_zero_point_is_added() -> None:
    case = quantizer([0.5, 1.5, 2.5, -0.5, -1.5], 1.0, np.asarray(1, np.int8))
    assert computed(case).tolist() == [1, 3, 3, 1, -1]
    check(case)


@pytest.mark.parametrize("dtype", NAMES)
def test_what_is_no_number_and_what_is_too_large(dtype: type) -> None:
    info = np.iinfo(dtype)
    x = [np.nan, -np.nan, np.inf, -np.inf, 3.4e38, -3.4e38, 2.0**31, -(2.0**31), 0.0, -0.0, 1e-45]
    case = quantizer(x, 0.001, np.asarray(3, dtype))
    assert computed(case).tolist() == [
        info.min,
        info.min,
        info.max,
        info.min,
        info.max,
        info.min,
        info.max,
        info.min,
        3,
        3,
        3,
    ]
    check(case)


def test_true_division_not_a_reciprocal() -> None:
    """Among these, x * f32(1 / s) and x / s round to different sides of a half."""
    scale = F(0.06)
    x = ((np.arange(-127, 127) + F(0.5)) * scale).astype(F)
    case = quantizer(x, 0.06, np.asarray(0, np.int8))
    assert (np.rint(x * (F(1) / scale)) != np.rint(x / scale)).any()
    check(case)


def test_int32_codes_round_to_nearest_even_on_their_way_to_float32() -> None:
    x = np.array([2**24 + 1, 2**24 + 3, -(2**24) - 1, 2**31 - 1, -(2**31), 2**30 + 65, 0], np.int32)
    case = one_node("DequantizeLinear", [("x", x), ("s", F(0.3))], output=np.float32)
    check(case)
    unit = one_node("DequantizeLinear", [("x", x), ("s", F(1))], output=np.float32)
    assert computed(unit).tolist() == [2**24, 2**24 + 4, -(2**24), 2.0**31, -(2.0**31), 2**30 + 128, 0]
    check(unit)


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_per_axis_of_every_axis(axis: int) -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(0, 4, (3, 3, 3)).astype(F)
    scales, zeros = np.array([0.1, 0.05, 0.3], F), np.array([-3, 0, 100], np.int8)
    quantized = one_node("QuantizeLinear", [("x", x), ("s", scales), ("z", zeros)], output=np.int8, axis=axis)
    check(quantized)
    codes = computed(quantized)
    one = np.stack(
        [
            computed(quantizer(part, scale, zero))
            for part, scale, zero in zip(np.moveaxis(x, axis, 0), scales, zeros, strict=True)
        ],
        axis,
    )
    assert_same(codes, one, "one slice after the other", quantized)
    check(one_node("DequantizeLinear", [("x", codes), ("s", scales), ("z", zeros)], output=np.float32, axis=axis))
