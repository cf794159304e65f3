"""Sizes that the file leaves open: every operator takes them, gives the same bits, and checks at the run what fits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import qdqnp
from qdqnp.errors import InputError, ModelError, QdqnpError
from tests.ops.case import MS, Case, assert_same, one_node
from tests.ops.cases import CASES, Generator
from tests.ops.cases.conv_transpose import CONV_TRANSPOSE
from tests.ops.cases.floats import BITWISE
from tests.ops.cases.functions import FUNCTIONS
from tests.ops.cases.indexed import INDEXED
from tests.ops.cases.interpolation import INTERPOLATION
from tests.ops.cases.logic import LOGIC
from tests.oracles import ort

F, U8 = np.float32, np.uint8
ALL: Mapping[str, Generator] = {
    **CASES,
    **BITWISE,
    **FUNCTIONS,
    **INDEXED,
    **INTERPOLATION,
    **LOGIC,
    **CONV_TRANSPOSE,
}
#: What needs to be known when a model is loaded: the size of a kernel, which sizes are 1, how many axes there are.
NEEDED = ("a known kernel size", "no size of 1", "is computed from sizes alone")


def opened(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with a name in place of each size of its inputs."""
    found = onnx.ModelProto()
    found.CopyFrom(model)
    for number, entry in enumerate(found.graph.input):
        for axis, dim in enumerate(entry.type.tensor_type.shape.dim):
            dim.Clear()
            dim.dim_param = f"N{number}_{axis}"
    return found


@pytest.mark.parametrize("op", ALL)
def test_every_case_with_open_sizes(op: str) -> None:
    compared = 0
    for seed in range(5):
        case = ALL[op](np.random.default_rng(seed))
        try:
            wanted = qdqnp.load(case.model).run(case.inputs)
        except QdqnpError:
            continue
        try:
            found = qdqnp.load(opened(case.model)).run(case.inputs)
        except (ModelError, InputError) as error:
            assert any(needed in str(error) for needed in NEEDED), f"{error}\n{case}"
            continue
        for name, array in wanted.items():
            assert_same(found[name], array, "the model with its sizes", case)
        compared += 1
    assert compared or op in ("ConstantOfShape",)


X, W, S, Z = ("x", np.zeros((2, 3), U8)), ("w", np.zeros((3, 4), U8)), F(0.5), U8(1)
IMAGE, KERNEL = ("x", np.zeros((1, 2, 5, 5), U8)), ("w", np.zeros((3, 2, 2, 2), U8))
FLOATS, STATISTICS = ("x", np.zeros((1, 2, 5, 5), F)), np.ones(2, F)
# A parameter of an open size, by name, and one that does not fit.
MISFITS: dict[str, tuple[Case, str, Any]] = {
    "MatMulInteger, of b": (
        one_node("MatMulInteger", [X, W, ("a", Z), ("z", np.ones(4, U8))], ("x", "z"), output=np.int32),
        "z",
        np.ones(3, U8),
    ),
    "MatMulInteger, of a": (
        one_node("MatMulInteger", [X, W, ("z", np.ones(1, U8))], ("x", "z"), output=np.int32),
        "z",
        np.ones(3, U8),
    ),
    "ConvInteger, of x": (
        one_node("ConvInteger", [IMAGE, KERNEL, ("z", np.ones(1, U8))], ("x", "z"), output=np.int32),
        "z",
        np.ones(2, U8),
    ),
    "ConvInteger, of w": (
        one_node("ConvInteger", [IMAGE, KERNEL, ("a", Z), ("z", np.ones(3, U8))], ("x", "z"), output=np.int32),
        "z",
        np.ones(2, U8),
    ),
    "MatMulIntegerToFloat": (
        one_node("MatMulIntegerToFloat", [X, W, ("s", S), ("t", np.ones(4, F))], ("x", "t"), domain=MS, output=F),
        "t",
        np.ones(3, F),
    ),
    "MatMulIntegerToFloat, bias": (
        one_node(
            "MatMulIntegerToFloat",
            [X, W, ("s", S), ("t", S), None, None, ("b", np.ones(4, F))],
            ("x", "b"),
            domain=MS,
            output=F,
        ),
        "b",
        np.ones(1, F),
    ),
    "DynamicQuantizeMatMul": (
        one_node("DynamicQuantizeMatMul", [("x", np.zeros((2, 3), F)), W, ("s", np.ones(4, F))], ("x", "s"), domain=MS),
        "s",
        np.ones(2, F),
    ),
    "BatchNormalization": (
        one_node("BatchNormalization", [FLOATS, *((n, STATISTICS) for n in "abcd")], ("x", "a")),
        "a",
        np.ones(1, F),
    ),
    "Conv, bias": (
        one_node("Conv", [FLOATS, ("w", np.ones((3, 2, 1, 1), F)), ("b", np.ones(3, F))], ("x", "b")),
        "b",
        np.ones(1, F),
    ),
    "ConvTranspose, bias": (
        one_node("ConvTranspose", [FLOATS, ("w", np.ones((2, 3, 1, 1), F)), ("b", np.ones(3, F))], ("x", "b")),
        "b",
        np.ones(1, F),
    ),
    "OneHot": (
        one_node(
            "OneHot", [("x", np.zeros(2, np.int64)), ("d", np.int64(3)), ("v", np.ones(2, F))], ("x", "v"), output=F
        ),
        "v",
        np.ones(3, F),
    ),
}


