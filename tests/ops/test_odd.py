"""Odd but loadable models: as ONNX Runtime computes them, or refused where it refuses them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import AttributeProto, TensorProto, helper, numpy_helper

import qdqnp
from qdqnp.errors import PeerError
from qdqnp.peers.ort.session import ALL, KINDS, open_session, run_session

F = np.float32
Array = np.ndarray[Any, Any]
Lists = Mapping[str, list[int]]


def model(
    nodes: list[onnx.NodeProto],
    feeds: Mapping[str, Array],
    constants: Mapping[str, Any] | None = None,
    opset: int = 17,
) -> onnx.ModelProto:
    """From the fed inputs to 'y'."""
    graph = helper.make_graph(
        nodes,
        "g",
        [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
            for name, array in feeds.items()
        ],
        [onnx.ValueInfoProto(name="y")],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def one(op: str, x: Array, opset: int = 17, lists: Lists | None = None, **attributes: Any) -> onnx.ModelProto:
    """One node from x to y. lists: attributes that are lists of integers, which may be empty."""
    made = model([helper.make_node(op, ["x"], ["y"], name="n", **attributes)], {"x": x}, opset=opset)
    for name, values in (lists or {}).items():
        made.graph.node[0].attribute.add(name=name, type=AttributeProto.INTS, ints=values)
    return made


def theirs(proto: onnx.ModelProto, feeds: Mapping[str, Array], profile: str, level: str = "") -> Array:
    kind = KINDS[profile]
    session = open_session(proto.SerializeToString(), level or kind.level, kind.config)
    return run_session(session, ["y"], feeds)[0]


def same(proto: onnx.ModelProto, feeds: Mapping[str, Array], profile: str = "ort-unfused") -> Array:
    """Ours, with the bits, dtype and shape of ONNX Runtime's."""
    ours, wanted = qdqnp.load(proto).run(feeds, profile=profile)["y"], theirs(proto, feeds, profile)
    assert (ours.dtype, ours.shape) == (wanted.dtype, wanted.shape)
    assert ours.tobytes() == wanted.tobytes(), (ours, wanted)
    return ours


def refused(proto: onnx.ModelProto, feeds: Mapping[str, Array], profile: str = "ort-unfused") -> qdqnp.QdqnpError:
    """Both refuse it; what ours says."""
    with pytest.raises(PeerError):
        theirs(proto, feeds, profile)
    with pytest.raises(qdqnp.QdqnpError) as caught:
        qdqnp.load(proto).run(feeds, profile=profile)
    return caught.value


CODES = np.arange(-10, 20, dtype=np.int8).reshape(5, 1, 6)


# -- attributes ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("op", ["ReduceMax", "ReduceMin"])
def test_empty_axes_are_all_axes(op: str) -> None:
    assert same(one(op, CODES, 13, {"axes": []}), {"x": CODES}).shape == (1, 1, 1)


def test_empty_axes_of_squeeze_are_all_of_size_1() -> None:
    assert same(one("Squeeze", CODES, 11, {"axes": []}), {"x": CODES}).shape == (5, 6)


@pytest.mark.parametrize("op", ["ReduceMax", "ReduceMin", "ArgMax"])
@pytest.mark.parametrize("keepdims", [-1, 0, 1, 2])
def test_only_1_keeps_dimensions(op: str, keepdims: int) -> None:
    where = {"axis": 2} if op == "ArgMax" else {"axes": [2]}
    made = same(one(op, CODES, 13, keepdims=keepdims, **where), {"x": CODES})
    assert made.shape == ((5, 1, 1) if keepdims == 1 else (5, 1))


@pytest.mark.parametrize("noop", [0, 1, 2])
def test_only_1_makes_no_axes_a_no_op(noop: int) -> None:
    made = same(one("ReduceMax", CODES, 18, noop_with_empty_axes=noop), {"x": CODES})
    assert made.shape == (CODES.shape if noop == 1 else (1, 1, 1))


@pytest.mark.parametrize("name", ["strides", "dilations", "pads", "kernel_shape"])
def test_empty_window_attributes_are_refused(name: str) -> None:
    x = np.zeros((1, 1, 4), F)
    kernel = {} if name == "kernel_shape" else {"kernel_shape": [2]}
    assert name in str(refused(one("MaxPool", x, 17, {name: []}, **kernel), {"x": x}))


IMAGE = np.linspace(-3, 3, 60, dtype=F).reshape(1, 2, 5, 6)


