"""Whole networks under pulp, rockchip-rk3588 and ti-tinpu: every layer of a small network against Python's integers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
import pytest

import qdqnp
from qdqnp.inspection.layers import rule_status
from qdqnp.program import Step
from qdqnp.quant import Quant
from tests.lowering.models import F, Net
from tests.oracles import shift_devices as oracle
from tests.oracles.fixed_point import code, even, f32

NAMES = ("pulp", "rockchip-rk3588", "ti-tinpu")
Array = Any
#: acc, bias, (s_x * alpha, s_w, s_y) to the number that the zero point is added to, before it is clipped.
Requantized = Callable[[int, int, tuple[float, float, float]], int]


def pulp(acc: int, bias: int, scales: tuple[float, float, float]) -> int:
    x, w, y = scales
    mul = round(x * w / y * 2**16)
    return (acc * mul + bias * mul + 2**15) >> 16


def rockchip(acc: int, bias: int, scales: tuple[float, float, float]) -> int:
    x, w, y = scales
    m, shift = oracle.top_mantissa(f32(f32(x * w) / y))
    return even((acc + bias) * m, shift)


def tinpu(acc: int, bias: int, scales: tuple[float, float, float]) -> int:
    offset, scale, shift = oracle.offset_scale_shift(bias, scales)
    return (acc + offset) * scale >> shift


RULES: Mapping[str, Requantized] = {"pulp": pulp, "rockchip-rk3588": rockchip, "ti-tinpu": tinpu}


def network(symmetric: bool) -> onnx.ModelProto:
    """Conv with Relu, MaxPool, Conv, Add, AveragePool, Concat, Mul, GlobalAveragePool, Gemm.

    symmetric: whether every output's zero point is 0.
    """
    net = Net(seed=3)
    zero = 0 if symmetric else -7
    one_scale = 0.11 if symmetric else 0.17

    def conv(x: str, channels: int, scale: float, **more: Any) -> str:
        weight = net.dq(net.const(net.rng.integers(-90, 91, (channels, 4, 3, 3)).astype(np.int8)), 0.004, 0)
        bias = net.const(net.rng.integers(-2000, 2001, channels).astype(np.int32))
        return str(net.node("Conv", x, weight, net.dq(bias, F(scale) * F(0.004), None), pads=[1, 1, 1, 1], **more))

    x = net.qdq(net.input((1, 4, 8, 8)), 0.05, zero)
    first = net.qdq(net.node("Relu", conv(x, 4, 0.05)), 0.07, 0 if symmetric else -128)
    pooled = net.node("MaxPool", first, kernel_shape=[2, 2], strides=[2, 2])
    second = net.qdq(conv(pooled, 4, 0.07), 0.11, zero)
    third = net.qdq(conv(pooled, 4, 0.07), one_scale, zero)
    added = net.qdq(net.node("Add", second, third), 0.2, zero)
    averaged = net.qdq(net.node("AveragePool", added, kernel_shape=[2, 2], pads=[1, 1, 0, 0]), 0.2, zero)
    joined = net.qdq(net.node("Concat", averaged, second, axis=1), 0.23, zero)
    product = net.qdq(net.node("Mul", joined, joined), 0.9, zero)
    mean = net.qdq(net.node("GlobalAveragePool", product), 0.4, zero)
    flat = net.node("Flatten", mean)
    weights = net.dq(net.const(net.rng.integers(-90, 91, (8, 5)).astype(np.int8)), 0.01, 0)
    bias = net.dq(net.const(net.rng.integers(-500, 501, 5).astype(np.int32)), F(0.4) * F(0.01), None)
    net.output(net.qdq(net.node("Gemm", flat, weights, bias), 0.3, zero))
    return net.model()


def number(quant: Quant) -> tuple[float, int]:
    return float(quant.scale), int(quant.zero_point)


def clipped(value: int, y: Quant) -> int:
    low, high = y.limits or (-128, 127)
    return max(low, min(code(value, int(y.zero_point)), high))


def conv(step: Step, inputs: list[Array], rule: Requantized) -> Array:
    x, w, bias = (array.astype(np.int64) for array in inputs)
    (s_x, z_x), y = number(step.quant(0)), step.y
    padded = np.pad(x - z_x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    made = np.zeros((1, len(w), *x.shape[2:]), np.int64)
    for c, i, j in np.ndindex(made.shape[1:]):
        acc = int((padded[0, :, i : i + 3, j : j + 3] * w[c]).sum())
        made[0, c, i, j] = clipped(rule(acc, int(bias[c]), (s_x, float(step.quant(1).scale), float(y.scale))), y)
    return made


def gemm(step: Step, inputs: list[Array], rule: Requantized) -> Array:
    x, w, bias = (array.astype(np.int64) for array in inputs)
    (s_x, z_x), y = number(step.quant(0)), step.y
    sums = (x - z_x) @ w
    scales = (s_x, float(step.quant(1).scale), float(y.scale))
    return np.array([[clipped(rule(int(acc), int(bias[c]), scales), y) for c, acc in enumerate(sums[0])]])


def add(step: Step, inputs: list[Array], rule: Requantized) -> Array:
    (s_a, z_a), (s_b, z_b), y = number(step.quant(0)), number(step.quant(1)), step.y
    made = []
    for a, b in zip(*(array.reshape(-1).tolist() for array in inputs), strict=True):
        if rule is tinpu:
            value = rule(a - z_a + b - z_b, 0, (s_a, 1.0, float(y.scale)))
        else:
            sides = ((a - z_a, s_a), (b - z_b, s_b))
            value = sum(rule(centered, 0, (scale, 1.0, float(y.scale))) for centered, scale in sides)
        made.append(clipped(value, y))
    return np.array(made).reshape(inputs[0].shape)


def mul(step: Step, inputs: list[Array], rule: Requantized) -> Array:
    (s_a, z_a), (s_b, z_b), y = number(step.quant(0)), number(step.quant(1)), step.y
    pairs = zip(*(array.reshape(-1).tolist() for array in inputs), strict=True)
    made = [clipped(rule((a - z_a) * (b - z_b), 0, (s_a, s_b, float(y.scale))), y) for a, b in pairs]
    return np.array(made).reshape(inputs[0].shape)


def concat(step: Step, inputs: list[Array], rule: Requantized) -> Array:
    y, made = step.y, []
    for index, array in enumerate(inputs):
        scale, zero = number(step.quant(index))
        same = (scale, zero) == number(y)
        codes = [clipped(rule(c - zero, 0, (scale, 1.0, float(y.scale))), y) for c in array.reshape(-1).tolist()]
        made.append(array if same else np.array(codes).reshape(array.shape))
    return np.concatenate(made, axis=1)


def mean_of(taps: Array, step: Step, rule: Requantized) -> int:
    (s_x, z_x), y = number(step.quant(0)), step.y
    alpha = f32(f32(1 / taps.size) * s_x)
    return clipped(rule(int((taps.astype(np.int64) - z_x).sum()), 0, (alpha, 1.0, float(y.scale))), y)


def average(step: Step, inputs: list[Array], rule: Requantized) -> Array:
    (x,) = inputs
    made = np.zeros(x.shape, np.int64)
    for c, i, j in np.ndindex(x.shape[1:]):
        made[0, c, i, j] = mean_of(x[0, c, max(i - 1, 0) : i + 1, max(j - 1, 0) : j + 1], step, rule)
    return made


def global_average(step: Step, inputs: list[Array], rule: Requantized) -> Array:
    return np.array([mean_of(plane, step, rule) for plane in inputs[0][0]]).reshape(1, -1, 1, 1)


LAYERS: Mapping[str, Callable[[Step, list[Array], Requantized], Array]] = {
    "QLinearConv": conv,
    "QGemm": gemm,
    "QLinearAdd": add,
    "QLinearMul": mul,
    "QLinearConcat": concat,
    "QLinearAveragePool": average,
    "QLinearGlobalAveragePool": global_average,
}


@pytest.mark.parametrize("name", NAMES)
def test_every_layer_of_a_network(name: str) -> None:
    model = qdqnp.load(network(symmetric=name == "ti-tinpu"))
    x = np.random.default_rng(1).normal(0, 2, (1, 4, 8, 8)).astype(F)
    trace, plan = model.trace(x, profile=name), model.plan(name)
    seen: set[str] = set()
    for bound in plan.steps:
        step = bound.step
        if step.op not in LAYERS:
            assert step.op in ("QuantizeLinear", "MaxPool", "Flatten", "Reshape", "DequantizeLinear")
            continue
        known = {**plan.consts, **{key: trace[key] for key in step.input_names if key not in plan.consts}}
        inputs = [known[operand.name] for operand in step.inputs if operand is not None]
        wanted = LAYERS[step.op](step, inputs, RULES[name])
        found = trace[step.output_names[0]]
        assert np.array_equal(found, wanted), step.label
        assert np.unique(found).size > 3
        seen.add(step.op)
        sums = step.op in ("QLinearConv", "QGemm")
        assert rule_status(plan.profile, step) == ("established" if sums and name == "ti-tinpu" else "inferred")
    assert seen == set(LAYERS)


def test_ti_adds_codes_of_one_scale_only() -> None:
    net = Net()
    x = net.input((2, 3))
    net.output(net.q(net.node("Add", net.qdq(x, 0.1), net.qdq(x, 0.2)), 0.3))
    with pytest.raises(qdqnp.ProfileError, match="one scale"):
        qdqnp.load(net.model()).plan("ti-tinpu")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("op", ["Sub", "Sigmoid", "HardSwish"])
def test_differences_and_tables(op: str, name: str) -> None:
    net = Net()
    x = net.qdq(net.input((2, 128)), 0.05)
    net.output(net.q(net.node(op, *([x] if op != "Sub" else [x, net.qdq(net.node("Relu", x), 0.05)])), 0.04))
    real = np.arange(-128, 128).reshape(2, 128) * 0.05
    values = {
        "Sub": np.minimum(real, 0),
        "Sigmoid": 1 / (1 + np.exp(-real)),
        "HardSwish": real * np.clip(real / 6 + 0.5, 0, 1),
    }
    (made,) = qdqnp.load(net.model()).run(real.astype(F), profile=name).values()
    assert np.abs(made - np.clip(values[op] / 0.04, -128, 127)).max() <= (1.01 if op == "Sub" else 0.501)
    assert math.isclose(float(made.min()), max(-128, round(float((values[op] / 0.04).min()))), abs_tol=1)
