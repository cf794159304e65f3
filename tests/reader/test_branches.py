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
