"""A model that is cut at tensors that the user names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper

import qdqnp
from qdqnp.cli import cli
from qdqnp.errors import ModelError
from qdqnp.reader.embed import single_file
from qdqnp.reader.proto import CutModel
from tests.oracles import ort

F = np.float32


def tailed() -> onnx.ModelProto:
    """Relu and Add, behind them NonZero of a computed condition, an If that reads the Add from inside, and a text."""
    inner = helper.make_graph(
        [helper.make_node("Mul", ["sum", "two"], ["inside"])], "branch", [], [onnx.ValueInfoProto(name="inside")]
    )
    nodes = [
        helper.make_node("Relu", ["x"], ["r"]),
        helper.make_node("Add", ["r", "one"], ["sum"]),
        helper.make_node("NonZero", ["sum"], ["places"]),
        helper.make_node("If", ["flag"], ["chosen"], then_branch=inner, else_branch=inner),
        helper.make_node("StringConcat", ["text", "text"], ["texts"]),
    ]
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3]),
        helper.make_tensor_value_info("flag", TensorProto.BOOL, []),
        helper.make_tensor_value_info("text", TensorProto.STRING, [1]),
    ]
    outputs = [onnx.ValueInfoProto(name=name) for name in ("places", "chosen", "texts")]
    constants = [numpy_helper.from_array(np.array(value, F), name) for name, value in (("one", 1), ("two", 2))]
    graph = helper.make_graph(nodes, "tailed", inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def test_what_is_behind_is_not_looked_at() -> None:
    with pytest.raises(ModelError):
        qdqnp.load(tailed())
    model = qdqnp.load(tailed(), outputs=["sum", "r"])
    assert (model.graph.inputs, model.graph.outputs) == (("x",), ("sum", "r"))
    x = np.array([[-1, 0.5, 2]], F)
    assert model.run(x)["sum"].tolist() == [[1, 1.5, 3]]


def test_the_advice_of_a_refusal_can_be_followed() -> None:
    with pytest.raises(ModelError, match=r"outputs=\['sum'\]\), or --outputs sum"):
        qdqnp.load(_without_text())
    assert qdqnp.load(_without_text(), outputs=["sum"]).graph.outputs == ("sum",)
    assert qdqnp.load(_without_text(), outputs="sum").graph.outputs == ("sum",)


def _without_text() -> onnx.ModelProto:
    """The model with NonZero alone at its end."""
    model = tailed()
    del model.graph.node[3:], model.graph.input[1:], model.graph.output[1:]
    return model


def test_a_branch_needs_what_it_reads_from_outside() -> None:
    (cut,) = (onnx.load_from_string(single_file(CutModel(tailed(), ("chosen",)))),)
    assert [node.op_type for node in cut.graph.node] == ["Relu", "Add", "If"]
    assert {item.name for item in cut.graph.input} == {"x", "flag"}
    assert {item.name for item in cut.graph.initializer} == {"one", "two"}


def test_onnx_runtime_runs_what_is_cut() -> None:
    cut = onnx.load_from_string(single_file(CutModel(tailed(), ("sum",))))
    x = np.array([[-1, 0.5, 2]], F)
    assert ort.run(cut, {"x": x})["sum"].tolist() == qdqnp.load(cut).run(x)["sum"].tolist()


def test_an_input_or_a_constant_may_be_an_output() -> None:
    model = qdqnp.load(tailed(), outputs=["x", "one"])
    found = model.run(np.ones((2, 3), F))
    assert found["x"].shape == (2, 3) and found["one"] == 1


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        (["sums"], "output 'sums': expected the name of a tensor of the graph, got another. Near it: 'sum'"),
        (["sum", "sum"], "output 'sum': expected each output once, got 2 times"),
        ([""], "the name of a tensor of the graph"),
        ([], "at least one name of a tensor"),
    ],
)
def test_names_that_do_not_fit(outputs: list[str], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        qdqnp.load(tailed(), outputs=outputs)


@pytest.mark.parametrize("command", ["inspect", "verify --random 1", "golden --random 1 --out set", "explain"])
def test_every_command_takes_outputs(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.onnx").write_bytes(tailed().SerializeToString())
    name, *options = command.split()
    options += ["--layer", "sum"] if name == "explain" else []
    if name == "explain":
        options += ["--index", "0,1"]
    result = CliRunner().invoke(cli, [name, "net.onnx", *options, "--outputs", "sum"])
    assert result.exit_code == 0, result.output
    if name == "golden":
        assert onnx.load("set/model.onnx").graph.output[0].name == "sum"
