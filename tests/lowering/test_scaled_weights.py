"""Weights that are floats but a scale times integers, as ST's compiler writes them: they become the integers again."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import qdqnp
from qdqnp.lowering.device.scaled_weights import taken_apart

F = np.float32
KINDS = ("conv", "depthwise", "transposed", "gemm", "gemm-transb")
#: Where the output channels are counted.
AXIS = {"conv": 0, "depthwise": 0, "transposed": 1, "gemm": 1, "gemm-transb": 0}
SHAPES: dict[str, tuple[int, ...]] = {
    "conv": (5, 3, 3, 3),
    "depthwise": (3, 1, 3, 3),
    "transposed": (3, 4, 2, 2),
    "gemm": (12, 6),
    "gemm-transb": (6, 12),
}


def drawn(kind: str, per_channel: bool, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Codes, scales and int32 bias codes of random weights; the largest code of each scale is 127."""
    rng, shape = np.random.default_rng(seed), SHAPES[kind]
    channels = shape[AXIS[kind]]
    rows = rng.integers(-126, 127, (channels, int(np.prod(shape)) // channels))
    rows[np.arange(channels), rng.integers(0, rows.shape[1], channels)] = 127 * rng.choice([-1, 1], channels)
    codes = np.moveaxis(rows.reshape(channels, *np.delete(shape, AXIS[kind])), 0, AXIS[kind])
    scale = rng.uniform(1e-4, 0.1, channels if per_channel else ()).astype(F)
    return codes.astype(np.int8), scale, rng.integers(-20000, 20000, channels).astype(np.int32)


def model(
    kind: str, codes: np.ndarray, scale: np.ndarray, bias: np.ndarray, floats: bool, seed: int
) -> onnx.ModelProto:
    """DQ -> Relu -> operator -> Q: with floats as constants, or with DQs of their codes."""
    rng = np.random.default_rng(seed)
    x_scale, y_scale = F(rng.uniform(0.01, 0.1)), F(rng.uniform(0.5, 2))
    zero = np.int8(rng.choice([-128, int(rng.integers(-100, 50))]))
    axis = AXIS[kind]
    shape = [1] * codes.ndim
    shape[axis] = codes.shape[axis]
    unit = np.asarray(x_scale * scale, F)
    constants: dict[str, Any] = {"xs": x_scale, "xz": zero, "ys": y_scale, "yz": np.int8(3)}
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "xs", "xz"], ["real"]),
        helper.make_node("Relu", ["real"], ["positive"], "relu"),
    ]
    if floats:
        values = np.asarray(codes.astype(F) * (scale.reshape(shape) if scale.ndim else scale), F)
        constants |= {"w": values, "b": np.asarray(bias.astype(F) * unit, F)}
    else:
        constants |= {"wq": codes, "ws": scale, "bq": bias, "bs": unit}
        pairs = (("w", axis), ("b", 0))
        nodes += [
            helper.make_node("DequantizeLinear", [f"{n}q", f"{n}s"], [n], **({"axis": at} if scale.ndim else {}))
            for n, at in pairs
        ]
    op, attributes = {
        "conv": ("Conv", {"pads": [1, 1, 1, 1]}),
        "depthwise": ("Conv", {"group": 3}),
        "transposed": ("ConvTranspose", {}),
        "gemm": ("Gemm", {}),
        "gemm-transb": ("Gemm", {"transB": 1}),
    }[kind]
    nodes.append(helper.make_node(op, ["positive", "w", "b"], ["sum"], "layer", **attributes))
    nodes.append(helper.make_node("QuantizeLinear", ["sum", "ys", "yz"], ["y"]))
    given = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    x = helper.make_tensor_value_info("x", TensorProto.INT8, (2, 12) if "gemm" in kind else (2, 3, 6, 6))
    y = helper.make_tensor_value_info("y", TensorProto.INT8, None)
    graph = helper.make_graph(nodes, "scaled", [x], [y], given)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(6))
