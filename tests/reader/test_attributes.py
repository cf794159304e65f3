"""Attribute values, and Constant nodes."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import AttributeProto, TensorProto

from qdqnp.reader import read
from tests.reader.builders import info, model, node, refused, refused_once, relu, tensor


def with_attribute(**fields: Any) -> onnx.ModelProto:
    made = model([node("LeakyRelu", ["x"], ["y"], name="leaky")])
    made.graph.node[0].attribute.append(AttributeProto(**fields))
    return made


def test_float_is_the_float32() -> None:
    graph = read(with_attribute(name="alpha", type=AttributeProto.FLOAT, f=0.1))
    assert graph.nodes[0].attributes["alpha"] == float(np.float32(0.1))


def test_numbers_and_text() -> None:
    made = model(
        [node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2], auto_pad="SAME_UPPER", ceil_mode=0)],
        [info("x", [1, 1, 4, 4])],
        [info("y", [1, 1, 4, 4])],
    )
    attributes = read(made).nodes[0].attributes
    assert attributes == {"kernel_shape": (2, 2), "auto_pad": "SAME_UPPER", "ceil_mode": 0}


def test_duplicate_attribute() -> None:
    made = with_attribute(name="alpha", type=AttributeProto.FLOAT, f=0.1)
    made.graph.node[0].attribute.append(made.graph.node[0].attribute[0])
    refused_once(made, "node leaky (LeakyRelu), attribute 'alpha'", "two attributes of this name")


def test_undefined_type() -> None:
    refused_once(with_attribute(name="alpha", f=0.1), "attribute 'alpha'", "attribute type UNDEFINED")


def test_no_name() -> None:
    refused_once(with_attribute(type=AttributeProto.INT, i=1), "a name", "an empty one")


def test_text_that_is_not_utf8() -> None:
    refused_once(with_attribute(name="mode", type=AttributeProto.STRING, s=b"\xff"), "attribute 'mode'", "UTF-8")


def test_long_text() -> None:
    made = with_attribute(name="mode", type=AttributeProto.STRING, s=b"a" * 5000)
    refused_once(made, "at most 4096 characters", "5000 characters")


def test_other_types() -> None:
    refused_once(with_attribute(name="t", type=AttributeProto.SPARSE_TENSOR), "SPARSE_TENSOR")
    refused_once(with_attribute(name="t", type=AttributeProto.TYPE_PROTO), "TYPE_PROTO")


def test_subgraph_is_the_only_problem_of_its_node() -> None:
    body = relu().graph
    made = model([node("If", ["c"], ["y"], then_branch=body, name="branch")], [info("c", [], TensorProto.BOOL)])
    refused_once(made, "operator If: expected one that qdqnp has, got 1 node: branch\n", "without branches and loops")
    made = relu()
    made.graph.node[0].attribute.append(onnx.helper.make_attribute("body", body))
    refused_once(made, "(Relu), attribute 'body'", "a subgraph", "no control flow (If, Loop, Scan)")


def test_reference_outside_a_function() -> None:
    made = with_attribute(name="alpha", type=AttributeProto.FLOAT, ref_attr_name="a")
    refused_once(made, "attribute 'alpha'", "a reference to an attribute of the function", "'a'")


def test_tensor_attribute_with_wrong_data() -> None:
    bad = tensor("", [1.0, 2.0])
    bad.raw_data = b"123"
    made = model([node("Constant", [], ["c"], value=bad, name="const"), node("Add", ["x", "c"], ["y"])])
    refused_once(made, "node const (Constant), attribute 'value'", "8 bytes for float32 [2]", "got 3 bytes")


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"value": tensor("", [[1, 2]])}, np.array([[1, 2]], np.float32)),
        ({"value_float": 0.5}, np.float32(0.5)),
        ({"value_floats": [1.0, 2.0]}, np.array([1, 2], np.float32)),
        ({"value_int": 3}, np.int64(3)),
        ({"value_ints": [3, 4]}, np.array([3, 4], np.int64)),
    ],
)
def test_constant_nodes(attributes: dict[str, Any], expected: Any) -> None:
    graph = read(model([node("Constant", [], ["c"], **attributes), node("Relu", ["x"], ["y"])]))
    const = graph.constant("c")
    assert [n.op for n in graph.nodes] == ["Relu"]
    assert const is not None and const.dtype == expected.dtype and const.shape == expected.shape
    assert np.array_equal(const, expected) and not const.flags.writeable


@pytest.mark.parametrize(
    ("attributes", "got"),
    [
        ({}, "none"),
        ({"value_string": "a"}, "value_string"),
        ({"value_int": 1, "value_float": 1.0}, "value_float"),
        ({"value_int": 1.5}, "FLOAT"),
        ({"value_ints": [1.5]}, "FLOATS"),
    ],
)
def test_wrong_constant_nodes(attributes: dict[str, Any], got: str) -> None:
    made = model([node("Constant", [], ["c"], name="k", **attributes), node("Add", ["x", "c"], ["y"])])
    refused_once(made, "node k", got)


def test_constant_defined_twice() -> None:
    made = model(
        [node("Constant", [], ["c"], value_int=1), node("Constant", [], ["c"], value_int=2), node("Relu", ["x"], ["y"])]
    )
    refused(made, "tensor 'c'", "one origin")