@pytest.mark.parametrize("name", MISFITS)
def test_what_does_not_fit_is_refused_at_the_run(name: str) -> None:
    case, parameter, bad = MISFITS[name]
    model = qdqnp.load(opened(case.model))
    model.run(case.inputs)
    with pytest.raises(InputError, match=r"do not fit the model"):
        model.run({**case.inputs, parameter: bad})


@pytest.mark.parametrize("profile", ["ort", "ort-x64", "ort-unfused"])
def test_a_chain_with_parameters_of_open_size(profile: str) -> None:
    """As onnxruntime's own tests have it: scale and zero point of b of shape [C]."""
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
        helper.make_node("MatMulInteger", ["q", "w", "z", "wz"], ["m"]),
        helper.make_node("Cast", ["m"], ["f"], to=1),
        helper.make_node("Mul", ["s", "ws"], ["t"]),
        helper.make_node("Mul", ["f", "t"], ["y"]),
    ]
    inputs = [("x", 1, ["M", "K"]), ("w", 2, ["K", "N"]), ("wz", 2, ["C"]), ("ws", 1, ["C"])]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info(*entry) for entry in inputs], [onnx.ValueInfoProto(name="y")]
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    rng, model = np.random.default_rng(0), qdqnp.load(proto)
    for columns in (1, 5):
        feeds = {
            "x": rng.standard_normal((3, 4)).astype(F),
            "w": rng.integers(0, 256, (4, 5), U8),
            "wz": rng.integers(0, 256, columns, U8),
            "ws": rng.random(columns).astype(F),
        }
        assert_same(
            model.run(feeds, profile=profile)["y"],
            ort.run(proto, feeds)["y"],
            "ONNX Runtime",
            Case(proto, feeds),
        )


# -- Squeeze, whose axes decide how many there are ---------------------------------------------------------------------
def test_squeeze_of_all_axes_of_size_1_takes_open_ones_for_longer() -> None:
    case = one_node("Squeeze", [("x", np.zeros((2, 1, 3, 1), F))], opset=13)
    dims = case.model.graph.input[0].type.tensor_type.shape.dim
    dims[0].Clear()
    dims[0].dim_param = "N"
    model = qdqnp.load(case.model)
    assert model.program().tensors["y"].shape == ("N", 3)
    for batch in (2, 5):
        assert model.run(np.ones((batch, 1, 3, 1), F))["y"].shape == (batch, 3)
    with pytest.raises(InputError, match=r"no size of 1 on axes \[0, 2\]"):
        model.run(np.ones((1, 1, 3, 1), F))


@pytest.mark.parametrize("profile", ["ort", "ort-unfused"])
def test_squeeze_of_axes_that_are_computed(profile: str) -> None:
    """The axis is how long x is, less 2: known at the run alone."""
    nodes = [
        helper.make_node("Shape", ["x"], ["sizes"]),
        helper.make_node("Gather", ["sizes", "zero"], ["first"]),
        helper.make_node("Sub", ["first", "two"], ["axis"]),
        helper.make_node("Squeeze", ["w", "axis"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", 1, ["N"]), helper.make_tensor_value_info("w", 1, [3, 1, 1])],
        [helper.make_tensor_value_info("y", 1, None)],
        [numpy_helper.from_array(np.array([0]), "zero"), numpy_helper.from_array(np.array([2]), "two")],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    model = qdqnp.load(proto)
    for length in (3, 4):
        feeds = {"x": np.ones(length, F), "w": np.arange(3, dtype=F).reshape(3, 1, 1)}
        assert_same(
            model.run(feeds, profile=profile)["y"], ort.run(proto, feeds)["y"], "ONNX Runtime", Case(proto, feeds)
        )
    with pytest.raises(InputError, match=r"size 1 on axes \[0\]"):
        model.run({"x": np.ones(2, F), "w": np.zeros((3, 1, 1), F)})


# -- sizes of 0 --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("op", ALL)
def test_every_case_without_an_element(op: str) -> None:
    """An axis of 0 elements: ONNX Runtime's result, or a refusal; no other error."""
    for seed in range(4):
        rng = np.random.default_rng(seed)
        case = ALL[op](rng)
        if not case.inputs or not next(iter(case.inputs.values())).ndim:
            continue
        first = next(iter(case.inputs.values()))
        axis = int(rng.integers(first.ndim))
        feeds = {
            name: array[(slice(None),) * axis + (slice(0, 0),)]
            if array.ndim == first.ndim and array.shape[axis] == first.shape[axis]
            else array
            for name, array in case.inputs.items()
        }
        try:
            model = qdqnp.load(case.model if seed % 2 else opened(case.model))
            found = model.run(feeds)
        except QdqnpError:
            continue
        known = model.program().tensors
        for name, array in found.items():
            assert array.dtype == known[name].dtype and array.ndim == len(known[name].shape)


def test_a_batch_of_nothing_as_onnx_runtime_has_it() -> None:
    x = np.zeros((0, 2, 5, 5), U8)
    for case in (
        one_node("MaxPool", [("x", x)], kernel_shape=[2, 2]),
        one_node(
            "QLinearAveragePool", [("x", x), ("s", S), ("z", Z), ("t", S), ("y_z", Z)], domain=MS, kernel_shape=[2, 2]
        ),
        one_node("ConvInteger", [("x", x), KERNEL], output=np.int32),
    ):
        found = qdqnp.load(case.model).run(case.inputs)["y"]
        assert found.shape[0] == 0
        assert_same(found, ort.run(case.model, case.inputs)["y"], "ONNX Runtime", case)
