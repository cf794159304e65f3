"""Operators, opsets, types and shapes."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto

import qdqnp
from qdqnp.reader import read
from tests.reader.builders import OPSET, function, info, model, node, quantized, refused, refused_once, relu, tensor


def test_types_are_inferred() -> None:
    graph = read(quantized())
    assert graph.values["q"].dtype == np.int8 and graph.values["q"].shape == (2, 3)
    assert graph.values["y"].dtype == np.float32


@pytest.mark.parametrize("scale", [0.0, -0.1, np.nan, np.inf, -np.inf])
def test_scales(scale: float) -> None:
    made = quantized(scale)
    error = refused(made, "node Q", "(scale) 's'", "a finite scale > 0")
    assert "node DQ" not in str(error)  # what reads the output of a refused node is passed over


def test_scale_of_one_channel() -> None:
    made = quantized([0.1, 0.0, 0.2], [0, 0, 0])
    for item in made.graph.node:
        item.attribute.append(onnx.helper.make_attribute("axis", 1))
    refused_once(made, "index 1", "a finite scale > 0", "got 0.0")


def test_zero_point_of_another_dtype() -> None:
    made = quantized()
    made.graph.initializer.append(tensor("u", 0, np.uint8))
    made.graph.node[1].input[2] = "u"
    refused_once(made, "node DQ", "zero point", "int8", "uint8")
    refused_once(quantized(zero_dtype=np.float32), "node Q", "zero point", "float32")


def test_computed_scale() -> None:
    made = model(
        [node("QuantizeLinear", ["x", "s", "z"], ["y"])],
        [info("x"), info("s", [2, 3])],
        [info("y", (2, 3), TensorProto.INT8)],
        [tensor("z", 0, np.int8)],
    )
    refused_once(made, "'s'", "a constant, or a tensor of rank 0 or 1", "shape [2, 3]")


@pytest.mark.parametrize("version", [6, 99, 0, -1, 2**31, 2**40])
def test_opsets_out_of_range(version: int) -> None:
    made = relu()
    made.opset_import[0].version = version
    newest = onnx.defs.onnx_opset_version()
    refused_once(made, "opset of ai.onnx", f"a version from 7 to {newest}", f"got {version}")


def test_opset_range_is_read() -> None:
    for version in (10, onnx.defs.onnx_opset_version()):
        assert read(model([node("Relu", ["x"], ["y"])], opsets={"": version})).opset == version


def test_opset_imports() -> None:
    made = relu()
    del made.opset_import[:]
    refused_once(made, "opset of ai.onnx", "none (no import)")
    refused_once(model([node("Relu", ["x"], ["y"])], opsets={"": 17, "ai.onnx": 13}), "one version", "17 and 13")
    sigmoid = node("QLinearSigmoid", ["x"], ["y"], domain="com.microsoft")
    made = model([sigmoid], opsets={"": 17, "com.microsoft": 2})
    refused_once(made, "opset of com.microsoft", "version 1", "got 2")


def test_unused_domains_are_fine() -> None:
    assert read(model([node("Relu", ["x"], ["y"])], opsets={"": 17, "ai.onnx.ml": 3, "other": 7})).opset == 17


def test_domain_is_normalized() -> None:
    graph = read(model([node("Relu", ["x"], ["y"], domain="ai.onnx")], opsets={"ai.onnx": 17}))
    assert graph.nodes[0].domain == "" and graph.opsets == {"": 17}


@pytest.mark.parametrize("version", [1, 2, 99])
def test_ir_versions(version: int) -> None:
    made = relu()
    made.ir_version = version
    refused_once(made, "the model, ir_version", f"got {version}")


def test_unsupported_operators_with_unrelated_problems() -> None:
    short = tensor("w", [1, 2, 3])
    short.raw_data = b"12"
    made = model(
        [
            node("HannWindow", ["x"], ["a"], name="erf1"),
            node("HannWindow", ["a"], ["b"], name="erf2"),
            node("Foo", ["b"], ["c"], domain="custom", name="foo"),
            node("Add", ["c", "w"], ["d"], name="add"),
            node("Add", ["d", "gone"], ["e"], name="dangling"),
            node("LeakyRelu", ["x"], ["f"], alpha="text", name="leaky"),
            node("Relu", ["f"], ["y"]),
        ],
        initializers=[short],
        opsets={"": 17, "custom": 1},
    )
    error = refused(
        made,
        "operator HannWindow",
        "2 nodes: erf1, erf2",
        "operator custom.Foo",
        "1 node: foo",
        "initializer 'w'",
        "got 2 bytes",
        "node dangling, input 1",
        "node leaky",
        "alpha",
    )
    assert len(error.problems) == 5


def test_a_missing_operator_is_told_in_one_short_line_with_what_helps() -> None:
    names = ["x", *(f"t{index}" for index in range(40)), "y"]
    nodes = [node("HammingWindow", [a], [b], name=f"/layer.{b}/HammingWindow") for a, b in pairwise(names)]
    error = refused_once(
        model(nodes), "operator HammingWindow: expected one that qdqnp has, got 41 nodes: /layer.t0/HammingWindow, "
    )
    assert "/layer.t2/HammingWindow and 38 more" in str(error) and str(error).count("/HammingWindow") == 3
    assert error.advice[0].startswith("HammingWindow: let the model begin behind them")
    assert error.advice[1].startswith("`qdqnp operators` lists") and len(error.advice) == 2
    assert len(str(error)) < 500


def test_operators_that_the_same_helps_against_are_named_together() -> None:
    ops = ["NonZero", "Unique", "HannWindow", "HammingWindow", "BlackmanWindow", "DFT", "STFT", "If"]
    made = model([node(op, ["x"], [f"y{op}"]) for op in ops], outputs=[info("yHannWindow", None)])
    error = refused(made)
    assert len(error.problems) == len(ops)
    assert [text.split(":")[0] for text in error.advice[:3]] == [
        "NonZero, Unique",
        "HannWindow, HammingWindow, BlackmanWindow, DFT and 1 more",
        "If",
    ]
    assert "outputs=" in error.advice[0] and "--outputs" in error.advice[0]


def test_the_cut_that_is_advised_can_be_made() -> None:
    made = model(
        [
            node("Relu", ["x"], ["a"]),
            node("HammingWindow", ["a"], ["b"]),
            node("Neg", ["x"], ["c"]),
            node("HammingWindow", ["c"], ["d"]),
            node("Add", ["b", "d"], ["e"]),
            node("HannWindow", ["e"], ["y"]),
        ]
    )
    cut = refused(made).advice[-1].removeprefix("the part in front of them: ")
    assert cut == "qdqnp.load(MODEL, outputs=['a', 'c']), or --outputs a,c"
    assert [item.op for item in qdqnp.load(made, outputs=["a", "c"]).graph.nodes] == ["Relu", "Neg"]


def test_no_cut_is_advised_where_nothing_is_in_front_or_names_are_not_the_file_s() -> None:
    assert "the part in front" not in str(refused(model([node("HannWindow", ["x"], ["y"])])))
    body = [node("Relu", ["i"], ["r"]), node("HannWindow", ["r"], ["o"])]
    inlined = model(
        [node("F", ["x"], ["y"], domain="local")],
        functions=[function("F", ["i"], ["o"], body)],
        opsets={"": OPSET, "local": 1},
    )
    assert "the part in front" not in str(refused(inlined, "operator HannWindow"))


def test_what_reads_a_missing_operator_is_checked_by_its_declaration() -> None:
    made = model([node("HannWindow", ["x"], ["a"]), node("Concat", ["a", "x"], ["y"], name="joined", axis=7)])
    refused_once(made, "operator HannWindow")  # nothing is known of 'a'
    made.graph.value_info.append(info("a"))
    error = refused(made, "operator HannWindow", "node joined", "'axis' in [-2, 1], got 7")
    assert len(error.problems) == 2


def test_several_problems_in_one_error() -> None:
    made = quantized(0.0)
    made.graph.node.append(node("Conv", ["x"], ["c"], name="conv"))
    made.graph.output.append(info("nowhere"))
    made.ir_version = 99
    error = refused(made, "ir_version", "'nowhere'", "node Q", "node conv")
    assert len(error.problems) == 4


def test_number_of_inputs_and_outputs() -> None:
    refused_once(model([node("Add", ["x"], ["y"], name="n")]), "node n, inputs", "expected 2, got 1")
    refused_once(model([node("Relu", ["x", "x"], ["y"], name="n")]), "node n, inputs", "expected 1, got 2")
    refused_once(model([node("Relu", ["x"], ["y", "z"], name="n")]), "node n, outputs", "at most 1, got 2")


def test_trailing_empty_names_are_absent() -> None:
    assert len(read(model([node("Clip", ["x", "", ""], ["y"])])).nodes) == 1
    pool = node("MaxPool", ["x"], ["y", ""], kernel_shape=[1])
    assert len(read(model([pool], [info("x", (1, 2, 3))], [info("y", (1, 2, 3))])).nodes) == 1


@pytest.mark.parametrize(
    ("op", "inputs", "outputs", "attributes", "opset"),
    [
        ("Relu", ["x", ""], ["y"], {}, 17),
        ("Relu", ["x"], ["y", ""], {}, 17),
        ("Add", ["x", "x", "", ""], ["y"], {}, 17),
        ("Clip", ["x", "", "", ""], ["y"], {}, 17),
        ("ReduceMax", ["x", ""], ["y"], {}, 13),
        ("Concat", ["x", "x", ""], ["y"], {"axis": 0}, 17),
    ],
)
def test_surplus_empty_names_are_refused_as_by_onnxruntime(
    op: str, inputs: list[str], outputs: list[str], attributes: dict[str, Any], opset: int
) -> None:
    made = model([node(op, inputs, outputs, name="n", **attributes)], opsets={"": opset})
    refused_once(made, "node n, ")
    with pytest.raises(Exception, match=r"invalid model|Concat"):
        session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
        session.run(None, {"x": np.zeros((2, 3), np.float32)})


@pytest.mark.parametrize(
    ("op", "name", "kind"),
    [
        ("ReduceMax", "axes", onnx.AttributeProto.FLOATS),
        ("Transpose", "perm", onnx.AttributeProto.STRINGS),
        ("Concat", "axis", onnx.AttributeProto.FLOAT),
        ("LeakyRelu", "alpha", onnx.AttributeProto.INT),
    ],
)
def test_an_attribute_of_another_type_is_refused_even_if_it_is_empty(op: str, name: str, kind: int) -> None:
    made = model([node(op, ["x"], ["y"], name="n")], opsets={"": 13})
    made.graph.node[0].attribute.add(name=name, type=kind)
    refused_once(made, f"node n, attribute '{name}'", onnx.AttributeProto.AttributeType.Name(kind))
    with pytest.raises(Exception, match="invalid model"):
        onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize(
    ("declared", "text"),
    [
        (info("a", (2, 4)), "float [2, 4] declared"),
        (info("a", (2, 3, 1)), "float [2, 3, 1] declared"),
        (info("a", (2, 3), TensorProto.INT8), "int8 [2, 3] declared"),
        (info("a", (2, 3), TensorProto.INT4), "int4 [2, 3] declared"),
    ],
)
def test_value_info_that_contradicts(declared: onnx.ValueInfoProto, text: str) -> None:
    made = model([node("Relu", ["x"], ["a"], name="n"), node("Relu", ["a"], ["y"])])
    made.graph.value_info.append(declared)
    refused_once(made, "value_info 'a'", "float32 [2, 3] (what node n computes)", text)


def test_output_that_contradicts() -> None:
    refused_once(model([node("Relu", ["x"], ["y"])], outputs=[info("y", (2, 4))]), "graph output 'y'", "[2, 4]")


def test_vaguer_declarations_are_fine() -> None:
    made = model([node("Relu", ["x"], ["a"]), node("Relu", ["a"], ["y"])], outputs=[info("y", None)])
    made.graph.value_info.extend([info("a", ["N", None]), info("a", None, 0), onnx.ValueInfoProto(name="other")])
    assert read(made).values["y"].shape == (2, 3)


@pytest.mark.parametrize("shape", [[1 << 40, 4], ["N", 1 << 40], [1 << 62] * 30, [0, 1 << 60]])
def test_declared_shape_that_needs_terabytes(shape: list[Any]) -> None:
    refused_once(
        model([node("Relu", ["x"], ["y"])], [info("x", shape)], [info("y", None)]),
        "graph input 'x'",
        "at most 4.0 GiB",
        "which needs",
    )


def test_inferred_shape_that_needs_terabytes() -> None:
    made = model(
        [node("Add", ["x", "z"], ["y"], name="outer")],
        [info("x", [1 << 20, 1]), info("z", [1, 1 << 20])],
        [info("y", None)],
    )
    refused_once(made, "node outer, output 'y'", "needs 4.0 TiB (4398046511104 bytes)")


def test_too_many_axes() -> None:
    refused_once(model([node("Relu", ["x"], ["y"])], [info("x", [1] * 33)]), "graph input 'x'", "33 axes")


def test_long_lists_are_cut() -> None:
    nodes = [node("Add", ["x", f"gone{i}"], [f"t{i}"]) for i in range(250)]
    error = refused(model([*nodes, node("Relu", ["x"], ["y"])]))
    assert len(error.problems) == 101
    assert str(error).endswith("\n  - ... and 150 more")


def test_large_graphs_take_linear_time() -> None:
    names = ["x", *(f"t{i}" for i in range(5000)), "y"]
    made = model([node("Relu", [a], [b]) for a, b in pairwise(names)]).SerializeToString()
    start = time.process_time()
    assert len(read(made).nodes) == 5001
    assert time.process_time() - start < 5
