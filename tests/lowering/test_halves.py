"""float16 as ONNX Runtime's CPU session computes it: every operator, and random chains of them, bit for bit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, defs, helper, numpy_helper

import qdqnp
from qdqnp.errors import ModelError, ProfileError
from tests.lowering.peer import optimized
from tests.ops import draw
from tests.ops.case import Case, assert_same
from tests.ops.cases.floats import BITWISE
from tests.oracles import ort

Array = NDArray[Any]
H = np.float16
HALF = TensorProto.FLOAT16
SEEDS = st.integers(0, 2**32 - 1)
#: Operators whose float16 arithmetic is another one, and those that ONNX defines by others.
UNPROMISED = {
    *(
        "MatMulNBits",
        "Gelu",
        "Swish",
        "PRelu",
        "Gelu of com.microsoft",
        "QuickGelu",
        "FastGelu",
        "Softmax",
        "LogSoftmax",
    ),
    *("ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp", "LeakyRelu", "GroupNormalization"),
    *("CenterCropPad", "Softsign", "Elu", "Selu", "ThresholdedRelu", "Attention", "RotaryEmbedding"),
}


def in_half(case: Case) -> Case | None:
    """The case with float16 in the place of float32 where the operator's schema has it; None where nothing is."""
    model = onnx.ModelProto.FromString(case.model.SerializeToString())
    graph, opset = model.graph, model.opset_import[0].version
    (node,) = graph.node
    fixed: set[str] = set()
    if not node.domain:
        inputs = defs.get_schema(node.op_type, opset).inputs
        kinds = [inputs[min(at, len(inputs) - 1)].types for at in range(len(node.input))]
        fixed = {name for name, types in zip(node.input, kinds, strict=True) if "tensor(float16)" not in types}
    for info in (*graph.input, *graph.output):
        if info.type.tensor_type.elem_type == TensorProto.FLOAT and info.name not in fixed:
            info.type.tensor_type.elem_type = HALF
    for at, tensor in enumerate(graph.initializer):
        if tensor.data_type == TensorProto.FLOAT and tensor.name not in fixed:
            graph.initializer[at].CopyFrom(numpy_helper.from_array(narrow(numpy_helper.to_array(tensor)), tensor.name))
    halves = {info.name for info in graph.input if info.type.tensor_type.elem_type == HALF}
    feeds = {name: narrow(array) if name in halves else array for name, array in case.inputs.items()}
    return Case(model, feeds) if halves else None


def narrow(array: Array) -> Array:
    with np.errstate(over="ignore"):
        return array.astype(H)


def outputs(model: onnx.ModelProto, feeds: Mapping[str, Array]) -> dict[str, Array] | None:
    """What ONNX Runtime makes; None where it refuses the model."""
    try:
        return ort.run(model, feeds)
    except Exception as error:
        assert "ONNXRuntimeError" in str(error)
        return None


