"""`qdqnp diff`: the table, JSON, inputs, profiles from files, exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result

from qdqnp.cli import cli
from qdqnp.graph import MICROSOFT
from qdqnp.ops.registry import operators
from tests.lowering.models import Net
from tests.networks import dla


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("models") / "net.onnx"
    onnx.save(dla(), file)
    return file


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def test_what_helps_under_every_profile_is_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(operators(), (MICROSOFT, "QLinearWhere"))
    net = Net()
    x = net.input((4, 8))
    chosen = net.node("Where", net.const(np.ones((4, 8), bool)), *(net.qdq(x, s, 9, np.uint8) for s in (0.1, 0.2)))
    net.output(net.q(chosen, 0.03, 9, np.uint8))
    onnx.save(net.model(), tmp_path / "weights.onnx")
    result = run("diff", tmp_path / "weights.onnx", "--profiles", "ort-unfused,ort,ort-x64")
    assert result.exit_code == 2
    assert result.stderr.count("operator com.microsoft.QLinearWhere") == 2
    assert result.stderr.count("what helps:") == result.stderr.count("--profile ort-unfused") == 1


def test_differences_are_the_result_and_no_failure(path: Path) -> None:
    result = run("diff", path, "--random", 2, "--seed", 3, "--profiles", "ort,ort-arm64,tflite")
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    for column in ("ort-arm64, entire", "ort-arm64, single", "tflite, entire", "tflite, single"):
        assert column in lines[0]
    conv = next(line for line in lines if " QLinearConv " in line)
    assert "*" in conv  # inferred rules are marked
    pool = next(line for line in lines if line.startswith("MaxPool  "))
    assert pool.split()[-1] == "0" and "*" not in pool
    assert any("differ from 'ort'" in line and "over 2 inputs" in line for line in lines)
    assert lines[-1].startswith("* the profile's rule for this operator is inferred")


def test_equal_profiles_have_zeros_only(path: Path) -> None:
    result = run("diff", path, "--profiles", "ort,ort")
    assert result.exit_code == 0
    assert "%" not in result.output and "inferred" not in result.output
    found = json.loads(run("diff", path, "--profiles", "tflite", "--profiles", "cmsis-nn", "--json").stdout)
    assert [p["name"] for p in found["profiles"]] == ["tflite", "cmsis-nn"]
    assert all(
        count["differing"] == 0
        for layer in found["layers"]
        for p in layer["profiles"]
        for count in (p["entire"], p["single"])
    )


def test_a_planted_change_from_a_file(path: Path, tmp_path: Path) -> None:
    mine = tmp_path / "my_npu.toml"
    mine.write_text('base = "tflite"\n[add]\nkind = "aligned-add"\ntie = "floor"', encoding="utf-8")
    result = run("diff", path, "--profiles", f"tflite,{mine}", "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    alone = {row["op"] for row in found["totals"] if row["profiles"][1]["single"]["differing"]}
    assert alone == {"QLinearAdd"}
    assert found["profiles"][1]["status"] == "inferred" and found["inputs"] == 1


def test_inputs_from_files(path: Path, tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((3, 3, 16, 16), dtype=np.float32)
    np.save(tmp_path / "a.npy", x)
    np.save(tmp_path / "b.npy", x[:1])
    files = (tmp_path / "a.npy", tmp_path / "b.npy")
    for arguments in (("--input", *files), ("--input", files[0], "--input", files[1])):
        found = json.loads(run("diff", path, *arguments, "--profiles", "ort,tflite", "--json").stdout)
        assert found["inputs"] == 4
    both = json.loads(run("diff", path, "--input", files[1], "--random", 2, "--profiles", "ort,ort", "--json").stdout)
    assert both["inputs"] == 3


@pytest.mark.parametrize(
    ("profiles", "message"),
    [
        ("ort", "expected two or more"),
        ("ort,nonsense", "no such profile"),
        ("ort,missing.toml", "cannot read a profile"),
        ("ort,nvdla", "profile 'nvdla', step "),
    ],
)
def test_bad_profiles_exit_with_2(path: Path, profiles: str, message: str) -> None:
    result = run("diff", path, "--profiles", profiles)
    assert result.exit_code == 2
    assert message in result.stderr and "Traceback" not in result.output


def test_a_profile_that_cannot_run_lists_every_layer(path: Path) -> None:
    result = run("diff", path, "--profiles", "ort,nvdla")
    named = [line for line in result.stderr.splitlines() if line.startswith("  - profile 'nvdla', step ")]
    assert result.exit_code == 2
    assert len(named) == 4 + 2 + 1  # additions, concatenations, the global average


def test_bad_usage_exits_with_2(path: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"no model")
    np.save(tmp_path / "x.npy", np.zeros((1, 3, 8, 8), np.float32))
    both = ("--profiles", "ort,tflite")
    assert run("diff", path).exit_code == 2
    assert run("diff", bad, *both).exit_code == 2
    assert run("diff", path, tmp_path / "x.npy", *both).exit_code == 2
    result = run("diff", path, "--input", tmp_path / "x.npy", *both)
    assert result.exit_code == 2 and "expected the shape [1, 3, 16, 16], got float32[1, 3, 8, 8]" in result.stderr


def test_the_help_says_what_the_exit_code_means() -> None:
    text = " ".join(run("diff", "--help").output.split())
    assert "Exit code 0: done, whether anything differs or not" in text


# -- --prove -----------------------------------------------------------------------------------------------------------
def test_a_proof_is_a_table_with_a_summary(path: Path) -> None:
    result = run("diff", path, "--prove", "--profiles", "ort,cmsis-nn-single,neural-art")
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    for column in ("cmsis-nn-single, layer alone", "neural-art, carried"):
        assert column in lines[0]
    pool = next(line for line in lines if " MaxPool " in line)
    assert pool.split()[3] == "0"
    assert any(line.startswith("'neural-art' against 'ort': ") and "0 are not proven" in line for line in lines)
    assert any(line.startswith("  the largest: ") and " becomes " in line for line in lines)
    assert any(line.startswith("  output ") and "a bound, not a difference that occurs" in line for line in lines)
    equal = run("diff", path, "--prove", "--profiles", "tflite,cmsis-nn").output
    assert "proven equal, for every input" in equal and "0 do, by at most 0 LSB" in equal


def test_a_proof_as_json(path: Path) -> None:
    found = json.loads(run("diff", path, "--prove", "--profiles", "ort,tflite", "--json").stdout)
    assert [p["name"] for p in found["profiles"]] == ["ort", "tflite"]
    claims = [layer["profiles"][0] for layer in found["layers"]]
    assert {claim["verdict"] for claim in claims} == {"never differs", "differs"}
    for claim in claims:
        assert (claim["witness"] is None) == (claim["verdict"] == "never differs")
        assert claim["share"] == (claim["differing"] / claim["reachable"] if claim["reachable"] else 0)
        if claim["witness"] is not None:
            first, second = claim["witness"]["codes"]
            assert abs(first - second) == claim["largest"]
            for array in claim["witness"]["inputs"].values():
                assert len(array["at"]) == len(array["codes"]) and array["dtype"] == "int8"
    assert found["totals"][0]["differs"] == sum(claim["largest"] > 0 for claim in claims)
    assert found["outputs"][0]["profiles"][0]["lsb"] <= 255


def test_a_proof_takes_no_inputs(path: Path, tmp_path: Path) -> None:
    both = ("--profiles", "ort,tflite")
    for extra in (("--random", 2), ("--seed", 3), ("--input", tmp_path / "x.npy")):
        result = run("diff", path, "--prove", *both, *extra)
        assert result.exit_code == 2 and "a proof is about all inputs" in result.stderr
    assert "They go with prove" in run("diff", path, *both, "--shape", "1x3x16x16").stderr
    result = run("diff", path, *both, "--prove", "--shape", "1x3x8x8")
    assert result.exit_code == 2 and "shapes that do not fit the model" in result.stderr
    assert run("diff", path, *both, "--prove", "--shape", "input=1x3x16x16").exit_code == 0
