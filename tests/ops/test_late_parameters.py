"""Parameters that are inputs of the graph, or computed: what they decide is settled when a run begins, or runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import qdqnp
from qdqnp.errors import InputError
from tests.ops.case import Case, assert_same, computed, one_node
from tests.ops.test_split import split
from tests.oracles import ort

F = np.float32
X = np.arange(24, dtype=F).reshape(2, 3, 4)
PICTURE = np.arange(32, dtype=F).reshape(1, 2, 4, 4)


def fed(op: str, *arguments: tuple[str, Any] | None, opset: int = 18, output: Any = None, **attributes: Any) -> Case:
    """A case of one node all of whose inputs are graph inputs."""
    given = [None if item is None else (item[0], np.asarray(item[1])) for item in arguments]
    names = [item[0] for item in given if item is not None]
    return one_node(op, given, names, opset=opset, output=output, **attributes)


CASES: Mapping[str, Case] = {
    "Pad": fed("Pad", ("x", X), ("p", [0, 1, 0, 0, 0, 2]), ("v", F(7))),
    "Pad of edge": fed("Pad", ("x", X), ("p", [1, 2]), None, ("a", [2]), mode="edge"),
    "Trilu": fed("Trilu", ("x", X), ("k", -1), opset=14, upper=0),
    "CenterCropPad": fed("CenterCropPad", ("x", X), ("s", [5, 2]), axes=[0, 2]),
    "ReverseSequence": fed("ReverseSequence", ("x", X), ("n", [1, 2, 2]), opset=10),
    "OneHot": fed("OneHot", ("x", [[1, 4], [-1, 0]]), ("d", [5]), ("v", np.array([2, 3.5], F)), opset=11, output=F),
    "Resize by sizes": fed("Resize", ("x", PICTURE), None, None, ("s", [1, 2, 7, 3]), opset=13, mode="linear"),
    "Resize by scales": fed("Resize", ("x", PICTURE), None, ("s", np.array([1, 1, 2, 0.5], F)), opset=13, mode="cubic"),
    "Col2Im": fed("Col2Im", ("x", np.ones((1, 4, 6), F)), ("i", [3, 4]), ("b", [2, 2])),
    "MaxUnpool": fed(
        "MaxUnpool",
        ("x", X[:1]),
        ("i", np.arange(12).reshape(1, 3, 4) * 2),
        ("s", [1, 3, 9]),
        opset=11,
        kernel_shape=[2],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_against_onnxruntime(name: str) -> None:
    case = CASES[name]
    assert_same(computed(case), ort.run(case.model, case.inputs)["y"], "ONNX Runtime", case)


def test_the_parts_of_split_are_an_input() -> None:
    model = split(X, 2, [1, 3], axis=2)
    model.graph.input.add().CopyFrom(helper.make_tensor_value_info(model.graph.initializer[0].name, 7, [2]))
    sizes = numpy_helper.to_array(model.graph.initializer[0])
    name = model.graph.initializer[0].name
    del model.graph.initializer[:]
    found = qdqnp.load(model).run({"x": X, name: sizes})
    wanted = ort.run(model, {"x": X, name: sizes})
    for output, array in wanted.items():
        assert found[output].tolist() == array.tolist()
    with pytest.raises(InputError, match="parts of 4 elements"):
        qdqnp.load(model).run({"x": X, name: np.array([1, 2])})


def test_what_does_not_fit_is_refused_when_it_is_known() -> None:
    with pytest.raises(InputError, match="at most 2 elements to add"):
        case = CASES["Pad of edge"]
        reflect = fed("Pad", ("x", X), ("p", [3, 0]), None, ("a", [1]), mode="reflect")
        assert computed(case).shape == (2, 3, 7)
        computed(reflect)
    with pytest.raises(InputError, match="output_shape of at least"):
        case = CASES["MaxUnpool"]
        qdqnp.load(case.model).run({**case.inputs, "s": np.array([1, 3, 2])})


def test_a_computed_constant_of_pad() -> None:
    """It depends on data, and is read when the step runs."""
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["v"], "max", keepdims=0),
        helper.make_node("Pad", ["x", "p", "v"], ["y"], "pad"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.array([1, 2]), "p")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    x = np.array([1, 5, 2], F)
    for profile in ("ort", "ort-unfused"):
        assert qdqnp.load(model).run(x, profile=profile)["y"].tolist() == [5, 1, 5, 2, 5, 5]