def test_they_compute_what_the_integers_compute(kind: str, per_channel: bool, seed: int) -> None:
    if kind == "transposed" and not per_channel:
        pytest.skip("devices that narrow have no ConvTranspose")
    codes, scale, bias = drawn(kind, per_channel, seed)
    found = taken_apart(np.asarray(codes.astype(F) * _spread(scale, codes, kind), F), AXIS[kind])
    assert found is not None and np.array_equal(found.codes, codes) and np.array_equal(found.scale, scale)
    floats, integers = (qdqnp.load(model(kind, codes, scale, bias, as_floats, seed)) for as_floats in (True, False))
    ops = [step.op for step in floats.program(lowering="device").steps]
    assert ops == [step.op for step in integers.program(lowering="device").steps]
    if kind == "transposed":
        return
    shape = floats.program().tensors["x"].shape
    x = np.random.default_rng(seed).integers(-128, 128, shape).astype(np.int8)  # type: ignore[arg-type]
    for profile in ("tflite", "neural-art", "neural-art-1.1.1", "exact"):
        a, b = (one.run(x, profile=profile)["y"] for one in (floats, integers))
        assert np.array_equal(a, b) and len(np.unique(a)) > 3


def _spread(scale: np.ndarray, codes: np.ndarray, kind: str) -> np.ndarray:
    shape = [1] * codes.ndim
    shape[AXIS[kind]] = codes.shape[AXIS[kind]]
    return scale.reshape(shape) if scale.ndim else scale


def test_a_channel_without_weights_has_a_small_scale_that_its_bias_fits() -> None:
    """Its scale does not decide the layer's shifts, and its bias is the same float32 number."""
    codes, scale, bias = drawn("conv", True, 3)
    codes[2], bias[2], scale[2] = 0, 123456, F(4.6e-8)
    floats = qdqnp.load(model("conv", codes, scale, bias, True, 3))
    integers = qdqnp.load(model("conv", codes, scale, bias, False, 3))
    x = np.random.default_rng(0).integers(-128, 128, (2, 3, 6, 6)).astype(np.int8)
    for profile in ("neural-art", "neural-art-1.1.1"):
        a, b = (one.trace(x, profile=profile) for one in (floats, integers))
        assert np.array_equal(a["y"], b["y"])
        (one,), (other,) = ([dict(found) for found in trace.parameters.values()] for trace in (a, b))
        assert np.array_equal(one["BC"], other["BC"]) and one["S1"] == other["S1"]


@pytest.mark.parametrize("least", [1, 2, 3, 64, 100, 126])
def test_a_scale_whose_largest_code_is_not_127_is_the_coarsest(least: int) -> None:
    codes = np.array([[least, -1, 0, min(least, 3)]])
    found = taken_apart((codes * F(0.0123)).astype(F), 0)
    assert found is not None
    if least == 1:  # {-1, 0, 1} is {-127, 0, 127} too
        assert found.codes.tolist() == [[127, -127, 0, 127]]
    else:
        assert found.codes.tolist() == codes.tolist() and found.scale == F(0.0123)


@pytest.mark.parametrize("wrong", ["no integers", "one bit", "infinite", "zeros", "beyond"])
def test_other_weights_are_left_alone(wrong: str) -> None:
    codes, scale, _ = drawn("conv", True, 1)
    weights = np.asarray(codes.astype(F) * _spread(scale, codes, "conv"), F)
    if wrong == "no integers":
        weights = np.random.default_rng(0).normal(0, 1, weights.shape).astype(F)
    elif wrong == "one bit":
        weights[1, 0, 0, 0] = np.nextafter(scale[1] * F(100), F(1))
    elif wrong == "infinite":
        weights[0, 0, 0, 0] = np.inf
    elif wrong == "zeros":
        weights[:] = 0
    else:
        weights = (np.arange(-200, 200, dtype=F) * F(0.1))[None]
    assert taken_apart(weights, 0) is None