@pytest.mark.parametrize(("op", "opset"), [("MaxPool", 12), ("MaxPool", 22), ("AveragePool", 17)])
def test_padding_same_below_zero_is_refused_where_mlas_computes(op: str, opset: int) -> None:
    """A stride beyond the window leaves elements over, which auto_pad SAME cuts off."""
    made = one(op, IMAGE, opset, auto_pad="SAME_UPPER", kernel_shape=[1, 1], strides=[1, 4])
    assert "padding by auto_pad SAME" in str(refused(made, {"x": IMAGE}))
    same(one(op, IMAGE, opset, auto_pad="VALID", kernel_shape=[1, 1], strides=[1, 4]), {"x": IMAGE})


def test_padding_same_below_zero_runs_where_onnxruntime_does() -> None:
    same(one("AveragePool", IMAGE, 19, auto_pad="SAME_UPPER", kernel_shape=[1, 1], strides=[1, 4]), {"x": IMAGE})


def test_dilations_and_padding_same_are_refused() -> None:
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"], auto_pad="SAME_LOWER", dilations=[1, 2])]
    made = model(nodes, {"x": IMAGE}, {"w": np.ones((1, 2, 2, 2), F)})
    assert "auto_pad" in str(refused(made, {"x": IMAGE}))


def test_storage_order_is_0_or_1() -> None:
    assert "storage_order" in str(
        refused(one("MaxPool", IMAGE, 17, kernel_shape=[2, 2], storage_order=2), {"x": IMAGE})
    )


@pytest.mark.parametrize(
    ("op", "opset", "attributes", "says"),
    [
        ("AveragePool", 17, {"kernel_shape": [2, 2], "dilations": [1, 1]}, "dilations"),
        ("Reshape", 13, {"allowzero": 0}, "allowzero"),
        ("ArgMax", 11, {"select_last_index": 0}, "select_last_index"),
        ("HardSwish", 13, {}, "opset 14 or later"),
    ],
)
def test_what_a_later_opset_brought_is_refused(op: str, opset: int, attributes: dict[str, Any], says: str) -> None:
    inputs = ["x", "shape"] if op == "Reshape" else ["x"]
    made = model([helper.make_node(op, inputs, ["y"], **attributes)], {"x": IMAGE}, {"shape": np.array([-1])}, opset)
    assert says in str(refused(made, {"x": IMAGE}))


def test_16_bit_codes_before_opset_21_are_refused() -> None:
    nodes = [helper.make_node("QuantizeLinear", ["x", "s", "z"], ["y"])]
    constants = {"s": F(0.05), "z": np.int16(0)}
    assert "int16" in str(refused(model(nodes, {"x": IMAGE}, constants, 19), {"x": IMAGE}))
    same(model(nodes, {"x": IMAGE}, constants, 21), {"x": IMAGE})


# -- shapes ----------------------------------------------------------------------------------------------------------
def given(op: str, x: Array, constants: Mapping[str, Any], **attributes: Any) -> onnx.ModelProto:
    return model([helper.make_node(op, ["x", *constants], ["y"], **attributes)], {"x": x}, constants, 21)


@pytest.mark.parametrize(("op", "names"), [("Pad", ["pads"]), ("Slice", ["starts", "ends"])])
def test_a_scalar_has_no_axis_to_pad_or_cut(op: str, names: list[str]) -> None:
    x = np.asarray(F(-3))
    made = given(op, x, dict.fromkeys(names, np.array([], np.int64)))
    assert "a scalar" in str(refused(made, {"x": x}))


@pytest.mark.parametrize("allowzero", [0, 1, 2])
def test_only_1_allows_zero(allowzero: int) -> None:
    x = np.zeros((1, 2, 0), F)
    made = given("Reshape", x, {"shape": np.array([0, 0])}, allowzero=allowzero)
    if allowzero == 1:
        assert same(made, {"x": x}).shape == (0, 0)
    else:
        refused(made, {"x": x})


def test_a_copied_zero_leaves_nothing_to_infer() -> None:
    x = np.zeros((0, 2, 3), F)
    refused(given("Reshape", x, {"shape": np.array([0, -1])}), {"x": x})


def test_exclude_outside_is_of_cubic_alone() -> None:
    nodes = [helper.make_node("Resize", ["x", "", "scales"], ["y"], mode="nearest", exclude_outside=1)]
    made = model(nodes, {"x": IMAGE}, {"scales": np.array([1, 1, 2, 2], F)})
    assert "exclude_outside" in str(refused(made, {"x": IMAGE}))


# -- scalars ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("op", ["Transpose", "Identity", "Relu", "Neg"])
def test_scalars_stay_scalars(op: str) -> None:
    x = np.asarray(F(-3))
    assert same(one(op, x), {"x": x}).shape == ()