@pytest.mark.parametrize("name", BITWISE)
@settings(max_examples=12, deadline=None, derandomize=True)
@given(seed=SEEDS)
def test_every_operator(name: str, seed: int) -> None:
    case = in_half(BITWISE[name](np.random.default_rng(seed)))
    wanted = None if case is None else outputs(case.model, case.inputs)
    if case is None or wanted is None:
        return
    model = qdqnp.load(case.model)
    promises = model.plan("ort-unfused").promises
    try:
        found = model.run(case.inputs, profile="ort-unfused")
    except ProfileError as error:  # of zeros of both signs the largest one is not known
        assert "order does not matter" in str(error)
        return
    for output, array in wanted.items():
        assert promises[output].exact or name in UNPROMISED
        if promises[output].exact:
            assert_same(found[output], array, "ONNX Runtime", case)
        assert found[output].dtype == array.dtype


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("terms", [*range(1, 33), 100, 127])
def test_rows_of_halves(terms: int, bias: bool, rng: np.random.Generator) -> None:
    """LayerNormalization of float16 and of float32 do not have one kernel: many rows show it, and the deviations."""
    constants = [numpy_helper.from_array(rng.normal(0, 1, terms).astype(H), name) for name in ("scale", "bias")]
    node = helper.make_node("LayerNormalization", ["x", "scale", *["bias"] * bias], ["y", "mean", "inverse"])
    ends = [("y", HALF), ("mean", TensorProto.FLOAT), ("inverse", TensorProto.FLOAT)]
    graph = helper.make_graph(
        [node],
        "rows",
        [helper.make_tensor_value_info("x", HALF, (1000, terms))],
        [helper.make_tensor_value_info(name, kind, None) for name, kind in ends],
        constants[: 1 + bias],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    feeds = {"x": rng.normal(1, 3, (1000, terms)).astype(H)}
    loaded = qdqnp.load(model)
    found = loaded.run(feeds, profile="ort-unfused")
    for name, array in ort.run(model, feeds).items():
        assert loaded.plan("ort-unfused").promises[name].exact
        assert_same(found[name], array, "ONNX Runtime", Case(model, feeds))


def test_every_half_of_attention_is_one() -> None:
    """All outputs of an operator that computes float32 in the place of float16 are float16."""
    names = ["q", "k", "v", "past_key", "past_value"]
    node = helper.make_node("Attention", [*names[:3], "", *names[3:]], ["y", "key", "value"])
    inputs = [helper.make_tensor_value_info(name, HALF, (1, 2, 3, 4)) for name in names]
    ends = [helper.make_tensor_value_info(name, HALF, None) for name in ("y", "key", "value")]
    graph = helper.make_graph([node], "attention", inputs, ends)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=10)
    feeds = {name: np.full((1, 2, 3, 4), 0.1, H) for name in names}
    wanted, found = ort.run(model, feeds), qdqnp.load(model).run(feeds, profile="ort-unfused")
    assert {name: (array.dtype, array.shape) for name, array in found.items()} == {
        name: (array.dtype, array.shape) for name, array in wanted.items()
    }


UNARY = (
    "Sigmoid",
    "Tanh",
    "Relu",
    "Exp",
    "Abs",
    "Neg",
    "Sqrt",
    "Round",
    "Sign",
    "Identity",
    "Transpose",
    "Floor",
    "Erf",
)
BINARY = ("Add", "Mul", "Sub", "Max", "Min", "MatMul")


def chain(rng: draw.Rng) -> onnx.ModelProto:
    """Nodes with a float16 kernel and without one, Casts of the file's own, Q and DQ; some tensors are outputs."""
    opset = draw.pick(rng, (17, 18, 19, 21))
    types, nodes, constants = {"x": HALF, "x2": HALF}, list[onnx.NodeProto](), dict[str, Array]()
    for number in range(draw.size(rng, 9)):
        y, halves = f"t{number}", [name for name, kind in types.items() if kind == HALF][-4:]
        a, b = draw.pick(rng, halves), draw.pick(rng, halves)
        way = draw.pick(rng, ("one", "one", "two", "two", "constant", "clip", "up", "down", "codes"))
        wide = [name for name, kind in types.items() if kind == TensorProto.FLOAT]
        if way == "constant":
            b = f"{y}w"
            constants[b] = rng.normal(0, 1, (4, 4)).astype(H)
        if way in ("two", "constant"):
            nodes.append(helper.make_node(draw.pick(rng, BINARY), [a, b], [y]))
        elif way == "clip":
            constants |= {"low": np.array(-0.5, H), "high": np.array(1.5, H)}
            nodes.append(helper.make_node("Clip", [a, "low", "high"], [y]))
        elif way == "up":
            nodes.append(helper.make_node("Cast", [a], [y], to=TensorProto.FLOAT))
        elif way == "down" and wide:
            nodes.append(helper.make_node("Cast", [draw.pick(rng, wide)], [y], to=HALF))
        elif way == "codes" and opset >= 19:
            constants |= {"s": np.array(0.05, H), "z": np.array(3, np.int8)}
            nodes.append(helper.make_node("QuantizeLinear", [a, "s", "z"], [f"{y}q"]))
            nodes.append(helper.make_node("DequantizeLinear", [f"{y}q", "s", "z"], [y]))
        else:
            nodes.append(helper.make_node(draw.pick(rng, UNARY), [a], [y]))
        types[y] = TensorProto.FLOAT if way == "up" else HALF
    made = list(types)[2:]
    kept = [name for name in made if name == made[-1] or draw.chance(rng, 0.15)]
    inputs = [helper.make_tensor_value_info(name, HALF, (4, 4)) for name in ("x", "x2")]
    ends = [helper.make_tensor_value_info(name, types[name], None) for name in kept]
    given_ = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "chain", inputs, ends, given_)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(seed=SEEDS)
