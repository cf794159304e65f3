"""`qdqnp reduce`: what it writes, prints and refuses."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import onnx
import pytest
from click.testing import CliRunner, Result

from qdqnp.cli import cli
from tests.reduction.test_reduce import QUICK, chain


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["reduce", *(str(argument) for argument in arguments)])


@pytest.fixture
def given(tmp_path: Path) -> tuple[Path, str]:
    (tmp_path / "vendor.py").write_text(QUICK)
    onnx.save(chain(2), tmp_path / "net.onnx")
    return tmp_path / "net.onnx", f"{sys.executable} {tmp_path / 'vendor.py'} {{model}}"


def test_the_smallest_model_is_written(given: tuple[Path, str], tmp_path: Path) -> None:
    model, command = given
    words = (model, "--while", command, "--says", "boom", "--out", tmp_path / "small.onnx")
    result = run(*words, "--results", tmp_path / "kept")
    assert result.exit_code == 0 and "exit code 4" in result.output, result.output
    assert len(onnx.load(tmp_path / "small.onnx").graph.node) == 2
    assert run(*words).exit_code == 2  # it is in the way
    again = run(*words, "--force", "--results", tmp_path / "kept", "--json")
    assert json.loads(again.stdout)["runs"] == 0


def test_nothing_is_written_where_nothing_fails(given: tuple[Path, str], tmp_path: Path) -> None:
    model, _ = given
    result = run(model, "--while", f"{sys.executable} -c 0", "--out", tmp_path / "small.onnx")
    assert result.exit_code == 2 and "nothing to reduce" in result.stderr
    assert not (tmp_path / "small.onnx").exists()
    assert run(tmp_path / "vendor.py", "--while", "false", "--out", tmp_path / "small.onnx").exit_code == 2