# -- NaN and the sign of zero ----------------------------------------------------------------------------------------
ODD = np.array([0.0, -0.0, 1, -1, np.nan, -np.inf, np.inf], F)


def window(rng: np.random.Generator, average: bool) -> tuple[tuple[int, ...], dict[str, Any]]:
    """A shape of an image, and attributes of a pool that fits it."""
    axes = int(rng.integers(1, 3))
    kernel = [int(n) for n in rng.integers(1, 6, axes)]
    found: dict[str, Any] = {"kernel_shape": kernel, "strides": [int(n) for n in rng.integers(1, 4, axes)]}
    if rng.random() < 0.5:
        found["pads"] = [int(rng.integers(0, size)) for size in (*kernel, *kernel)]
    if rng.random() < 0.3:
        found["ceil_mode"] = 1
    if average and rng.random() < 0.4:
        found["count_include_pad"] = 1
    if rng.random() < 0.2:
        return (1, 2, *kernel), {"kernel_shape": kernel}  # one window: the whole image
    if not average and rng.random() < 0.3:
        found["dilations"] = [int(n) for n in rng.integers(1, 3, axes)]
    return (1, 2, *(int(rng.integers(2 * size, 2 * size + 9)) for size in kernel)), found


@pytest.mark.parametrize("seed", range(150))
def test_max_pool_chooses_among_nan_and_zeros_as_onnxruntime(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape, attributes = window(rng, average=False)
    x = rng.choice(ODD if seed % 2 else ODD[:2], shape)
    same(one("MaxPool", x, 12, **attributes, storage_order=int(seed % 5 == 0)), {"x": x})


@pytest.mark.parametrize("seed", range(90))
def test_average_pools_keep_the_sign_of_zero(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape, attributes = window(rng, average=True)
    x = rng.choice(np.array([0.0, -0.0, -0.0, -0.0], F), shape)
    same(one("AveragePool", x, (12, 19, 22)[seed % 3], **attributes), {"x": x})


@pytest.mark.parametrize("op", ["ReduceMax", "ReduceMin", "ArgMax"])
def test_reductions_of_nan_and_zeros_are_those_of_onnxruntime_or_refused(op: str) -> None:
    rng = np.random.default_rng(5)
    outcomes = {"equal": 0, "refused": 0}
    for _ in range(60):
        x = rng.choice(ODD, (3, int(rng.integers(1, 9)), 4))
        made = one(op, x, 13, **({"axis": 1} if op == "ArgMax" else {"axes": [1]}))
        try:
            qdqnp.load(made).run({"x": x}, profile="ort-unfused")
        except qdqnp.ProfileError as error:
            assert "what ONNX Runtime chooses is not known" in str(error) and x.shape[1] >= 4
            outcomes["refused"] += 1
        else:
            same(made, {"x": x})
            outcomes["equal"] += 1
    assert min(outcomes.values()) > 5, outcomes


def test_nothing_is_refused_where_the_order_does_not_matter() -> None:
    x = np.array([[0.0, -0.0, 2, 1, 0.0, -0.0], [-1, -2, -3, -4, -5, -0.0]], F)
    same(one("ReduceMax", x, 13, axes=[1]), {"x": x})
    same(one("ArgMax", x, 13, axis=1), {"x": x})
    with pytest.raises(qdqnp.ProfileError, match=r"0\.0 and -0\.0"):
        zeros = x[:1] * np.array([1, 1, 0, 0, 1, 1], F)
        qdqnp.load(one("ReduceMax", zeros, 13, axes=[1])).run({"x": zeros})


# -- quantization parameters -----------------------------------------------------------------------------------------
def quantized_add(shapes: Mapping[str, tuple[int, ...]]) -> tuple[onnx.ModelProto, dict[str, Array]]:
    """An int8 Add. shapes: of scales ('s', 't') and zero points ('z', 'u') that are no scalars."""
    constants = {"s": F(0.03), "z": np.int8(2), "t": F(0.07), "u": np.int8(-5)}
    constants = {name: np.full(shapes.get(name, ()), value, value.dtype) for name, value in constants.items()}
    nodes = [helper.make_node("QuantizeLinear", [x, "s", "z"], [f"{x}_q"]) for x in "ab"]
    nodes += [helper.make_node("DequantizeLinear", [f"{x}_q", "s", "z"], [f"{x}_d"]) for x in "ab"]
    nodes += [
        helper.make_node("Add", ["a_d", "b_d"], ["sum"]),
        helper.make_node("QuantizeLinear", ["sum", "t", "u"], ["sum_q"]),
        helper.make_node("DequantizeLinear", ["sum_q", "t", "u"], ["y"]),
    ]
    rng = np.random.default_rng(1)
    feeds = {x: rng.uniform(-4, 4, (8, 40)).astype(F) for x in "ab"}
    return model(nodes, feeds, constants), feeds


@pytest.mark.parametrize("profile", ["ort", "ort-x64", "ort-unfused"])
@pytest.mark.parametrize("names", ["", "u", "z", "t", "tu", "sz", "szt", "zu"])
def test_scales_and_zero_points_of_shape_1(names: str, profile: str) -> None:
    same(*quantized_add(dict.fromkeys(names, (1,))), profile)


@pytest.mark.parametrize(("profile", "both_refuse"), [("ort", True), ("ort-unfused", False)])
def test_an_int8_conv_without_an_output_zero_point(profile: str, both_refuse: bool) -> None:
    """From opset 21 its type is an attribute; a session that fuses it looks at the zero point only."""
    typed = {"output_dtype": TensorProto.INT8}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s"], ["x_q"], **typed),
        helper.make_node("DequantizeLinear", ["x_q", "s"], ["x_d"]),
        helper.make_node("DequantizeLinear", ["w", "s"], ["w_d"]),
        helper.make_node("Conv", ["x_d", "w_d"], ["c"], name="conv"),
        helper.make_node("QuantizeLinear", ["c", "s"], ["c_q"], **typed),
        helper.make_node("DequantizeLinear", ["c_q", "s"], ["y"]),
    ]
    rng = np.random.default_rng(2)
    feeds = {"x": rng.uniform(-2, 2, (1, 3, 5, 5)).astype(F)}
    constants = {"s": F(0.05), "w": rng.integers(-90, 90, (2, 3, 3, 3)).astype(np.int8)}
    made = model(nodes, feeds, constants, opset=21)
    if both_refuse:
        assert "node conv" in str(refused(made, feeds, profile))
    else:
        same(made, feeds, profile)


def test_other_profiles_run_what_only_a_session_refuses() -> None:
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s"], ["x_q"], output_dtype=TensorProto.INT8),
        helper.make_node("DequantizeLinear", ["x_q", "s"], ["x_d"]),
        helper.make_node("Add", ["x_d", "x_d"], ["c"], name="add"),
        helper.make_node("QuantizeLinear", ["c", "s"], ["c_q"], output_dtype=TensorProto.INT8),
        helper.make_node("DequantizeLinear", ["c_q", "s"], ["y"]),
    ]
    feeds = {"x": np.linspace(-1, 1, 9).astype(F)}
    made = qdqnp.load(model(nodes, feeds, {"s": F(0.05)}, opset=21))
    assert made.run(feeds, profile="exact")["y"].shape == (9,)
    with pytest.raises(qdqnp.QdqnpError, match="node add"):
        made.run(feeds)


