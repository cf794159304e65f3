"""The branch of an If whose condition is constant stands in its place."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import qdqnp
from qdqnp.errors import ModelError
from tests.oracles import ort

F = np.float32
X = np.array([[-1, 0.5, 2]], F)


def info(name: str, kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, ["N", 3] if kind == TensorProto.FLOAT else [])


def branch(*nodes: onnx.NodeProto, output: str = "made", **constants: Any) -> onnx.GraphProto:
    given = [numpy_helper.from_array(np.asarray(value, F), name) for name, value in constants.items()]
    return helper.make_graph(list(nodes), "branch", [], [onnx.ValueInfoProto(name=output)], given)


def model(nodes: list[onnx.NodeProto], inputs: list[onnx.ValueInfoProto], **constants: Any) -> onnx.ModelProto:
    given = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "g", [info("x"), *inputs], [info("y")], given)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def either(condition: str, output: str, **branches: onnx.GraphProto) -> onnx.NodeProto:
    return helper.make_node("If", [condition], [output], name=f"if_{output}", **branches)


THEN = branch(helper.make_node("Mul", ["x", "c"], ["m"]), helper.make_node("Relu", ["m"], ["made"]), c=-2.0)
ELSE = branch(helper.make_node("Neg", ["x"], ["made"]))


def check(made: onnx.ModelProto) -> qdqnp.Model:
    loaded = qdqnp.load(made)
    for profile in ("ort", "ort-unfused"):
        assert np.array_equal(loaded.run(X, profile=profile)["y"], ort.run(made, {"x": X})["y"])
    return loaded


@pytest.mark.parametrize("flag", [False, True])
@pytest.mark.parametrize("shape", [(), (1,)])
def test_the_branch_that_is_taken(flag: bool, shape: tuple[int, ...]) -> None:
    made = model([either("flag", "y", then_branch=THEN, else_branch=ELSE)], [], flag=np.full(shape, flag))
    loaded = check(made)
    assert {node.op for node in loaded.graph.nodes} == ({"Mul", "Relu"} if flag else {"Neg"})


def test_a_condition_of_a_constant_node() -> None:
    constant = helper.make_node("Constant", [], ["flag"], value=numpy_helper.from_array(np.array(True)))
    check(model([constant, either("flag", "y", then_branch=THEN, else_branch=ELSE)], []))


def test_two_that_use_the_same_names_and_one_inside_of_another() -> None:
    inner = branch(either("flag", "made", then_branch=THEN, else_branch=ELSE))
    nodes = [
        either("flag", "a", then_branch=THEN, else_branch=ELSE),
        either("flag", "b", then_branch=inner, else_branch=ELSE),
        helper.make_node("Add", ["a", "b"], ["y"]),
    ]
    check(model(nodes, [], flag=np.array(True)))


def test_a_branch_that_passes_on_what_is_outside_or_a_constant() -> None:
    outside = branch(output="r")
    constant = branch(output="c", c=[[1, 2, 3]])
    nodes = [
        helper.make_node("Relu", ["x"], ["r"]),
        either("flag", "a", then_branch=outside, else_branch=ELSE),
        either("flag", "b", then_branch=constant, else_branch=ELSE),
        helper.make_node("Add", ["a", "b"], ["y"]),
    ]
    found = qdqnp.load(model(nodes, [], flag=np.array(True))).run(X)["y"]
    assert found.tolist() == [[1, 2.5, 5]]


def test_a_computed_condition_is_refused() -> None:
    made = model([either("flag", "y", then_branch=THEN, else_branch=ELSE)], [info("flag", TensorProto.BOOL)])
    with pytest.raises(ModelError, match="operator If"):
        qdqnp.load(made)


def test_the_given_model_stays_as_it_is() -> None:
    made = model([either("flag", "y", then_branch=THEN, else_branch=ELSE)], [], flag=np.array(True))
    before = made.SerializeToString()
    qdqnp.load(made)
    assert made.SerializeToString() == before


def from_sizes(sizes: list[Any], wanted: int, op: str = "Equal") -> onnx.ModelProto:
    """The condition: whether the last size of x is `wanted`, as torch exports squeeze."""
    nodes = [
        helper.make_node("Shape", ["x"], ["sizes"]),
        helper.make_node("Gather", ["sizes", "last"], ["size"]),
        helper.make_node(op, ["size", "wanted"], ["flag"]),
        either("flag", "y", then_branch=THEN, else_branch=ELSE),
    ]
    made = model(nodes, [], last=np.array(1), wanted=np.array(wanted))
    made.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", TensorProto.FLOAT, sizes))
    return made


@pytest.mark.parametrize("op", ["Equal", "Greater", "Less"])
@pytest.mark.parametrize("wanted", [2, 3, 4])
def test_a_condition_that_is_computed_from_sizes(op: str, wanted: int) -> None:
    loaded = check(from_sizes([1, 3], wanted, op))
    taken = {"Equal": wanted == 3, "Greater": wanted < 3, "Less": wanted > 3}[op]
    assert ("Relu" in {node.op for node in loaded.graph.nodes}) == taken


def test_a_condition_of_sizes_that_are_open_is_refused() -> None:
    """ONNX Runtime would decide at the run, and fuse nothing across the If."""
    with pytest.raises(ModelError, match="operator If"):
        qdqnp.load(from_sizes(["N", 3], 3))


def test_conditions_one_behind_the_other() -> None:
    """The second is known when the first has gone."""
    inner = branch(helper.make_node("Identity", ["t"], ["made"]))
    nodes = [
        *from_sizes([1, 3], 3).graph.node[:3],
        either("flag", "t", then_branch=THEN, else_branch=ELSE),
        helper.make_node("Shape", ["t"], ["more"]),
        helper.make_node("Gather", ["more", "last"], ["other"]),
        helper.make_node("Greater", ["other", "last"], ["again"]),
        either("again", "y", then_branch=inner, else_branch=ELSE),
    ]
    made = model(nodes, [], last=np.array(1), wanted=np.array(3))
    made.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3]))
    check(made)


def test_a_condition_that_depends_on_data_or_is_damaged_stays() -> None:
    data = [
        helper.make_node("ReduceMax", ["x"], ["m"], keepdims=0),
        helper.make_node("Greater", ["m", "zero"], ["flag"]),
    ]
    bad = [helper.make_node("Nothing", ["x"], ["flag"])]
    for nodes in (data, bad, [helper.make_node("Equal", ["flag", "flag"], ["flag"])]):
        made = model([*nodes, either("flag", "y", then_branch=THEN, else_branch=ELSE)], [], zero=F(0))
        made.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3]))
        with pytest.raises(ModelError, match="operator If"):
            qdqnp.load(made)
