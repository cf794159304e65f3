"""The commands as a user calls them: output, JSON, exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result

from qdqnp.cli import cli
from qdqnp.errors import PeerError
from qdqnp.peers.ort.faults import Fault
from tests.diagnosis.test_verify import mutated
from tests.networks import dla


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("models") / "net.onnx"
    onnx.save(dla(), file)
    return file


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def test_verify_prints_each_layer_and_a_verdict(path: Path) -> None:
    result = run("verify", path, "--random", 3, "--seed", 5)
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[-1].startswith("equal: 0 of ") and lines[-1].endswith("over 3 inputs")
    assert sum("QLinearConv " in line for line in lines) == 19
    assert any(line.startswith("onnxruntime: 1.") for line in lines)
    assert any(line.startswith("cpu: ") for line in lines)
    assert "3 inputs gave 3 different outputs" in lines


def test_verify_reads_files_and_splits_batches(path: Path, tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((4, 3, 16, 16), dtype=np.float32)
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "x.npz", input=x[:2])
    result = run("verify", path, "--input", tmp_path / "x.npy", "--input", tmp_path / "x.npz", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["inputs"] == 6 and found["distinct_outputs"] == 4 and found["equal"] is True
    assert found["host"]["onnxruntime"].startswith("1.")


def test_verify_of_unequal_tensors_exits_with_1(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    proto = onnx.load(path)
    weights = next(t.name for t in proto.graph.initializer if t.name.startswith("w_codes"))
    other = mutated(proto, weights)
    monkeypatch.setattr(
        "qdqnp.api.verify.OrtPeer", lambda *_, **__: __import__("qdqnp.peers.ort.peer", fromlist=["x"]).OrtPeer(other)
    )
    result = run("verify", path)
    assert result.exit_code == 1
    assert "NOT EQUAL" in result.output


def test_inspect_shows_layers_totals_and_proofs(path: Path) -> None:
    result = run("inspect", path)
    assert result.exit_code == 0, result.output
    assert "|sum| <= " in result.output
    found = json.loads(run("inspect", path, "--json").stdout)
    first = next(layer for layer in found["layers"] if layer["op"] == "QLinearConv")
    assert first["k"] == 3 * 7 * 7
    assert first["macs"] == 8 * 16 * 16 * 3 * 7 * 7
    assert first["weight_bytes"] == 8 * 3 * 7 * 7 + 4 * 8
    assert found["totals"]["operators"]["QLinearConv"] == 19
    assert found["totals"]["macs"] == sum(layer["macs"] for layer in found["layers"])
    assert isinstance(first["scale"], float) and isinstance(first["zero_point"], int)


@pytest.mark.parametrize("command", ["verify", "inspect"])
def test_a_bad_model_exits_with_2_and_says_why(command: str, tmp_path: Path) -> None:
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"no model")
    result = run(command, bad)
    assert result.exit_code == 2
    assert "error: " in result.stderr and "Traceback" not in result.output
    assert run(command, tmp_path / "missing.onnx").exit_code == 2
    assert run(command).exit_code == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "a readable .npy or .npz file"),
        (b"garbage", "a readable .npy or .npz file"),
        (np.ones((1, 3, 8, 8), np.float32), "expected the shape [1, 3, 16, 16], got float32[1, 3, 8, 8]"),
        (np.ones((1, 3, 16, 16)), "expected float32 or int8 codes, got float64"),
        (np.array([{"a": 1}], object), "a readable .npy or .npz file"),
    ],
)
def test_bad_inputs_exit_with_2(path: Path, tmp_path: Path, content, message: str) -> None:
    file = tmp_path / "x.npy"
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        np.save(file, content)
    result = run("verify", path, "--input", file)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())


def test_verify_refuses_profiles_that_no_session_computes(path: Path) -> None:
    assert run("verify", path, "--profile", "ort").exit_code == 0
    result = run("verify", path, "--profile", "tflite")
    assert result.exit_code == 2
    assert "expected one of ort, ort-x64, ort-unfused, ort-avx2, got tflite" in " ".join(result.stderr.split())


def test_inspect_shows_what_a_lowering_makes(path: Path) -> None:
    result = run("inspect", path, "--lowering", "ort-x64")
    assert result.exit_code == 0, result.output
    assert "stays float: its codes differ in type" in result.output
    found = json.loads(run("inspect", path, "--lowering", "ort-x64", "--json").stdout)
    assert found["lowering"] == "ort-x64" and found["operators"]["Add"] > 0
    assert {"node", "op", "became"} == set(found["nodes"][0])
    assert run("inspect", path, "--lowering", "nonsense").exit_code == 2


@pytest.mark.parametrize("profile", ["ort-x64", "ort-unfused"])
def test_verify_of_other_sessions(path: Path, profile: str) -> None:
    result = run("verify", path, "--profile", profile)
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-1].startswith("equal: 0 of ")


def test_verify_of_a_session_that_this_machine_lacks(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qdqnp.peers.ort.users.saturates", lambda: False)
    result = run("verify", path, "--profile", "ort-avx2")
    assert result.exit_code == 2
    assert "compare with --profile ort-x64" in " ".join(result.stderr.split())


def test_host_prints_what_it_probed(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run("host")
    assert result.exit_code == 0, result.output
    assert "uint8 x int8 sums of a convolution" in result.output
    assert "YES" in result.output  # 1.32's own fault
    found = json.loads(run("host", "--json").stdout)
    assert set(found["profiles"]) == {"ort", "ort-x64", "ort-unfused", "ort-avx2", "ort-arm64"}
    assert [fault["here"] for fault in found["faults"]].count(True) == 1


def test_host_says_what_it_could_not_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> bool:
        raise PeerError("refused")

    monkeypatch.setattr("qdqnp.cli.host.FAULTS", (Fault("a fault", "some", refuse),))
    assert "cannot be probed" in run("host").output
