"""Inlining of model-local functions."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import AttributeProto, helper

from qdqnp.graph import Graph
from qdqnp.reader import functions, read
from tests.reader.builders import function, info, model, node, refer, refused_once, tensor

LOCAL = {"": 17, "local": 1}


def call(op: str, inputs: list[str], outputs: list[str], **attributes: Any) -> onnx.NodeProto:
    return node(op, inputs, outputs, domain="local", **attributes)


def canonical(graph: Graph) -> list[Any]:
    """A graph with its tensors numbered by first use: equal for graphs that differ in inner names only."""
    numbers: dict[str, Any] = {name: name for name in (*graph.inputs, *graph.outputs, "")}
    result: list[Any] = []
    for item in graph.nodes:
        for name in (*item.inputs, *item.outputs):
            const = graph.constant(name)
            numbers.setdefault(name, len(numbers) if const is None else const.tolist())
        names = [[numbers[name] for name in part] for part in (item.inputs, item.outputs)]
        types = [(str(graph.values[name].dtype), graph.values[name].shape) for name in item.outputs]
        result.append((item.op, item.domain, names, dict(item.attributes), types))
    return result


def leaky(parameter: str = "slope") -> onnx.NodeProto:
    return refer(node("LeakyRelu", ["i"], ["o"]), "alpha", AttributeProto.FLOAT, parameter)


def test_nested_functions_are_the_same_graph_as_by_hand() -> None:
    inner = function("Inner", ["i"], ["o"], [leaky()], ["slope"])
    forward = refer(call("Inner", ["t"], ["u"]), "slope", AttributeProto.FLOAT, "a")
    outer = function(
        "Outer",
        ["p", "w"],
        ["q"],
        [
            node("Add", ["p", "w"], ["t"]),
            forward,
            node("Constant", [], ["c"], value_float=2.0),
            node("Mul", ["u", "c"], ["q"]),
        ],
        ["a"],
    )
    weights = [tensor("w", [1, 2, 3])]
    made = model(
        [call("Outer", ["x", "w"], ["h"], a=0.25, name="one"), call("Outer", ["h", "w"], ["y"], a=0.5, name="two")],
        initializers=weights,
        functions=[inner, outer],
        opsets=LOCAL,
    )
    two = node("Constant", [], ["two"], value_float=2.0)
    by_hand = model(
        [
            two,
            node("Add", ["x", "w"], ["a"]),
            node("LeakyRelu", ["a"], ["b"], alpha=0.25),
            node("Mul", ["b", "two"], ["h"]),
            node("Add", ["h", "w"], ["c"]),
            node("LeakyRelu", ["c"], ["d"], alpha=0.5),
            node("Mul", ["d", "two"], ["y"]),
        ],
        initializers=weights,
    )
    graph = read(made)
    assert canonical(graph) == canonical(read(by_hand))
    assert [n.outputs[0] for n in graph.nodes] == ["one/t", "one/u", "h", "two/t", "two/u", "y"]


def test_default_and_absent_attributes() -> None:
    default = helper.make_attribute("slope", 0.75)
    with_default = function("F", ["i"], ["o"], [leaky()], defaults=[default])
    without = function("G", ["i"], ["o"], [leaky()], ["slope"])
    made = model(
        [call("F", ["x"], ["a"]), call("F", ["a"], ["b"], slope=0.5), call("G", ["b"], ["y"])],
        functions=[with_default, without],
        opsets=LOCAL,
    )
    assert [dict(n.attributes) for n in read(made).nodes] == [{"alpha": 0.75}, {"alpha": 0.5}, {}]


def test_made_names_avoid_those_of_the_file() -> None:
    f = function("F", ["i"], ["o"], [node("Relu", ["i"], ["t"]), node("Relu", ["t"], ["o"])])
    made = model(
        [node("Relu", ["x"], ["F/t"]), call("F", ["F/t"], ["b"]), call("F", ["b"], ["y"])], functions=[f], opsets=LOCAL
    )
    assert [n.outputs[0] for n in read(made).nodes] == ["F/t", "F/t_1", "b", "F/t_2", "y"]


def test_absent_inputs_and_outputs() -> None:
    f = function(
        "F",
        ["i", "low", "high"],
        ["o", "other"],
        [node("Clip", ["i", "low", "high"], ["o"]), node("Relu", ["i"], ["other"])],
    )
    made = model([call("F", ["x", "", "h"], ["y"])], initializers=[tensor("h", 6)], functions=[f], opsets=LOCAL)
    clip, other = read(made).nodes
    assert clip.inputs == ("x", "", "h") and other.outputs == ("F/other",)


def test_output_that_is_an_input() -> None:
    made = model([call("F", ["x"], ["y"])], functions=[function("F", ["i"], ["i"], [])], opsets=LOCAL)
    (identity,) = read(made).nodes
    assert (identity.op, identity.inputs, identity.outputs) == ("Identity", ("x",), ("y",))


def test_quantization_inside_a_function() -> None:
    body = [node("QuantizeLinear", ["i", "s", "z"], ["q"]), node("DequantizeLinear", ["q", "s", "z"], ["o"])]
    made = model(
        [call("F", ["x", "s", "z"], ["y"])],
        functions=[function("F", ["i", "s", "z"], ["o"], body)],
        initializers=[tensor("s", 0.1), tensor("z", 0, np.int8)],
        opsets=LOCAL,
    )
    assert read(made).values["F/q"].dtype == np.int8


@pytest.mark.parametrize(("domain", "op"), [("", "Relu"), ("ai.onnx", "Neg"), ("com.microsoft", "QLinearSigmoid")])
def test_operators_win_over_functions_of_their_name(domain: str, op: str) -> None:
    """As in ONNX Runtime, which looks for a function only where it has no operator."""
    made = function(op, ["i"], ["o"], [node("Identity", ["i"], ["o"])])
    made.domain = domain
    caller = node(op, ["x"], ["y"], name="n", domain=domain)
    both = model([caller], functions=[made], opsets={"": 17, "com.microsoft": 1})
    if domain == "com.microsoft":
        refused_once(both, "node n, inputs")
    else:
        assert [item.op for item in read(both).nodes] == [op]


def test_recursion() -> None:
    f = function("F", ["i"], ["o"], [call("G", ["i"], ["o"])])
    g = function("G", ["i"], ["o"], [call("F", ["i"], ["o"])])
    made = model([call("F", ["x"], ["a"]), call("F", ["a"], ["y"])], functions=[f, g], opsets=LOCAL)
    refused_once(made, "function local.F", "no recursion", "local.F -> local.G -> local.F")


def chain(depth: int, width: int = 1) -> onnx.ModelProto:
    """Functions that call each other, `width` times on each of `depth` levels."""
    made = [function("F0", ["i"], ["o"], [node("Relu", ["i"], ["o"])])]
    for level in range(1, depth):
        names = ["i", *(f"t{k}" for k in range(width - 1)), "o"]
        calls = [call(f"F{level - 1}", [a], [b]) for a, b in pairwise(names)]
        made.append(function(f"F{level}", ["i"], ["o"], calls))
    return model([call(f"F{depth - 1}", ["x"], ["y"])], functions=made, opsets=LOCAL)


def test_depth() -> None:
    assert len(read(chain(32)).nodes) == 1
    refused_once(chain(33), "at most 32 functions inside each other")


def test_functions_that_multiply(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(functions, "MAX_NODE_PARTS", 10_000)
    refused_once(chain(30, width=10), "at most 10000 nodes", "after model-local functions are inlined")


def test_empty_functions_that_multiply(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(functions, "MAX_NODE_PARTS", 10_000)
    made = chain(30, width=10)
    del made.functions[0].node[:]
    made.functions[0].output[0] = "i"
    refused_once(made, "at most 10000 nodes")


def test_made_names_stay_short() -> None:
    made = chain(30)
    for item in made.functions:
        for inner in item.node:
            inner.name = "n" * 1000
    assert all(len(n.label) <= 400 for n in read(made).nodes)


@pytest.mark.parametrize(
    ("wrong", "fragments"),
    [
        (call("F", ["x", "x"], ["y"]), ["at most 1 inputs", "got 2"]),
        (call("F", ["x"], ["y", "z"]), ["at most 1 outputs", "got 2"]),
        (call("F", ["x"], ["y"], gain=1.0), ["attributes among ['slope']", "gain"]),
        (call("F", ["x"], ["y"], slope=1), ["attribute 'alpha'", "FLOAT", "INT from the call's 'slope'"]),
    ],
)
def test_wrong_calls(wrong: onnx.NodeProto, fragments: list[str]) -> None:
    f = function("F", ["i"], ["o"], [leaky()], ["slope"])
    refused_once(model([wrong], functions=[f], opsets=LOCAL), *fragments)


def test_reference_to_no_attribute() -> None:
    f = function("F", ["i"], ["o"], [leaky("other")], ["slope"])
    refused_once(model([call("F", ["x"], ["y"])], functions=[f], opsets=LOCAL), "a reference to 'other'")


def test_other_opset() -> None:
    f = function("F", ["i"], ["o"], [node("Relu", ["i"], ["o"])], opsets={"": 13})
    made = model([call("F", ["x"], ["y"])], functions=[f], opsets=LOCAL)
    refused_once(made, "function 'F', opset of ai.onnx", "17, as the model", "got 13")


def test_duplicate_function() -> None:
    f = function("F", ["i"], ["o"], [node("Relu", ["i"], ["o"])])
    refused_once(model([call("F", ["x"], ["y"])], functions=[f, f], opsets=LOCAL), "each function once")


def test_names_of_the_graph_are_not_seen_inside() -> None:
    f = function("F", ["i"], ["o"], [node("Add", ["i", "w"], ["o"], name="add")])
    made = model(
        [call("F", ["x"], ["y"], name="c")], [info("x")], initializers=[tensor("w", [1.0])], functions=[f], opsets=LOCAL
    )
    refused_once(made, "node c/add, input 1", "'c/w', which nothing makes")


def test_problems_of_a_body_are_told_once() -> None:
    f = function("F", ["i"], ["o"], [node("Relu", ["i"], ["o"], name="n")])
    f.node[0].attribute.append(AttributeProto(name="bad"))
    made = model([call("F", ["x"], ["a"]), call("F", ["a"], ["y"])], functions=[f], opsets=LOCAL)
    refused_once(made, "function 'F', node n (Relu), attribute 'bad'")


def test_unused_functions_are_not_read() -> None:
    f = function("F", ["i"], ["o"], [node("Nonsense", ["i"], ["o"])], opsets={"": 3})
    assert len(read(model([node("Relu", ["x"], ["y"])], functions=[f])).nodes) == 1


def test_unsupported_operators_inside() -> None:
    f = function("F", ["i"], ["o"], [node("HannWindow", ["i"], ["o"], name="erf")])
    made = model([call("F", ["x"], ["y"], name="c")], functions=[f], opsets=LOCAL)
    refused_once(made, "operator HannWindow", "1 node: c/erf")


def test_control_flow_inside() -> None:
    inner = model([node("Relu", ["i"], ["o"])], [info("i")], [info("o")]).graph
    f = function("F", ["i"], ["o"], [node("If", ["i"], ["o"], name="if", then_branch=inner, else_branch=inner)])
    calls = [call("F", ["x"], ["a"], name="c"), call("F", ["a"], ["y"], name="d")]
    refused_once(model(calls, functions=[f], opsets=LOCAL), "operator If", "2 nodes: c/if, d/if")