def test_chains(seed: int) -> None:
    rng = np.random.default_rng(seed)
    model = chain(rng)
    feeds = {name: (rng.normal(0, 1, (4, 4)) * 10 ** rng.uniform(-1, 0.5)).astype(H) for name in ("x", "x2")}
    loaded = qdqnp.load(model)
    for profile, wanted in (("ort-unfused", ort.run(model, feeds)), ("ort", ort.run(optimized(model), feeds))):
        promises, found = loaded.plan(profile).promises, loaded.run(feeds, profile=profile)
        for name, array in wanted.items():
            assert promises[name].exact or (profile == "ort" and "level BASIC may rewrite" in str(promises[name]))
            if promises[name].exact:
                assert_same(found[name], array, f"ONNX Runtime as {profile}", Case(model, feeds))


@pytest.mark.parametrize("order", [("wide", "half"), ("half", "wide")])
def test_of_several_inputs_the_first_one_decides(order: tuple[str, str], rng: np.random.Generator) -> None:
    """Whether a Max between nodes without a float16 kernel computes float32: 'half' comes from a node with one."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["wide"]),
        helper.make_node("Min", ["x2", "x"], ["half"]),
        helper.make_node("Max", order, ["max"]),
        helper.make_node("Neg", ["max"], ["y"]),
        helper.make_node("Identity", ["half"], ["z"]),
        helper.make_node("MatMul", ["max", "w"], ["v"]),
    ]
    inputs = [helper.make_tensor_value_info(name, HALF, (4, 4)) for name in ("x", "x2")]
    ends = [helper.make_tensor_value_info(name, HALF, None) for name in ("y", "z", "v")]
    w = numpy_helper.from_array(rng.normal(0, 1, (4, 4)).astype(H), "w")
    graph = helper.make_graph(nodes, "max", inputs, ends, [w])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    loaded = qdqnp.load(model)
    ops = [step.op for step in loaded.program("ort-unfused").steps]
    for _ in range(5):
        feeds = {name: rng.normal(0, 1, (4, 4)).astype(H) for name in ("x", "x2")}
        wanted, found = ort.run(model, feeds), loaded.run(feeds, profile="ort-unfused")
        for name, array in wanted.items():
            assert_same(found[name], array, f"ONNX Runtime; {ops}", Case(model, feeds))


def one_cast_after_another(*types: int) -> onnx.ModelProto:
    nodes = [helper.make_node("Cast", [f"t{at}"], [f"t{at + 1}"], to=to) for at, to in enumerate(types[1:])]
    ends = (("t0", types[0]), (f"t{len(types) - 1}", types[-1]))
    x, y = (helper.make_tensor_value_info(name, kind, (6,)) for name, kind in ends)
    graph = helper.make_graph(nodes, "casts", [x], [y])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


@pytest.mark.parametrize(
    "types",
    [
        (1, 6, 3),
        (1, 7, 6, 1),
        (1, 10, 1),
        (1, 10, 11),
        (10, 1, 10),
        (7, 6, 7),
        (6, 7, 6),
        (1, 6, 9),
        (1, 3, 7),
        (6, 1, 7),
        (2, 3, 2),
        (3, 2, 6),
        (11, 1, 10, 1),
        (1, 9, 1),
        (1, 2, 3),
        (1, 3, 2),
    ],
)
def test_casts_one_behind_the_other(types: tuple[int, ...]) -> None:
    """Some go although they lose something: 300.7 to int32 and then to int8 is 300.7 to int8."""
    model = one_cast_after_another(*types)
    x = np.array([0.7, -1.5, 3.0, 100.25, -0.0, 65.9]).astype(helper.tensor_dtype_to_np_dtype(types[0]))
    found = qdqnp.load(model).run(x, profile="ort-unfused")
    (wanted,) = ort.run(model, {"t0": x}).values()
    assert_same(*found.values(), wanted, "ONNX Runtime", Case(model, {"t0": x}))


def test_casts_of_the_file_are_taken_before_those_put_in(rng: np.random.Generator) -> None:
    nodes = [
        helper.make_node("Exp", ["x"], ["e"]),
        helper.make_node("Cast", ["e"], ["up"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["up"], ["down"], to=HALF),
        helper.make_node("Cast", ["down"], ["y"], to=TensorProto.FLOAT),
    ]
    x = helper.make_tensor_value_info("x", HALF, (50,))
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "casts", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    feeds = {"x": rng.normal(0, 1, 50).astype(H)}
    found = qdqnp.load(model).run(feeds, profile="ort-unfused")["y"]
    assert_same(found, ort.run(model, feeds)["y"], "ONNX Runtime", Case(model, feeds))


def test_float32_beside_float16_is_refused() -> None:
    x, w = (helper.make_tensor_value_info(name, kind, (2,)) for name, kind in (("x", HALF), ("w", TensorProto.FLOAT)))
    y = helper.make_tensor_value_info("y", HALF, (2,))
    graph = helper.make_graph([helper.make_node("Add", ["x", "w"], ["y"])], "mixed", [x, w], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    with pytest.raises(ModelError, match="float16"):
        qdqnp.load(model)


def test_bfloat16_has_no_arithmetic_as_in_onnx_runtime() -> None:
    x, y = (helper.make_tensor_value_info(name, TensorProto.BFLOAT16, (2,)) for name in "xy")
    graph = helper.make_graph([helper.make_node("Sigmoid", ["x"], ["y"])], "brain", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    with pytest.raises(ModelError, match="bfloat16"):
        qdqnp.load(model)
    with pytest.raises(Exception, match="NOT_IMPLEMENTED"):
        ort.run(model, {"x": np.ones(2, helper.tensor_dtype_to_np_dtype(TensorProto.BFLOAT16))})


def test_a_whole_quantized_convolution_in_float16(rng: np.random.Generator) -> None:
    """As it stands, at level EXTENDED too: no QLinearConv is made where no execution provider has the Conv."""
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "s", "z"], ["xd"]),
        helper.make_node("DequantizeLinear", ["w", "ws", "z0"], ["wd"]),
        helper.make_node("Conv", ["xd", "wd"], ["c"]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("QuantizeLinear", ["r", "s", "z"], ["y"]),
    ]
    constants = {"s": H(0.1), "z": np.int8(3), "ws": H(0.02), "z0": np.int8(0)}
    weights = rng.integers(-128, 127, (4, 3, 3, 3)).astype(np.int8)
    given_ = [numpy_helper.from_array(np.asarray(a), name) for name, a in {**constants, "w": weights}.items()]
    x = helper.make_tensor_value_info("x", HALF, (2, 3, 9, 9))
    y = helper.make_tensor_value_info("y", TensorProto.INT8, None)
    graph = helper.make_graph(nodes, "conv", [x], [y], given_)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    feeds = {"x": rng.normal(0, 3, (2, 3, 9, 9)).astype(H)}
    loaded = qdqnp.load(model)
    for profile, wanted in (("ort-unfused", ort.run(model, feeds)), ("ort", ort.run(optimized(model), feeds))):
        assert loaded.plan(profile).promises["y"].exact
        assert_same(loaded.run(feeds, profile=profile)["y"], wanted["y"], profile, Case(model, feeds))
    assert "QLinearConv" not in [step.op for step in loaded.program("ort").steps]
