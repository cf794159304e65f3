"""QuantizeLinear and DequantizeLinear where rounding is decided: halves and their neighbours, NaN, the range's ends."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from onnx import helper
from onnx.reference import ReferenceEvaluator

import qdqnp
from qdqnp.errors import InputError, ModelError
from tests.ops.case import Case, assert_same, check, computed, one_node
from tests.ops.cases.convert import FLOAT8, NAMES

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


BF, F4 = ml_dtypes.bfloat16, ml_dtypes.float4_e2m1fn


@pytest.mark.parametrize(
    ("real", "codes"), [(BF, np.int8), (BF, np.uint16), (BF, ml_dtypes.int4), (F, F4), (np.float16, F4), (BF, F4)]
)
@pytest.mark.parametrize("block", [0, 3])
def test_what_onnx_runtime_has_no_kernel_for_is_as_onnx_says(real: Any, codes: Any, block: int) -> None:
    """By ONNX's reference; and not promised."""
    rng = np.random.default_rng(7)
    scales = rng.uniform(0.01, 0.2, (4, 2) if block else ()).astype(real)
    x = rng.normal(0, 1, (4, 6)).astype(real)
    zeros = np.zeros(scales.shape, codes) if codes is F4 else rng.integers(0, 7, scales.shape).astype(codes)
    given = (x * 5).astype(F) if codes is F4 else rng.integers(0, 7, x.shape)
    for op, read, made in (("QuantizeLinear", x, codes), ("DequantizeLinear", given.astype(codes), real)):
        arguments = [("x", read), ("s", scales), ("z", zeros)]
        case = one_node(op, arguments, opset=23, output=made, block_size=block or None, axis=1)
        (wanted,) = ReferenceEvaluator(case.model).run(None, dict(case.inputs))
        assert_same(computed(case), wanted, "ONNX's reference", case)
        assert "as ONNX's specification says" in str(qdqnp.load(case.model).plan().promises["y"])


@pytest.mark.parametrize(
    ("shape", "block", "says"),
    [
        ((2, 2), 2, "one value per block of 2"),
        ((4, 3), -1, "a size of at least 1"),
        ((2,), 2, "2 axes"),
        ((), 2, "2 axes"),
        ((2, 3), 2, "one value per block"),
    ],
)
def test_blocks_that_do_not_fit(shape: tuple[int, ...], block: int, says: str) -> None:
    arguments = [("x", np.zeros((4, 6), np.int8)), ("s", np.ones(shape, F)), ("z", np.zeros(shape, np.int8))]
    with pytest.raises(ModelError, match=says):
        qdqnp.load(one_node("DequantizeLinear", arguments, opset=21, output=F, block_size=block, axis=1).model)


def test_a_block_larger_than_memory_costs_nothing() -> None:
    arguments = [("x", np.full((2, 3), 5, np.int8)), ("s", np.full((2, 1), 0.5, F))]
    case = one_node("DequantizeLinear", arguments, opset=21, output=F, block_size=2**62, axis=1)
    assert computed(case).tolist() == [[2.5] * 3] * 2


def test_blocks_along_an_axis_whose_size_a_run_says() -> None:
    case = one_node(
        "QuantizeLinear", [("x", np.zeros((2, 5), F)), ("s", np.ones((2, 3), F))], output=np.uint8, opset=21
    )
    case.model.graph.node[0].attribute.append(helper.make_attribute("block_size", 2))
    case.model.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "n"
    model = qdqnp.load(case.model)
    assert model.run(np.full((2, 6), 3, F))["y"].tolist() == [[3] * 6] * 2
    with pytest.raises(InputError, match="6 blocks of 2"):
        model.run(np.zeros((2, 7), F))


@pytest.mark.parametrize("dtype", FLOAT8)
def test_a_float8_has_no_zero_point(dtype: Any) -> None:
    arguments = [("x", np.zeros(3, F)), ("s", F(1)), ("z", np.ones((), dtype))]
    with pytest.raises(ModelError, match="has none"):
        qdqnp.load(one_node("QuantizeLinear", arguments, opset=19, output=dtype).model)
