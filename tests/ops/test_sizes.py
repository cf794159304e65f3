"""Sizes that are computed: whole models against ONNX Runtime, at several sizes, and what is known before a run."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

import qdqnp
from qdqnp.errors import InputError, ModelError, ProfileError
from qdqnp.limits import KNOWN_ELEMENTS, SHAPES_KEPT
from qdqnp.ops.origin import origin_of
from tests.ops.case import Case, assert_same
from tests.ops.cases.sizes import Sized
from tests.oracles import ort

F = np.float32
SEEDS = st.integers(0, 2**32 - 1)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=SEEDS)
def test_models_of_computed_sizes(seed: int) -> None:
    """Every output, bit for bit, at the sizes the model was made with and at others; what was known before is true."""
    sized = Sized(np.random.default_rng(seed))
    case = sized.build()
    model = qdqnp.load(case.model)
    for feeds in (case.inputs, *sized.others()):
        wanted = ort.run(case.model, feeds)
        for profile in ("ort-unfused", "ort"):
            found, tensors = model.run(feeds, profile=profile), model.program(profile).tensors
            for name, array in wanted.items():
                assert_same(found[name], array, f"ONNX Runtime under {profile}", case)
                known = tensors[name].shape
                assert len(known) == array.ndim
                assert all(
                    size == real or not isinstance(size, int) for size, real in zip(known, array.shape, strict=True)
                )


def made(
    nodes: list[onnx.NodeProto], shape: Any, inputs: dict[str, Any] | None = None, **constants: Any
) -> onnx.ModelProto:
    """A model that computes y of a float x of that shape and of further inputs, name: (type, shape)."""
    infos = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    infos += [helper.make_tensor_value_info(name, *kind) for name, kind in (inputs or {}).items()]
    given_ = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "g", infos, [onnx.ValueInfoProto(name="y")], given_)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def node(op: str, *inputs: str, to: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op, list(inputs), [to], name=f"{op}_{to}", **attributes)


def flattening(shape: Any) -> onnx.ModelProto:
    nodes = [
        node("Shape", "x", to="sizes"),
        node("Gather", "sizes", "zero", to="batch"),
        node("Concat", "batch", "rest", to="target", axis=0),
        node("Reshape", "x", "target", to="y"),
    ]
    return made(nodes, shape, zero=[0], rest=[-1])


def test_named_sizes_are_known_by_their_names() -> None:
    model = qdqnp.load(flattening(["N", 3, 4]))
    assert model.program().tensors["y"].shape == ("N", 12)
    assert model.run(np.ones((5, 3, 4), F))["y"].shape == (5, 12)


@pytest.mark.parametrize("profile", ["ort", "ort-unfused"])
def test_where_all_sizes_are_declared_nothing_of_it_runs(profile: str) -> None:
    program = qdqnp.load(flattening([2, 3, 4])).program(profile)
    assert [step.op for step in program.steps] == ["Reshape"]
    assert program.steps[0].input_names == ("x",)


def test_sizes_that_the_file_does_not_say_are_known_at_the_run() -> None:
    model = qdqnp.load(flattening([None, -1, None]))
    assert model.program().tensors["y"].shape == (None, None)
    for sizes in ((2, 3, 4), (1, 1, 1), (4, 0, 2)):
        if 0 in sizes:
            with pytest.raises(InputError, match="divides"):
                model.run(np.ones((0, 3, 2), F))
        else:
            assert model.run(np.ones(sizes, F))["y"].shape == (sizes[0], sizes[1] * sizes[2])


def test_inputs_may_say_sizes() -> None:
    reshape = made([node("Reshape", "x", "s", to="y")], ["N"], {"s": (TensorProto.INT64, [2])})
    model = qdqnp.load(reshape)
    for target in ([2, 3], [3, -1], [1, 6]):
        feeds = {"x": np.arange(6, dtype=F), "s": np.array(target)}
        assert_same(model.run(feeds)["y"], ort.run(reshape, feeds)["y"], "ONNX Runtime", Case(reshape, feeds))
    with pytest.raises(InputError, match="divides 6 elements"):
        model.run({"x": np.arange(6, dtype=F), "s": np.array([4, -1])})
    with pytest.raises(InputError, match="its elements, which say sizes"):
        model.plan().shapes({"x": (6,), "s": (2,)})


def test_a_size_that_depends_on_data_is_refused_with_advice() -> None:
    nodes = [
        node("ReduceMax", "x", to="m", keepdims=0),
        node("Cast", "m", to="n"),
        node("Unsqueeze", "n", "zero", to="s"),
        node("Reshape", "x", "s", to="y"),
    ]
    nodes[1].attribute.append(helper.make_attribute("to", TensorProto.INT64))
    with pytest.raises(ModelError, match=r"sizes alone, got a tensor that depends on data.*--outputs"):
        qdqnp.load(made(nodes, ["N", 4], zero=[0]))


def test_what_a_model_asks_for_by_computed_sizes_is_bounded() -> None:
    """A few bytes that ask for 2^40 elements end before anything is allocated."""
    nodes = [
        node("Shape", "x", to="s"),
        node("Mul", "s", "many", to="t"),
        node("ConstantOfShape", "t", to="z"),
        node("Add", "z", "one", to="y"),
    ]
    model = qdqnp.load(made(nodes, ["N"], many=np.array([2**40]), one=F(1)))
    with pytest.raises(InputError, match="too much memory"):
        model.run(np.ones(1, F))
    fixed = made(nodes, [1], many=np.array([2**40]), one=F(1))
    with pytest.raises((InputError, ModelError), match="at most"):
        qdqnp.load(fixed).run(np.ones(1, F))


def test_tensors_that_decide_sizes_are_small() -> None:
    nodes = [
        node("Shape", "x", to="s"),
        node("Range", "zero", "limit", "one", to="r"),
        node("ReduceMax", "r", to="m", keepdims=1),
        node("Reshape", "x", "m", to="y"),
    ]
    nodes.insert(1, node("Squeeze", "s", to="limit"))
    with pytest.raises(ModelError, match="depends on data"):  # the Range has no known size when the model is loaded
        qdqnp.load(made(nodes, ["N"], zero=np.array(0), one=np.array(1)))
    assert KNOWN_ELEMENTS < 2**20


def test_shapes_of_many_runs_are_forgotten() -> None:
    model = qdqnp.load(flattening(["N", 3]))
    for count in range(1, 2 * SHAPES_KEPT):
        assert model.run(np.ones((count, 3), F))["y"].shape == (count, 3)
    assert len(model.plan()._settled) <= SHAPES_KEPT


def test_a_division_by_a_size_of_zero() -> None:
    nodes = [node("Shape", "x", to="s"), node("Div", "one", "s", to="d"), node("Reshape", "x", "d", to="y")]
    model = qdqnp.load(made(nodes, ["N"], one=np.array([6])))
    assert model.program().tensors["y"].shape == (None,)
    with pytest.raises((InputError, ProfileError), match="division by zero"):
        model.run(np.ones(0, F))


@pytest.mark.parametrize("op", ["Shape", "Size"])
def test_a_shape_is_promised_whatever_the_tensor(op: str) -> None:
    nodes = [node("Sin", "x", to="p"), node(op, "p", to="y")]
    plan = qdqnp.load(made(nodes, ["N", 3])).plan()
    assert not plan.promises["p"].exact and plan.promises["y"].exact


def test_an_element_s_origin_is_that_of_the_settled_step() -> None:
    model = qdqnp.load(flattening(["N", 3, 4]))
    bound = next(bound for bound in model.plan().steps if bound.step.op == "Reshape")
    arrays = bound.arrays({"x": np.ones((2, 3, 4), F), "target": np.array([2, -1])})
    origin = origin_of(bound.operator, bound.step, arrays, 0, (1, 5))
    assert origin.element(int(origin.elements[0])).index == (1, 1, 1)


def test_weights_leave_enough_for_sizes() -> None:
    """What a DequantizeLinear makes of large weights is computed when a model is loaded too, up to a bound."""
    nodes, constants = [], {"s": F(0.5)}
    for number in range(70):
        constants[f"w{number}"] = np.full((256, 256), number, np.int8)
        nodes.append(node("DequantizeLinear", f"w{number}", "s", to=f"d{number}"))
        nodes.append(node("Add", f"d{number}", f"d{number}", to=f"e{number}"))
    chain = flattening([2, 3, 4])
    nodes += chain.graph.node
    model = made(nodes, [2, 3, 4], zero=[0], rest=[-1], **constants)
    assert qdqnp.load(model).program().tensors["y"].shape == (2, 12)


@pytest.mark.parametrize(("shape", "known"), [((12, 12), True), ((12, 12, 1), False), ((4, 4, 3, 3), False)])
def test_weights_of_convolutions_are_not_computed_when_a_model_is_loaded(shape: tuple[int, ...], known: bool) -> None:
    """Scales may be what a DequantizeLinear makes, so those of matrices are."""
    nodes = [node("DequantizeLinear", "w", "s", to="d"), node("Identity", "x", to="y")]
    graph = qdqnp.load(made(nodes, [2], w=np.full(shape, 3, np.int8), s=F(0.5))).graph
    found = graph.values["d"].known
    assert (found is not None) == known
    if found is not None:
        np.testing.assert_array_equal(found, np.full(shape, F(1.5)), strict=True)


@pytest.mark.parametrize("profile", ["ort", "ort-x64", "ort-unfused"])
@pytest.mark.parametrize("code", [np.int8, np.uint8])
def test_a_shape_is_no_use_of_codes(code: type, profile: str) -> None:
    """It reads a DQ of its own, which goes with it: under ort-x64 the codes have one reader, and fuse."""
    nodes = [
        node("QuantizeLinear", "x", "s", "z", to="q"),
        node("DequantizeLinear", "q", "s", "z", to="d"),
        node("Softmax", "d", to="p", axis=-1),
        node("QuantizeLinear", "p", "t", "z", to="pq"),
        node("DequantizeLinear", "pq", "t", "z", to="pd"),
        node("Shape", "pd", to="sizes"),
        node("Reshape", "pd", "sizes", to="y"),
    ]
    proto = made(nodes, [4, 16], s=F(0.1), t=F(1 / 256), z=code(0))
    ops = [step.op for step in qdqnp.load(proto).program(profile).steps]
    assert ("QLinearSoftmax" in ops) == (profile != "ort-unfused")
