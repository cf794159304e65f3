"""Float constants beside codes are quantized as TFLite's converter does it."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import qdqnp
from qdqnp.lowering.device.constants import quantized_constant
from tests.lowering.models import F, Net

INT8, UINT8, INT16 = (np.dtype(kind) for kind in (np.int8, np.uint8, np.int16))


@pytest.mark.parametrize(
    ("values", "kind", "codes", "scale", "zero"),
    [
        # by hand: the range is that of the values and zero
        ([0.5], INT8, [127], 0.5 / 255, -128),
        ([-0.5], INT8, [-128], 0.5 / 255, 127),
        ([2.0], UINT8, [255], 2 / 255, 0),
        ([0.0, 0.0], INT8, [-128, -128], 1.0, -128),
        ([-1.0, 1.0], INT8, [-128, 127], 2 / 255, -1),  # -0.5 is rounded away from zero
        ([-1.0, 3.0], INT8, [-128, 127], 4 / 255, -64),
        ([0.5], INT16, [32767], 0.5 / 32767, 0),
        ([-1.0, 0.25], INT16, [-32767, 8192], 1 / 32767, 0),
    ],
)
def test_by_hand(values: list[float], kind: np.dtype, codes: list[int], scale: float, zero: int) -> None:
    found = quantized_constant(np.array(values, F), kind)
    assert found[0].tolist() == codes and found[0].dtype == found[2].dtype == kind
    assert found[1] == F(scale) and int(found[2]) == zero


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.floats(-(2.0**20), 2.0**20, width=32), min_size=1, max_size=9),
    st.sampled_from((INT8, UINT8, INT16)),
)
def test_every_value_is_within_a_step_and_zero_has_a_code(values: list[float], kind: np.dtype) -> None:
    codes, scale, zero = quantized_constant(np.array(values, F), kind)
    info = np.iinfo(kind)
    assert scale > 0 and info.min <= int(zero) <= info.max
    for value, code in zip(values, codes.tolist(), strict=True):
        error = Fraction(value) - Fraction(float(scale)) * (code - int(zero))
        assert abs(error) <= Fraction(float(scale)) * Fraction(101, 100)


@pytest.mark.parametrize("profile", ["tflite", "exact", "tosa-double", "ethos-u", "xnnpack-fp32"])
@pytest.mark.parametrize("op", ["Add", "Sub", "Mul"])
@pytest.mark.parametrize("first", [False, True])
def test_a_network_with_a_float_constant_is_that_with_its_codes(op: str, first: bool, profile: str) -> None:
    made = []
    x = np.linspace(-4, 4, 24, dtype=F).reshape(1, 3, 8)
    values = np.array([[0.5], [1.5], [-0.25]], F)
    for explicit in (False, True):
        net = Net()
        codes, scale, zero = quantized_constant(values, INT8)
        constant = net.dq(net.const(codes), float(scale), int(zero)) if explicit else net.const(values)
        sides = [net.qdq(net.input(x.shape), 0.04, 5), constant]
        net.output(net.q(net.node(op, *(reversed(sides) if first else sides)), 0.05, -3))
        model = qdqnp.load(net.model())
        assert f"QLinear{op}" in [step.op for step in model.program(profile).steps]
        made.append(next(iter(model.run(x, profile=profile).values())))
    assert np.array_equal(*made) and np.unique(made[0]).size > 10


@pytest.mark.parametrize("profile", ["tflite", "exact", "pow2-even"])
@pytest.mark.parametrize("op", ["Max", "Min"])
def test_max_and_min_compare_codes_with_the_constant_s_code(op: str, profile: str) -> None:
    """Scales are powers of two, and the constants have codes but for one, whose half goes away from zero."""
    net = Net()
    values = np.array([[0.25], [-1.0], [100.0], [1 / 32]], F)
    x = np.arange(-128, 128, dtype=F).reshape(1, 4, 64) / 16
    net.output(net.q(net.node(op, net.qdq(net.input(x.shape), 1 / 16, 5), net.const(values)), 1 / 16, 5))
    model = qdqnp.load(net.model())
    assert [step.op for step in model.program(profile).steps] == ["QuantizeLinear", op]
    codes = np.clip(x * 16 + 5, -128, 127)
    wanted = {"Max": np.maximum, "Min": np.minimum}[op](codes, np.array([[9], [-11], [127], [6]]))
    assert np.array_equal(next(iter(model.run(x, profile=profile).values())), wanted)


@pytest.mark.parametrize("profile", ["tflite", "exact", "ethos-u"])
def test_bounds_of_a_clip_behind_a_dequantizer(profile: str) -> None:
    """As ESP-PPQ writes them."""
    net = Net()
    x = np.linspace(-6, 6, 24, dtype=F).reshape(1, 3, 8)
    bounds = [net.dq(net.const(np.int8(code)), 1 / 8, 0) for code in (-8, 24)]
    conv = net.node("Add", net.qdq(net.input(x.shape), 1 / 16), net.const(F(0.5)))
    net.output(net.q(net.node("Clip", conv, *bounds), 1 / 32, 3))
    made = next(iter(qdqnp.load(net.model()).run(x, profile=profile).values()))
    assert made.min() == -32 + 3 and made.max() == 96 + 3 and np.unique(made).size > 5


@pytest.mark.parametrize("opset", [12, 17, 18])
@pytest.mark.parametrize("shape", [(1, 3, 7), (2, 3, 4, 5)])
def test_a_global_max_pool_compares_codes(opset: int, shape: tuple[int, ...]) -> None:
    net = Net(opset=opset)
    x = np.random.default_rng(1).normal(0, 2, shape).astype(F)
    net.output(net.qdq(net.node("GlobalMaxPool", net.qdq(net.input(shape), 0.03, 3)), 0.03, 3))
    model = qdqnp.load(net.model())
    assert [step.op for step in model.program("tflite").steps] == ["QuantizeLinear", "ReduceMax", "DequantizeLinear"]
    made, real = (next(iter(model.run(x, profile=name).values())) for name in ("tflite", "ort-unfused"))
    assert made.shape == real.shape and np.array_equal(made, real)
