"""`qdqnp conformance`: exit codes, tables, JSON and JUnit."""

from __future__ import annotations

import json
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from qdqnp.cli import cli


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["conformance", *(str(argument) for argument in arguments)])


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("packs") / "pack"
    result = run("make", "--out", out, "--operator", "MaxPool,QGemm", "--limit", 6)
    assert result.exit_code == 0 and "wrote 12 cases" in result.output, result.output
    return out


def test_make_says_what_was_made(tmp_path: Path) -> None:
    result = run("make", "--out", tmp_path / "p", "--operator", "MatMulIntegerToFloat", "--profile", "ort,tflite",
                 "--limit", 2, "--json")  # fmt: skip
    document = json.loads(result.stdout)
    assert document["cases"] == {"ort": {"MatMulIntegerToFloat": 2}, "tflite": {}} and document["count"] == 2
    assert [row["profile"] for row in document["left_out"]] == ["tflite"] * len(document["left_out"]) != []
    assert run("make", "--out", tmp_path / "p", "--operator", "Flatten").exit_code == 2
    assert run("make", "--out", tmp_path / "q", "--operator", "Nonsense").exit_code == 2
    assert not (tmp_path / "q").exists()


def test_run_with_every_answer_right(pack: Path, tmp_path: Path) -> None:
    result = run("run", pack, "--runtime", "reference", "--junit", tmp_path / "r.xml")
    assert result.exit_code == 0, result.output
    assert "10 right, 0 wrong, 2 refused, 0 failed" in result.stdout
    suite = ET.parse(tmp_path / "r.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped"), suite.get("errors")) == (
        "12",
        "0",
        "2",
        "0",
    )
    assert run("run", pack, "--runtime", "reference", "--junit", tmp_path / "r.xml").exit_code == 2  # it is in the way


def test_run_with_a_wrong_answer(pack: Path, tmp_path: Path) -> None:
    script = tmp_path / "same.py"
    script.write_text(
        "import sys, onnx, numpy as np\n"
        "value = onnx.shape_inference.infer_shapes(onnx.load(sys.argv[1])).graph.output[0].type.tensor_type\n"
        "shape = [d.dim_value for d in value.shape.dim]\n"
        "np.save(sys.argv[3] + '/y.npy', np.full(shape, 99, onnx.helper.tensor_dtype_to_np_dtype(value.elem_type)))\n"
    )
    words = ("run", pack, "--runtime", f"{sys.executable} {script}", "--operator", "MaxPool", "--limit", 3)
    result = run(*words, "--json", "--junit", tmp_path / "r.xml")
    document = json.loads(result.stdout)
    assert result.exit_code == 1 and document["counts"]["wrong"] == 3
    assert ET.parse(tmp_path / "r.xml").getroot()[0].get("failures") == "3"
    shown = run(*words)
    assert shown.exit_code == 1 and "wrong (" in shown.stdout


def test_run_refuses_what_is_no_pack_and_no_runtime(pack: Path, tmp_path: Path) -> None:
    assert run("run", tmp_path, "--runtime", "qdqnp").exit_code == 2
    result = run("run", pack, "--runtime", "no-such-thing")
    assert result.exit_code == 2 and "a known runtime" in result.stderr
