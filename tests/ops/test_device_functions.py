"""Functions of codes that devices have: under 'exact' the real value, rounded once, half to even."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import qdqnp
from qdqnp.inspection.layers import rule_status
from qdqnp.numerics.rules.softmax import RationalRows, RationalSoftmax
from qdqnp.quant import Quant
from tests.lowering.models import F, Net
from tests.ops.case import Case
from tests.ops.cases.device import DEVICE_CASES

NEAR = Fraction(1, 10**9)  # of a half: float64 does not say on which side the tangent is


def hard_sigmoid(x: Fraction, alpha: float, beta: float) -> Fraction:
    line = Fraction(float(np.float32(alpha))) * x + Fraction(float(np.float32(beta)))
    return max(Fraction(0), min(Fraction(1), line))


REAL: Mapping[str, Callable[[Fraction, Mapping[str, float]], Fraction]] = {
    "QLinearTanh": lambda x, given: Fraction(math.tanh(x)),
    "QLinearHardSwish": lambda x, given: x * max(Fraction(0), min(Fraction(1), x / 6 + Fraction(1, 2))),
    "QLinearRequantize": lambda x, given: x,
    "QLinearHardSigmoid": lambda x, given: hard_sigmoid(x, given["alpha"], given["beta"]),
}


def expected(case: Case) -> list[int | None]:
    """The codes; None where the value is too near a half to say."""
    (node,) = case.model.graph.node
    arrays = {item.name: np.asarray(_array(item)) for item in case.model.graph.initializer}
    given = {attribute.name: attribute.f for attribute in node.attribute}
    scales = [Fraction(float(arrays[name])) for name in ("xs", "ys")]
    zeros = [int(arrays[name]) for name in ("xz", "yz")]
    info = np.iinfo(arrays["yz"].dtype)
    found: list[int | None] = []
    for code in case.inputs["x"].reshape(-1).tolist():
        value = REAL[node.op_type]((code - zeros[0]) * scales[0], given) / scales[1]
        unsure = node.op_type == "QLinearTanh" and abs(value - math.floor(value) - Fraction(1, 2)) < NEAR
        found.append(None if unsure else min(max(round(value) + zeros[1], info.min), info.max))
    return found


def _array(item: Any) -> Any:
    from onnx import numpy_helper

    return numpy_helper.to_array(item)


@pytest.mark.parametrize("name", REAL)
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_real_value_rounded_once(name: str, seed: int) -> None:
    case = DEVICE_CASES[name](np.random.default_rng(seed))
    made = qdqnp.load(case.model).run(case.inputs, profile="exact")["y"]
    for got, want in zip(made.reshape(-1).tolist(), expected(case), strict=True):
        assert want is None or got == want


@pytest.mark.parametrize("op", ["HardSwish", "HardSigmoid"])
def test_a_network_has_them_as_integer_operators(op: str) -> None:
    net = Net()
    net.output(net.qdq(net.node(op, net.qdq(net.input((2, 9)), 0.05, 3)), 0.02, -100))
    model = qdqnp.load(net.model())
    steps = [step.op for step in model.program("exact").steps]
    assert steps == ["QuantizeLinear", f"QLinear{op}", "DequantizeLinear"]
    x = np.linspace(-6, 6, 18, dtype=F).reshape(2, 9)
    made, real = (next(iter(model.run(x, profile=name).values())) for name in ("exact", "ort-unfused"))
    assert np.abs(made - real).max() <= 0.0201  # one code: float32 against the real value


@pytest.mark.parametrize("name", ["tflite", "tflm", "cmsis-nn", "ethos-u", "xnnpack-fp32"])
def test_hard_sigmoid_is_a_table_and_inferred(name: str) -> None:
    """A converter makes several operators of it; a table of the whole function is what can be said without them."""
    net = Net()
    net.output(net.q(net.node("HardSigmoid", net.qdq(net.input((2, 128)), 0.05, 3)), 0.02, -100))
    plan = qdqnp.load(net.model()).plan(name)
    (step,) = (bound.step for bound in plan.steps if bound.step.op == "QLinearHardSigmoid")
    assert rule_status(plan.profile, step) == "inferred"
    codes = np.arange(-128, 128)
    real = np.clip(0.2 * 0.05 * (codes - 3) + 0.5, 0, 1) / 0.02
    sure = np.abs(real - np.floor(real) - 0.5) > 1e-3
    (made,) = qdqnp.load(net.model()).run(((codes - 3) * F(0.05)).astype(F).reshape(2, 128), profile=name).values()
    assert np.array_equal(made.reshape(-1)[sure], np.clip(np.rint(real) - 100, -128, 127)[sure])


def test_onnx_runtime_promises_nothing_of_them() -> None:
    case = DEVICE_CASES["QLinearTanh"](np.random.default_rng(0))
    promise = qdqnp.load(case.model).plan("ort").promises["y"]
    assert "no such integer operator" in str(promise)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_an_exact_softmax(axis: int, rng: np.random.Generator) -> None:
    """Rows of one value are exact fractions, ties included; others are what float64 says, but near halves."""
    net = Net()
    net.output(net.q(net.node("Softmax", net.qdq(net.input((4, 6)), 0.04, 5), axis=axis), 1 / 16, -8))
    model = qdqnp.load(net.model())
    codes = rng.integers(-128, 128, (4, 6))
    x = ((codes - 5) * np.float64(F(0.04))).astype(F)
    made = next(iter(model.run(x, profile="exact").values()))
    exponential = np.exp((codes - 5) * np.float64(F(0.04)))
    value = exponential / exponential.sum(axis=axis, keepdims=True) * 16
    near = np.abs(value - np.floor(value) - 0.5) < 1e-9
    assert np.array_equal(made[~near], (np.rint(value) - 8)[~near])
    equal = next(iter(model.run(np.zeros((4, 6), F), profile="exact").values()))
    assert (equal == round(Fraction(16, (4, 6)[axis])) - 8).all()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_an_exact_softmax_is_the_fraction_rounded(seed: int) -> None:
    """Every element is decided as integers decide it, near halves and at extreme scales too."""
    rng = np.random.default_rng(seed)
    scales = [F(2.0**exponent) for exponent in rng.integers(-12, 3, 2)]
    x = Quant(np.dtype(np.int8), F(rng.choice([scales[0], F(0.04), F(1e-30), F(1e30)])), np.int8(0))
    y = Quant(np.dtype(np.int8), F(rng.choice([scales[1], F(1 / 256), F(1 / 255), F(1e-40), F(1e30)])), np.int8(-128))
    width = int(rng.integers(1, 9))
    codes = rng.integers(-128, 128, (7, width)).astype(np.int8)
    codes[:3] = codes[:3, :1]
    rows = RationalSoftmax().bind(x, y, width)
    assert isinstance(rows, RationalRows)
    stages, ties = {stage.name: stage.array for stage in rows.stages(codes)}, rows.ties(codes)
    for at, row in enumerate(codes.astype(int)):
        entries = [rows.powers[row.max() - code] for code in row]
        for place, entry in enumerate(entries):
            value = min(Fraction(entry, sum(entries)) / Fraction(float(y.scale)), Fraction(2**20))
            assert stages["rounded"][at, place] == round(value)
            assert ties[at, place] == (value.denominator == 2)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_real_difference_rounded_once(seed: int) -> None:
    case = DEVICE_CASES["QLinearSub"](np.random.default_rng(seed))
    (node,) = case.model.graph.node
    arrays = {item.name: np.asarray(_array(item)) for item in case.model.graph.initializer}
    arrays = {**arrays, **case.inputs}
    a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero = (
        arrays[name] if name else np.zeros(()) for name in (*node.input, "")[:8]
    )
    left, right = np.broadcast_arrays(a, b)
    units = [Fraction(float(scale)) / Fraction(float(y_scale)) for scale in (a_scale, b_scale)]
    made = qdqnp.load(case.model).run(case.inputs, profile="exact")["y"]
    info = np.iinfo(made.dtype)
    for p, q, got in zip(left.reshape(-1).tolist(), right.reshape(-1).tolist(), made.reshape(-1).tolist(), strict=True):
        value = round((p - int(a_zero)) * units[0] - (q - int(b_zero)) * units[1]) + int(y_zero)
        assert got == min(max(value, info.min), info.max)


def test_a_profile_whose_rule_has_no_differences_says_so() -> None:
    case = DEVICE_CASES["QLinearSub"](np.random.default_rng(0))
    with pytest.raises(qdqnp.ProfileError, match="expected a rule of differences"):
        qdqnp.load(case.model).run(case.inputs, profile="neural-art")


@pytest.mark.parametrize("op", ["Max", "Min"])
def test_extremes_of_codes_with_the_same_parameters(op: str) -> None:
    net = Net()
    x = net.qdq(net.input((2, 9)), 1 / 16, 3)
    net.output(net.qdq(net.node(op, x, net.dq(net.codes(2, 9), 1 / 16, 3)), 1 / 16, 3))
    model = qdqnp.load(net.model())
    assert op in [step.op for step in model.program("tflite").steps]
    given = np.linspace(-9, 9, 18, dtype=F).reshape(2, 9)
    made, real = (next(iter(model.run(given, profile=name).values())) for name in ("tflite", "ort-unfused"))
    assert np.array_equal(made, real)
