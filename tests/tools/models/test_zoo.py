"""The small networks in the quantizer's variants: what is made, and that it is equal, counts of operators included."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import numpy_helper

from qdqnp import load
from qdqnp.errors import PeerError, Problem
from qdqnp.peers.ort.peer import OrtPeer
from qdqnp.quant import Array
from tools.models.make_zoo import main as make_zoo
from tools.models.make_zoo import make_network, variants
from tools.models.zoo_nets import NETWORKS
from tools.verify import verify_zoo
from tools.verify.verify_zoo import main, verified

pytest.importorskip("onnxruntime")

CHOSEN = {
    "residual": ("qdq_s8s8_pc", "qdq_u8s8_pt_rr_keep", "qoperator_u8u8_pc"),
    "shuffle": ("qdq_u8u8_pt", "qdq_s8s8_pc_keep", "qoperator_s8s8_pt"),
    "mlp": ("qdq_u8s8_pc", "qdq_s8s8_pt_keep", "qoperator_u8s8_pc_rr"),
}


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three variants of each network."""
    folder = tmp_path_factory.mktemp("zoo")
    for network, names in CHOSEN.items():
        for name, model in make_network(network, 1, {name: variants()[name] for name in names}):
            onnx.save(model, folder / f"{name}.onnx")
    return folder


def constants(model: onnx.ModelProto) -> dict[str, Array]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


@pytest.mark.parametrize("profile", ["ort", "ort-x64"])
def test_equal_bits_and_equal_operators(zoo: Path, profile: str) -> None:
    for path in sorted(zoo.glob("*.onnx")):
        outcome = verified(path, profile, 2, 0)
        assert outcome.report is not None, path.name
        assert outcome.report.equal, f"{path.name}: {outcome.report.verdict()}"
        assert (outcome.report.accepted, outcome.report.distinct_outputs) == (0, 2), path.name
        assert outcome.operators == Counter(OrtPeer(path, profile).fused.operators), path.name
        assert outcome.verdict() == "equal"


def test_a_session_that_leaves_more_in_float(zoo: Path) -> None:
    """With int8 activations, the default session turns fewer of the convolutions into integers."""
    path = zoo / "residual_qdq_s8s8_pc.onnx"
    counts = {profile: verified(path, profile, 1, 0) for profile in ("ort", "ort-x64")}
    assert counts["ort"].operators["Conv"] == 0 < counts["ort-x64"].operators["Conv"]
    assert counts["ort"].floats < counts["ort-x64"].floats


def test_what_is_accepted_is_counted(zoo: Path) -> None:
    """Float32 Softmax has no promise."""
    path = zoo / "mlp_qdq_u8s8_pc.onnx"
    outcome = verified(path, "ort-unfused", 2, 0)
    assert outcome.report is not None
    accepted = {layer.op for layer in outcome.report.layers if layer.accepted}
    assert accepted <= {"Softmax"}
    assert outcome.verdict() == ("accepted" if accepted else "equal")
    assert outcome.fine


def test_what_the_networks_are_for(zoo: Path) -> None:
    """Each has the operators that it is there for, as integers."""
    wanted = {
        "residual_qdq_s8s8_pc": {"QLinearAdd": 3, "QLinearSigmoid": 1, "QLinearMul": 3, "HardSigmoid": 2},
        "shuffle_qdq_u8u8_pt": {"Split": 2, "Transpose": 3, "QLinearConcat": 3, "QLinearAveragePool": 2},
        "shuffle_qoperator_s8s8_pt": {"Slice": 2, "Split": 1},
        "mlp_qdq_u8s8_pc": {"QGemm": 3, "QLinearMatMul": 2, "QLinearSoftmax": 1, "QLinearLeakyRelu": 1},
    }
    for name, operators in wanted.items():
        found = Counter(step.op for step in load(zoo / f"{name}.onnx").program().steps)
        assert {op: found[op] for op in operators} == operators, name
    depthwise = [
        node
        for node in onnx.load(zoo / "residual_qdq_s8s8_pc.onnx").graph.node
        if any(attribute.name == "group" and attribute.i > 1 for attribute in node.attribute)
    ]
    assert len(depthwise) == 3


def test_variants_differ_as_their_names_say(zoo: Path) -> None:
    assert len(variants()) == 36
    models = {path.stem: onnx.load(path) for path in zoo.glob("*.onnx")}
    for name, model in models.items():
        _, format_, kinds, channels, *more = name.split("_")
        integer = any(node.op_type in ("QLinearMatMul", "QLinearConv") for node in model.graph.node)
        assert integer == (format_ == "qoperator"), name
        codes = {"s": np.int8, "u": np.uint8}
        arrays = constants(model)
        zeros = {arrays[node.input[2]].dtype for node in model.graph.node if node.op_type == "QuantizeLinear"}
        assert zeros == {np.dtype(codes[kinds[0]])}, name
        weights = {key: array for key, array in arrays.items() if key.endswith("_quantized") and array.ndim > 1}
        forced = format_ == "qoperator" and channels == "pc"  # then weights of Conv are int8 whatever is asked
        wanted = {4: np.dtype(np.int8 if forced else codes[kinds[2]]), 2: np.dtype(codes[kinds[2]])}
        assert all(array.dtype == wanted[array.ndim] for array in weights.values()), name
        scales = [arrays[key.removesuffix("_quantized") + "_scale"].size for key in weights]
        assert (max(scales) > 1) == (channels == "pc"), name
        reach = max(int(np.ptp(array.astype(int))) for array in weights.values())
        assert (reach <= 128) == ("rr" in more), name
        relus = sum(node.op_type in ("Relu", "Clip") for node in model.graph.node)
        assert (relus > 0) == ("keep" in more), name