@pytest.mark.parametrize("op", ["QuantizeLinear", "DequantizeLinear"])
def test_one_zero_point_for_several_scales_is_refused(op: str) -> None:
    x = IMAGE if op == "QuantizeLinear" else IMAGE.astype(np.int8)
    made = given(op, x, {"s": np.full(2, 0.05, F), "z": np.zeros(1, np.int8)}, axis=1)
    assert "as many as scales" in str(refused(made, {"x": x}))


def test_a_stack_of_matrices_has_one_scale() -> None:
    names = ("a_s", "a_z", "b", "b_s", "b_z", "y_s", "y_z")
    b = np.ones((1, 6, 3), np.int8)
    values = (F(0.1), np.int8(0), b, np.full(3, 0.1, F), np.zeros(3, np.int8), F(0.1), np.int8(0))
    constants = dict(zip(names, values, strict=True))
    assert "b is no matrix" in str(refused(given("QLinearMatMul", CODES, constants), {"x": CODES}))
    same(given("QLinearMatMul", CODES, {**constants, "b": b[0]}), {"x": CODES})


def between(op: str, opset: int, zero: Any = 0, **attributes: Any) -> onnx.ModelProto:
    """The operator between DQ and Q."""
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["x_q"]),
        helper.make_node("DequantizeLinear", ["x_q", "s", "z"], ["x_d"]),
        helper.make_node(op, ["x_d"], ["f"], name="middle", **attributes),
        helper.make_node("QuantizeLinear", ["f", "s", "z"], ["f_q"]),
        helper.make_node("DequantizeLinear", ["f_q", "s", "z"], ["y"]),
    ]
    return model(nodes, {"x": IMAGE}, {"s": F(0.05), "z": np.asarray(zero, np.uint8)}, opset)


