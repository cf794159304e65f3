"""Files that mean harm, beyond what the tests of each stage of reading have: sizes that multiply, and their limits."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import AttributeProto, TensorProto, helper

from qdqnp import limits
from qdqnp.errors import MAX_KEPT, MAX_LISTED, Problems, QdqnpError
from qdqnp.reader import read
from tests.reader.builders import function, info, model, node, refer, refused, refused_once, relu, tensor
from tests.reader.test_external import outside, saved

LOCAL = {"": 17, "local": 1}


def chain(count: int, op: str = "Identity") -> list[onnx.NodeProto]:
    names = ["x", *(f"t{index}" for index in range(count - 1)), "y"]
    return [node(op, [names[index]], [names[index + 1]]) for index in range(count)]


# -- control flow and nesting --------------------------------------------------------------------------------------
@pytest.mark.parametrize("op", ["If", "Loop", "Scan"])
def test_control_flow(op: str) -> None:
    made = node(op, ["x"], ["y"], name="flow", body=relu().graph)
    refused_once(model([made]), f"operator {op}", "1 node: flow", "without branches and loops")


def test_a_subgraph_in_the_call_of_a_function() -> None:
    f = function("F", ["i"], ["o"], [node("Relu", ["i"], ["o"])], attributes=["body"])
    call = node("F", ["x"], ["y"], name="call", domain="local", body=relu().graph)
    refused_once(
        model([call], functions=[f], opsets={"": 17, "local": 1}), "node call", "a subgraph", "no control flow"
    )


@pytest.mark.parametrize("kind", [AttributeProto.GRAPHS, AttributeProto.SPARSE_TENSOR, AttributeProto.TYPE_PROTO])
def test_other_attribute_types(kind: int) -> None:
    made = relu()
    made.graph.node[0].attribute.append(AttributeProto(name="a", type=kind))  # type: ignore[arg-type]
    refused(made, "attribute 'a'")


def nested(levels: int) -> bytes:
    """Bytes of a graph in an attribute of a node of a graph, and so on. Protobuf itself refuses to write deep ones."""
    data = b""
    for _ in range(levels):
        for tag in (0x32, 0x2A, 0x0A):  # AttributeProto.g, NodeProto.attribute, GraphProto.node
            length, size = bytearray(), len(data)
            while size > 127:
                length.append(size & 127 | 128)
                size >>= 7
            length.append(size)
            data = bytes([tag]) + bytes(length) + data
    made = relu()
    made.graph.ClearField("node")
    inner = made.graph.SerializeToString() + data
    made.ClearField("graph")
    length, size = bytearray(), len(inner)
    while size > 127:
        length.append(size & 127 | 128)
        size >>= 7
    length.append(size)
    return made.SerializeToString() + b"\x3a" + bytes(length) + inner


@pytest.mark.parametrize("levels", [1, 10, 40, 1000, 20000])
def test_deeply_nested_protobuf(levels: int) -> None:
    refused(nested(levels))


def test_groups_that_never_end() -> None:
    refused(relu().SerializeToString() + b"\x0b" * 100_000, "bytes that protobuf cannot parse")


# -- what multiplies -----------------------------------------------------------------------------------------------
def test_a_million_nodes_are_refused_before_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    made = relu()
    made.graph.node.extend([onnx.NodeProto()] * (limits.MAX_ENTRIES + 1))
    monkeypatch.setattr("qdqnp.reader.assemble.read_call", None)
    refused_once(made, f"at most {limits.MAX_ENTRIES} nodes")


@pytest.mark.parametrize("part", ["initializer", "input", "output", "value_info", "sparse_initializer"])
def test_other_entries_count_too(part: str) -> None:
    made = relu()
    for _ in range(limits.MAX_ENTRIES):
        getattr(made.graph, part).add()
    refused_once(made, f"at most {limits.MAX_ENTRIES} nodes")


def test_nodes_of_functions_count_too() -> None:
    made = relu()
    made.functions.add().node.extend([onnx.NodeProto()] * limits.MAX_ENTRIES)
    refused_once(made, f"at most {limits.MAX_ENTRIES} nodes")


@pytest.mark.parametrize("part", ["input", "output", "attribute"])
def test_parts_of_nodes_count_too(part: str) -> None:
    made = relu()
    getattr(made.graph.node[0], part).extend([AttributeProto() if part == "attribute" else ""] * limits.MAX_ENTRIES)
    refused_once(made, f"at most {limits.MAX_ENTRIES} nodes, their inputs, outputs and attributes")


def test_as_many_nodes_as_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qdqnp.reader.functions.MAX_NODE_PARTS", 6 * 100)
    assert len(read(model(chain(100))).nodes) == 100
    refused_once(model(chain(101)), "at most 600 nodes")


def test_a_node_with_very_many_inputs() -> None:
    """Passes may replace a node once for each input."""
    made = node("Concat", ["x"] * 5000, ["y"], axis=0)
    refused_once(model([made], outputs=[info("y", None)]), "nodes, inputs, outputs and attributes")
    assert read(model([node("Concat", ["x"] * 1000, ["y"], axis=0)], outputs=[info("y", None)])).nodes


def test_a_long_attribute_counts_wherever_it_is_referred_to() -> None:
    """One default value of a function, read by every node of every call."""
    inner = [refer(node("ReduceMean", ["i"], ["o"]), "axes", AttributeProto.INTS, "axes")]
    long = helper.make_attribute("axes", [0] * 10_000)
    made = function("F", ["i"], ["o"], inner, defaults=[long])
    calls = [node("F", ["x"], [f"y{index}"], domain="local") for index in range(50)]
    refused(model(calls, outputs=[info("y0", None)], functions=[made], opsets=LOCAL), "at most 250000 nodes")


def test_constants_that_are_used_far_too_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qdqnp.reader.check.CONSTANT_USE", 0)
    monkeypatch.setattr("qdqnp.reader.check.CONSTANT_USE_PER_BYTE", 3)
    weights = tensor("w", np.ones((2, 3)))

    def uses(count: int) -> onnx.ModelProto:
        nodes = [node("Add", ["x", "w"], [f"y{index}"]) for index in range(count)]
        return model(nodes, outputs=[info("y0")], initializers=[weights])

    assert read(uses(3)).nodes
    refused_once(uses(5), "constants that are used a few times each", "far more uses")


def test_constants_that_grow_when_folded() -> None:
    """Each Concat doubles a constant; what runs is decided later, but folding would happen at once."""
    names = ["w", *(f"c{index}" for index in range(40))]
    nodes = [node("Concat", [a, a], [b], axis=0) for a, b in pairwise(names)]
    made = model([*nodes, node("Add", ["x", "x"], ["y"])], initializers=[tensor("w", np.ones(1000))])
    refused(made, "constants that are used a few times each")


def test_booleans_share_the_bytes_of_their_file(tmp_path: Path) -> None:
    """A region that two tensors share is held once, or a small file could fill the memory."""
    (tmp_path / "w.bin").write_bytes(bytes(3))
    weights = []
    for name in ("w", "v"):
        proto_ = outside(name, location="w.bin")
        proto_.data_type = TensorProto.BOOL
        weights.append(proto_)
    path = tmp_path / "m.onnx"
    path.write_bytes(model([node("Relu", ["x"], ["y"])], initializers=weights).SerializeToString())
    graph = read(path)
    one, other = graph.constant("w"), graph.constant("v")
    assert one is not None and other is not None and one.dtype == np.bool_ and np.shares_memory(one, other)


# -- shapes and attributes -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("dim", [2**62, 2**63 - 1, 2**40])
def test_huge_declared_sizes(dim: int) -> None:
    refused(model([node("Relu", ["x"], ["y"])], [info("x", (dim, 2))], [info("y", None)]), "at most 4.0 GiB")
    refused(model([node("Relu", ["x"], ["y"])], [info("x", (0, dim, dim))], [info("y", None)]), "at most 4.0 GiB")


def test_negative_sizes() -> None:
    """Exporters write -1 for a size that varies, and ONNX Runtime takes every negative one so."""
    for size in (-1, -(2**62)):
        made = read(model([node("Relu", ["x"], ["y"])], [info("x", (size, 2))], [info("y", (size, 2))]))
        assert made.values["x"].shape == made.values["y"].shape == (None, 2)


@pytest.mark.parametrize("value", [2**63 - 1, -(2**63), 2**31, -1, 0])
@pytest.mark.parametrize("name", ["strides", "dilations", "kernel_shape"])
def test_window_attributes_out_of_range(name: str, value: int) -> None:
    given = {"kernel_shape": [1, 1], name: [value, value]}
    made = node("MaxPool", ["x"], ["y"], **given)
    refused_once(model([made], [info("x", (1, 1, 4, 4))], [info("y", None)]), f"attribute '{name}'")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("op", ["LeakyRelu", "Gemm"])
def test_float_attributes_are_finite(op: str, value: float) -> None:
    made = node(op, ["x"] if op == "LeakyRelu" else ["x", "w"], ["y"], alpha=value)
    refused_once(model([made], initializers=[tensor("w", np.eye(3))]), "attribute 'alpha'", "a finite number")


@pytest.mark.parametrize("value", [1.5, "text", [1.0, 2.0], [1, 2], np.float32(1)])
def test_attributes_of_another_type(value: Any) -> None:
    refused_once(model([node("Softmax", ["x"], ["y"], axis=value)]), "attribute 'axis'")


def test_text_where_a_tensor_is_due() -> None:
    made = model([node("Add", ["x", "w"], ["y"])])
    made.graph.initializer.add(name="w", data_type=TensorProto.STRING, dims=[1], string_data=[b"text"])
    refused(made, "initializer 'w'", "STRING")
    made = model([node("Constant", [], ["w"], value_string="text"), node("Add", ["x", "w"], ["y"])])
    refused(made, "Constant")


@pytest.mark.parametrize("scale", [1e-45, 1e-39, 3.4e38])
def test_scales_at_the_ends_of_float32_are_scales(scale: float) -> None:
    made = model(
        [node("QuantizeLinear", ["x", "s", "z"], ["q"]), node("DequantizeLinear", ["q", "s", "z"], ["y"])],
        initializers=[tensor("s", scale), tensor("z", 0, np.int8)],
    )
    assert read(made).nodes


# -- external data -------------------------------------------------------------------------------------------------
@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "w.bin").write_bytes(bytes(12))
    return tmp_path / "model"


def test_a_link_to_a_device(folder: Path) -> None:
    (folder / "zero").symlink_to("/dev/zero")
    refused_once(saved(folder, outside(location="zero")), "symbolic link that leaves it")


def test_a_folder_swapped_for_a_link_in_the_middle_of_a_path(folder: Path) -> None:
    (folder.parent / "other").mkdir()
    (folder.parent / "other" / "w.bin").write_bytes(bytes(12))
    (folder / "sub").symlink_to(folder.parent / "other")
    refused_once(saved(folder, outside(location="sub/w.bin")), "symbolic link that leaves it")


def test_a_hard_link_is_a_file_of_the_folder(folder: Path) -> None:
    """Who can make one may read the file anyway; the promise is about paths that a model states."""
    os.link(folder / "w.bin", folder / "hard.bin")
    assert read(saved(folder, outside(location="hard.bin"))).constant("w") is not None


def test_the_model_file_itself_as_data(folder: Path) -> None:
    path = saved(folder, outside(location="m.onnx"))
    assert read(path).constant("w") is not None  # inside the folder, and long enough: odd, not harmful


@pytest.mark.parametrize(
    "location", ["w.bin/", "./w.bin", "w.bin/.", "sub/../w.bin", "~/w.bin", "%2e%2e/w.bin", "a" * 5000]
)
def test_odd_locations(folder: Path, location: str) -> None:
    path = saved(folder, outside(location=location))
    try:
        assert read(path).constant("w") is not None
    except QdqnpError as error:
        assert "initializer 'w', external data" in str(error)  # either way is right, and nothing else


# -- messages ------------------------------------------------------------------------------------------------------
def test_problems_do_not_pile_up() -> None:
    problems = Problems()
    for index in range(MAX_KEPT + 50):
        problems.add("w" * 10_000, "e" * 10_000, "g" * 10_000)
        assert problems.count == index + 1
    assert len(problems.found) == MAX_KEPT
    with pytest.raises(QdqnpError) as caught:
        problems.raise_if_any("title")
    assert len(caught.value.problems) == MAX_LISTED + 1
    assert str(caught.value).endswith(f"... and {MAX_KEPT + 50 - MAX_LISTED} more")
    assert len(str(caught.value)) < 200_000


def test_messages_about_a_hostile_file_stay_short() -> None:
    name = "n" * 4000
    nodes = [node("QuantizeLinear", ["x", "s"], [f"{name}{index}"], name=name) for index in range(2000)]
    made = model(nodes, outputs=[info(f"{name}0", None)], initializers=[tensor("s", -1.0)])
    assert len(str(refused(made, "a finite scale > 0"))) < 200_000
