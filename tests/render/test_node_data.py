"""Node data for Model Explorer and Netron: the format, the nodes that are meant, and what they say of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper

import qdqnp
from qdqnp.cli import cli
from qdqnp.diagnosis.dump_writer import write_dump
from qdqnp.golden_sets import write
from qdqnp.inputs.shipped import shipped_model

NETWORK = shipped_model("dla46_c_int8")

# GraphNodeData of model_explorer/node_data_builder.py (ai-edge-model-explorer 0.1.34)
COLOR = {"type": "string", "pattern": "^#[0-9a-f]{6}$"}
SCHEMA = {
    "type": "object",
    "required": ["results"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string"},
        "results": {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": {
                "type": "object",
                "required": ["value"],
                "additionalProperties": False,
                "properties": {"value": {"type": "number"}, "bgColor": COLOR, "textColor": COLOR},
            },
        },
        "gradient": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["stop"],
                "additionalProperties": False,
                "properties": {"stop": {"type": "number", "minimum": 0, "maximum": 1}, "bgColor": COLOR},
            },
        },
    },
}


def run(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result.output


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    jsonschema.validate(found, SCHEMA)
    return found


def tensors_of(model: onnx.ModelProto) -> set[str]:
    return {name for node in model.graph.node for name in node.output}


def test_inspect_gives_every_node_of_a_layer_its_macs(tmp_path: Path) -> None:
    run("inspect", NETWORK, "--node-data", tmp_path / "macs.json")
    found = read(tmp_path / "macs.json")
    layers = json.loads(run("inspect", NETWORK, "--json"))["layers"]
    assert found["name"] == f"MACs of {NETWORK.name}" and found["gradient"][0]["stop"] == 0
    for layer in layers:
        assert found["results"][layer["output"]]["value"] == (layer["macs"] or 0)
    file = onnx.load(NETWORK)
    assert set(found["results"]) <= tensors_of(file)
    conv = next(node for node in file.graph.node if node.name == "level0.0")
    assert found["results"][conv.output[0]] == found["results"]["level0.2_QuantizeLinear_Output"]


def small() -> onnx.ModelProto:
    """x -> Q -> DQ -> conv -> Q -> DQ -> relu -> Q -> DQ -> y."""
    weights = np.random.default_rng(1).integers(-128, 128, (4, 2, 3, 3)).astype(np.int8)
    given = {"s": np.float32(0.1), "z": np.int8(3), "w": weights, "ws": np.float32(0.02), "wz": np.int8(0)}
    pairs = [("x", "xq"), ("c", "cq"), ("r", "rq")]
    nodes = [helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wd"], "weights")]
    for name, codes in pairs:
        nodes.append(helper.make_node("QuantizeLinear", [name, "s", "z"], [codes], f"q_{name}"))
        nodes.append(helper.make_node("DequantizeLinear", [codes, "s", "z"], [f"{name}d"], f"dq_{name}"))
    nodes.insert(3, helper.make_node("Conv", ["xd", "wd"], ["c"], "conv"))
    nodes.insert(6, helper.make_node("Sigmoid", ["cd"], ["r"], "sigmoid"))
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("x", [1, 2, 6, 6]), ("rd", None)))
    constants = [numpy_helper.from_array(np.asarray(array), name) for name, array in given.items()]
    graph = helper.make_graph(nodes, "net", [x], [y], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


@pytest.fixture
def device(tmp_path: Path) -> Path:
    """A golden set, and the dump of a device whose convolution is wrong and whose sigmoid goes on from there."""
    x = np.random.default_rng(0).normal(size=(1, 2, 6, 6)).astype(np.float32)
    onnx.save(small(), tmp_path / "net.onnx")
    write(tmp_path / "set", tmp_path / "net.onnx", [{"x": x}], 1)
    model = qdqnp.load(small())
    wrong = model.trace(x)["cq"] ^ np.int8(1)
    made = next(bound for bound in model.plan().steps if bound.step.label == "sigmoid").evaluate({"cq": wrong})
    write_dump(tmp_path / "dump", {"cq": [wrong], "rq": [made["rq"]]})
    return tmp_path


def test_compare_colors_layers_by_what_is_wrong_with_them(device: Path) -> None:
    run("compare", device / "set", device / "dump", "--partial", "--node-data", device / "nodes.json", code=1)
    found = read(device / "nodes.json")
    rows = json.loads(run("compare", device / "set", device / "dump", "--partial", "--json", code=1))["layers"]
    first, second = (next(row for row in rows if row["name"] == name) for name in ("cq", "rq"))
    colors = {found["results"][row["name"]]["bgColor"] for row in (first, second)}
    assert len(colors) == 2 and first["status"] != second["status"] == "inherited"
    share = first["single"]["differing"] / first["single"]["elements"]
    assert found["results"][first["name"]]["value"] == pytest.approx(share) and share > 0
    assert "gradient" not in found


def test_netron_s_notes_stand_beside_the_nodes_and_change_nothing(device: Path) -> None:
    run("compare", device / "set", device / "dump", "--partial", "--node-data", device / "nodes.onnx", code=1)
    annotated, file = onnx.load(device / "nodes.onnx"), small()
    notes = {node.name: {p.key: p.value for p in node.metadata_props} for node in annotated.graph.node}
    assert notes["conv"]["qdqnp differing"] == "64 of 64, by up to 1"
    assert notes["conv"]["qdqnp status"] in ("fault", "unexplained")
    assert notes["q_c"] == notes["conv"] and notes["sigmoid"]["qdqnp status"] == "inherited"
    assert not notes["q_x"]
    for node in annotated.graph.node:
        del node.metadata_props[:]
    assert annotated == file
    run("inspect", device / "net.onnx", "--node-data", device / "macs.onnx")
    nodes = {n.name: {p.key: p.value for p in n.metadata_props} for n in onnx.load(device / "macs.onnx").graph.node}
    assert nodes["conv"]["qdqnp macs"] == str(4 * 2 * 9 * 16) and nodes["conv"]["qdqnp promise"] == "exact"


def test_files_in_the_way_and_other_options_are_refused(device: Path) -> None:
    (device / "old.json").write_text("mine")
    for command in (["inspect", device / "net.onnx"], ["compare", device / "set", device / "dump"]):
        run(*command, "--node-data", device / "old.json", code=2)
        assert (device / "old.json").read_text() == "mine"
    assert "--plan" in run("inspect", device / "net.onnx", "--plan", "--node-data", device / "new.json", code=2)
    run("inspect", device / "net.onnx", "--node-data", device / "old.json", "--force")
    read(device / "old.json")