@pytest.mark.parametrize("profile", ["ort", "ort-x64"])
@pytest.mark.parametrize(
    ("op", "opset", "more"),
    [
        ("AveragePool", 19, {"kernel_shape": [2, 2], "dilations": [1, 1]}),
        ("AveragePool", 17, {"kernel_shape": [2, 2], "zero": [0]}),
        ("ReduceMax", 11, {"axes": [1]}),
        ("ReduceMin", 11, {"axes": [1]}),
    ],
)
def test_what_a_session_fuses_and_then_refuses(op: str, opset: int, more: dict[str, Any], profile: str) -> None:
    made = between(op, opset, **more)
    assert "node middle" in str(refused(made, {"x": IMAGE}, profile))
    same(made, {"x": IMAGE}, "ort-unfused")


# -- the session -----------------------------------------------------------------------------------------------------
def test_float_conv_is_promised_only_where_the_default_level_computes_it_too() -> None:
    rng = np.random.default_rng(4)
    feeds = {"x": rng.standard_normal((1, 8, 5, 7), F)}
    made = model([helper.make_node("Conv", ["x", "w"], ["y"])], feeds, {"w": rng.standard_normal((16, 8, 3, 3), F)})
    loaded = qdqnp.load(made)
    assert np.any(loaded.run(feeds)["y"] != theirs(made, feeds, "ort", ALL))  # why there is no promise
    assert not loaded.plan("ort").promises["y"].exact and not loaded.plan("ort-x64").promises["y"].exact
    assert loaded.plan("ort-unfused").promises["y"].exact
    same(made, feeds)


def test_dropout_of_a_constant_of_which_one_output_is_read() -> None:
    nodes = [helper.make_node("Dropout", ["c"], ["d"]), helper.make_node("Add", ["x", "d"], ["y"])]
    x = np.ones((2, 3), F)
    same(model(nodes, {"x": x}, {"c": np.arange(3, dtype=F)}), {"x": x}, "ort")


def test_what_is_filled_in_outside_of_a_region_must_be_a_code() -> None:
    """C++ does not say what becomes of 255 as int8; of 3.7 it makes 3."""
    x = np.arange(4, dtype=np.int8).reshape(1, 1, 2, 2)
    for value in (3.7, -128.9):
        proto = cropped(value)
        same(proto, {"x": x})
    with pytest.raises(qdqnp.ModelError, match="a number that int8 holds"):
        qdqnp.load(cropped(255.0))


def cropped(value: float) -> onnx.ModelProto:
    attributes = {"coordinate_transformation_mode": "tf_crop_and_resize", "extrapolation_value": value}
    node = helper.make_node("Resize", ["x", "roi", "", "sizes"], ["y"], name="n", mode="nearest", **attributes)
    roi = np.array([0, 0, -1, -1, 1, 1, 2, 2], F)
    return model([node], {"x": np.zeros((1, 1, 2, 2), np.int8)}, {"roi": roi, "sizes": np.array([1, 1, 4, 4])})


@pytest.mark.parametrize("profile", ["ort", "ort-unfused"])
def test_layer_normalization_of_an_opset_before_it(profile: str) -> None:
    """ONNX Runtime's own, in ONNX's domain: its transformer tools write it into models of any opset."""
    rng = np.random.default_rng(0)
    x, scale, bias = (rng.standard_normal(shape).astype(F) for shape in ((3, 8), 8, 8))
    node = helper.make_node("LayerNormalization", ["x", "g", "b"], ["y"], name="n", epsilon=1e-4)
    same(model([node], {"x": x}, {"g": scale, "b": bias}, opset=12), {"x": x}, profile)


def test_a_region_of_interest_that_no_coordinate_holds() -> None:
    proto = cropped(0.0)
    proto.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.full(8, 3e38, F), "roi"))
    with pytest.raises(qdqnp.ModelError, match=r"input 1 \(roi\): expected numbers in"):
        qdqnp.load(proto)


@pytest.mark.parametrize("count", [1, 3, 4, 7, 16, 33])
def test_the_nans_of_a_logarithm(count: int) -> None:
    """Bit for bit: registers of four set all bits, what is left over is the C library's."""
    x = np.resize(np.array([-1, np.nan, 2, -np.inf, -np.nan, 0, np.inf], F), count)
    for profile in ("ort", "ort-unfused"):
        same(one("Log", x), {"x": x}, profile)