def test_a_seed_makes_one_network() -> None:
    for build in NETWORKS.values():
        assert build(0).SerializeToString() == build(0).SerializeToString() != build(1).SerializeToString()


def invoke(command: Any, *options: object) -> tuple[int, str]:
    result = CliRunner().invoke(command, [str(each) for each in options])
    return result.exit_code, result.output


def test_table_of_a_folder(zoo: Path, tmp_path: Path) -> None:
    files = ["--json", tmp_path / "r.json", "--markdown", tmp_path / "r.md"]
    code, output = invoke(main, zoo, "--count", 1, "--profile", "ort", "--profile", "ort-x64", *files)
    assert code == 0, output
    assert (tmp_path / "r.md").read_text() in output
    results = json.loads((tmp_path / "r.json").read_text())["results"]
    rows = [line.strip("| ").split(" | ") for line in output.splitlines() if line.startswith("| ")][2:]
    assert len(rows) == len(results) == 18
    for row, result in zip(rows, results, strict=True):
        operators = result["operators"]
        report = result["report"]
        assert row[:3] == [result["model"], result["profile"], "equal"]
        assert sum(map(int, row[3:6])) == sum(operators.values())
        assert int(row[5]) == operators.get("QuantizeLinear", 0) + operators.get("DequantizeLinear", 0)
        if result["profile"] == "ort":
            assert int(row[4]) == operators.get("HardSigmoid", 0) + ("shuffle_qoperator" in row[0])
        codes = [layer["distinct_codes"] for layer in report["layers"] if layer["distinct_codes"]]
        assert row[6:] == [str(len(report["layers"])), f"{np.median(codes):g}", str(report["elements"]), "0", "0"]


def test_a_planted_difference_is_reported(zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = zoo / "mlp_qdq_u8s8_pc.onnx"
    tensors = OrtPeer.tensors
    name = next(step.output_names[0] for step in load(path).program().steps if step.op == "QGemm")

    def wrong(self: OrtPeer, feeds: dict[str, Array]) -> dict[str, Array]:
        found = tensors(self, feeds)
        found[name] = found[name] ^ (np.arange(found[name].size) == 7).reshape(found[name].shape)
        return found

    monkeypatch.setattr(OrtPeer, "tensors", wrong)
    code, output = invoke(main, path, "--count", 3)
    assert code == 1
    assert "mlp_qdq_u8s8_pc.onnx, ort: NOT EQUAL: 3 of" in output
    assert name in output


def test_other_operators_are_reported(zoo: Path) -> None:
    outcome = verified(zoo / "mlp_qdq_u8s8_pc.onnx", "ort", 1, 0)
    other = replace(outcome, operators=outcome.operators - Counter(["QGemm"]) + Counter(["Conv"]))
    assert not other.fine
    assert other.verdict() == "OTHER OPERATORS: 1 Conv for 1 QGemm"


def test_what_onnxruntime_refuses_is_skipped_in_its_words(zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PeerError("ONNX Runtime refuses the model", [Problem("session", "a session", "NOT_IMPLEMENTED: QGemm")])

    monkeypatch.setattr(verify_zoo, "OrtPeer", refuse)
    code, output = invoke(main, zoo / "mlp_qdq_u8s8_pc.onnx")
    assert code == 0
    assert "skipped, ONNX Runtime refuses it: NOT_IMPLEMENTED: QGemm | 10 | 0 | 2 | - | - | - | - | - |" in output


def test_a_model_that_qdqnp_cannot_run_is_an_error(zoo: Path, tmp_path: Path) -> None:
    model = onnx.load(zoo / "mlp_qdq_u8s8_pc.onnx")
    model.graph.node[0].op_type = "NonZero"
    onnx.save(model, tmp_path / "bad.onnx")
    code, output = invoke(main, tmp_path / "bad.onnx")
    assert code == 1
    assert "NonZero" in output


def test_one_network_from_the_command_line(tmp_path: Path) -> None:
    code, output = invoke(make_zoo, tmp_path / "out", "--network", "mlp")
    assert code == 0, output
    made = sorted(path.stem for path in (tmp_path / "out").glob("*"))
    assert made == sorted(f"mlp_{name}" for name in variants())
    assert made == sorted(line for line in output.splitlines() if line.startswith("mlp_"))
