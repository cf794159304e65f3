"""Names, order, and what the graph declares about its inputs and outputs."""

from __future__ import annotations

from itertools import pairwise

import onnx
import pytest
from onnx import TensorProto, helper

from qdqnp.reader import read
from tests.reader.builders import info, model, node, refused, refused_once, relu, tensor


def test_cycle_names_its_nodes() -> None:
    made = model(
        [
            node("Add", ["x", "c"], ["a"], name="first"),
            node("Relu", ["a"], ["b"], name="second"),
            node("Relu", ["b"], ["c"], name="third"),
            node("Relu", ["c"], ["y"], name="behind"),
        ]
    )
    error = refused_once(made, "the graph", "no cycle", "first, second, third")
    assert "behind" not in str(error)


def test_node_that_reads_itself() -> None:
    refused_once(model([node("Add", ["x", "y"], ["y"], name="self")]), "no cycle", "self")


def test_unsorted_nodes_are_sorted() -> None:
    made = model([node("Relu", ["b"], ["y"]), node("Relu", ["a"], ["b"]), node("Relu", ["x"], ["a"])])
    assert [n.outputs[0] for n in read(made).nodes] == ["a", "b", "y"]


def test_long_unsorted_chain() -> None:
    names = ["x", *(f"t{i}" for i in range(3000)), "y"]
    chain = [node("Relu", [a], [b]) for a, b in pairwise(names)]
    assert [n.outputs[0] for n in read(model(chain[::-1])).nodes] == names[1:]


def test_dangling_input() -> None:
    made = model([node("Add", ["x", "gone"], ["y"], name="add")])
    refused_once(made, "node add, input 1", "'gone', which nothing makes")


def test_missing_initializer() -> None:
    made = model([node("Add", ["x", "w"], ["y"])], initializers=[tensor("v", [1.0])])
    refused_once(made, "'w', which nothing makes")


def test_output_that_nothing_makes() -> None:
    refused_once(model([node("Relu", ["x"], ["z"])]), "graph output 'y'", "a name that nothing makes")


def test_no_outputs() -> None:
    refused_once(model([node("Relu", ["x"], ["z"])], outputs=[]), "at least one output")


@pytest.mark.parametrize(
    ("made", "origins"),
    [
        (model([node("Relu", ["x"], ["y"], name="a"), node("Relu", ["x"], ["y"], name="b")]), "node a and node b"),
        (model([node("Relu", ["x"], ["x"], name="a"), node("Relu", ["x"], ["y"])]), "graph input 0 and node a"),
        (
            model(
                [node("Add", ["x", "w"], ["y"]), node("Relu", ["x"], ["w"], name="a")],
                initializers=[tensor("w", [1.0])],
            ),
            "an initializer and node a",
        ),
        (
            model([node("Add", ["x", "w"], ["y"])], initializers=[tensor("w", [1.0])] * 2),
            "an initializer and an initializer",
        ),
        (model([node("Relu", ["x"], ["y"])], [info("x"), info("x")]), "graph input 0 and graph input 1"),
    ],
)
def test_duplicate_names(made: onnx.ModelProto, origins: str) -> None:
    refused_once(made, "one origin", origins, "must be unique")


def test_one_node_with_duplicate_outputs() -> None:
    refused(model([node("Relu", ["x"], ["y", "y"], name="p")]), "one origin", "node p and node p")


def test_duplicate_output() -> None:
    refused_once(model([node("Relu", ["x"], ["y"])], outputs=[info("y")] * 2), "two graph outputs of this name")


def test_empty_names() -> None:
    refused(model([node("Relu", ["x"], ["y"])], [info("x"), info("")]), "a graph input", "an empty one")
    refused(model([node("Relu", ["x"], ["y"])], outputs=[info("y"), info("")]), "a graph output", "an empty one")
    refused(model([node("Relu", ["x"], ["y"])], initializers=[tensor("", [1])]), "an initializer", "an empty one")
    refused(model([node("", ["x"], ["y"])]), "an operator name (op_type)")
    refused(model([node("Relu", ["x"], [""], name="n"), node("Relu", ["x"], ["y"])]), "node n", "at least one output")


def test_long_names() -> None:
    error = refused(model([node("Relu", ["x"], ["a" * 10000]), node("Relu", ["a" * 10000], ["y"])]))
    assert "at most 4096 characters" in str(error) and len(str(error)) < 5000


def test_node_names_are_labels_only() -> None:
    made = model([node("Relu", ["x"], ["a"], name="n"), node("Relu", ["a"], ["y"], name="n")])
    assert [n.name for n in read(made).nodes] == ["n", "n"]


@pytest.mark.parametrize("ir_version", [3, 10])
def test_input_that_is_an_initializer_is_a_constant(ir_version: int) -> None:
    made = model(
        [node("Add", ["x", "w"], ["y"])],
        [info("x"), info("w", [3])],
        initializers=[tensor("w", [1, 2, 3])],
        ir_version=ir_version,
    )
    graph = read(made)
    assert graph.inputs == ("x",) and graph.constant("w") is not None


def test_initializer_that_contradicts_its_input() -> None:
    made = model([node("Add", ["x", "w"], ["y"])], [info("x"), info("w", [4])], initializers=[tensor("w", [1, 2, 3])])
    refused_once(made, "graph input 'w'", "float32 [3]", "float [4] declared")


def test_dynamic_dims() -> None:
    made = model([node("Relu", ["x"], ["y"])], [info("x", ["N", None, 3])], [info("y", ["N", None, 3])])
    graph = read(made)
    assert graph.values["x"].shape == ("N", None, 3) == graph.values["y"].shape


def test_inputs_that_are_no_tensor() -> None:
    made = relu()
    made.graph.input[0].CopyFrom(
        helper.make_tensor_sequence_value_info("x", TensorProto.FLOAT, None)  # type: ignore[arg-type]
    )
    refused_once(made, "graph input 'x'", "a tensor", "of type sequence")


def test_output_that_is_no_tensor() -> None:
    made = relu()
    made.graph.output[0].CopyFrom(
        helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, None)  # type: ignore[arg-type]
    )
    refused_once(made, "graph output 'y'", "a tensor", "of type sequence")


def test_incomplete_inputs() -> None:
    refused_once(model([node("Relu", ["x"], ["y"])], [onnx.ValueInfoProto(name="x")]), "graph input 'x'", "no type")
    refused_once(model([node("Relu", ["x"], ["y"])], [info("x", None)]), "graph input 'x'", "no shape")
    text = info("x", [1], TensorProto.STRING)
    refused_once(model([node("Relu", ["x"], ["y"])], [text]), "one of the element types", "STRING")


def test_output_without_a_type() -> None:
    assert read(model([node("Relu", ["x"], ["y"])], outputs=[onnx.ValueInfoProto(name="y")])).outputs == ("y",)


def test_input_and_constant_as_outputs() -> None:
    made = relu()
    made.graph.initializer.append(tensor("w", [1.0]))
    made.graph.output.extend([info("x"), info("w", [1])])
    assert read(made).outputs == ("y", "x", "w")


def test_graph_is_immutable() -> None:
    graph = read(relu())
    with pytest.raises(TypeError):
        graph.values["z"] = graph.values["x"]  # type: ignore[index]