def test_a_bias_that_does_not_fit_is_said_so() -> None:
    codes, scale, bias = drawn("conv", True, 5)
    made = model("conv", codes, scale, bias, True, 5)
    (initializer,) = [one for one in made.graph.initializer if one.name == "b"]
    values = numpy_helper.to_array(initializer) * F(1.00001)
    initializer.CopyFrom(numpy_helper.from_array(values.astype(F), "b"))
    refusals = qdqnp.load(made).program(lowering="device").refusals
    assert any(one.pass_name == "scaled-weights" and "its bias is not" in one.reason for one in refusals)


# -- a Clip behind a DQ ------------------------------------------------------------------------------------------------
def clipped(scale: float, zero: int, low: float, high: float, ready: bool = True) -> qdqnp.Model:
    """DQ -> Clip -> Conv -> Q."""
    constants: dict[str, Any] = {"xs": F(scale), "xz": np.int8(zero), "ys": F(0.05), "yz": np.int8(0)}
    constants |= {"wq": np.int8([[[[127]]], [[[-90]]]]), "ws": F(0.01), "low": F(low), "high": F(high)}
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "xs", "xz"], ["real"]),
        helper.make_node("Clip", ["real", "low", "high"], ["inside"], "clip"),
        helper.make_node("DequantizeLinear", ["wq", "ws"], ["w"]),
        helper.make_node("Conv", ["inside", "w"], ["sum"], "layer"),
        helper.make_node("QuantizeLinear", ["sum", "ys", "yz"], ["y"]),
    ]
    given = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    x = helper.make_tensor_value_info("x", TensorProto.INT8, (1, 1, 16, 16))
    y = helper.make_tensor_value_info("y", TensorProto.INT8, None)
    graph = helper.make_graph(nodes, "clipped", [x], [y], given)
    return qdqnp.load(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8))


ALL = np.arange(-128, 128, dtype=np.int8).reshape(1, 1, 16, 16)


@pytest.mark.parametrize(
    ("scale", "zero", "low", "high"),
    [
        (6 / 255, -128, 0, 6),
        (0.25, 4, -3, 6),
        (0.25, 4, -100, 6.5),
        (0.25, 4, 1, 1),
        (0.25, 0, -1000, 1000),
        (0.25, -100, 0, 1000),
    ],
)
def test_a_clip_whose_bounds_have_codes_is_a_clip_of_codes(scale: float, zero: int, low: float, high: float) -> None:
    found = clipped(scale, zero, low, high)
    ops = [step.op for step in found.program(lowering="device").steps]
    assert "QLinearConv" in ops and "Conv" not in ops
    bounds = [np.clip(round(bound / scale) + zero, -128, 127) for bound in (low, high)]
    inside = np.clip(ALL.astype(np.int64), *bounds).astype(np.int8)
    plain = clipped(scale, zero, -1e30, 1e30)
    for profile in ("tflite", "neural-art-1.1.1"):
        assert np.array_equal(found.run(ALL, profile=profile)["y"], plain.run(inside, profile=profile)["y"])


@pytest.mark.parametrize(("low", "high"), [(0.1, 6), (0, 6.1), (6, 0), (np.nan, 6), (-500, -400)])
def test_a_clip_at_the_value_of_no_code_is_left_alone(low: float, high: float) -> None:
    ops = [step.op for step in clipped(0.25, 0, low, high).program(lowering="device").steps]
    assert "Conv" in ops


def test_exact_lets_float32_s_rounding_of_a_scale_count() -> None:
    """6/255 as float32 is a little more, so that 255 of it are a little more than 6."""
    assert "Conv" in [step.op for step in clipped(6 / 255, -128, 0, 6).program(lowering="device-exact").steps]
    assert "Conv" not in [step.op for step in clipped(0.25, -128, 0, 6).program(lowering="device-exact").steps]
