"""`qdqnp demo`: with ONNX Runtime and without, and the commands that it tells the user to try."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import qdqnp
from qdqnp.cli import cli
from qdqnp.inputs.shipped import pictures, shipped_model


def run(*arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "80"}).invoke(cli, list(arguments), prog_name="qdqnp")


@pytest.fixture(scope="module")
def demo() -> Result:
    return run("demo")


def printed_commands(text: str) -> list[list[str]]:
    return [shlex.split(line) for line in text.splitlines() if line.startswith("  qdqnp ")]


def classified(model: str) -> np.ndarray:
    """The predicted class of each shipped picture, with the preprocessing written out."""
    x, _, _ = pictures()
    mean, std = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
    planes = np.moveaxis((x.astype(np.float32) / np.float32(255) - mean) / std, 3, 1)
    loaded = qdqnp.load(shipped_model(model))
    return np.array([loaded.run(plane[np.newaxis])["output"].argmax() for plane in planes])


def test_the_table_shows_what_the_network_says(demo: Result) -> None:
    assert demo.exit_code == 0, demo.output
    _, y, classes = pictures()
    found = classified("dla46_c_int8")
    lines = [line.split() for line in demo.output.splitlines()]
    start = lines.index(["picture", "true", "class", "predicted", "score"]) + 1
    for index, (number, true, predicted, score, verdict) in enumerate(lines[start : start + 10]):
        assert (int(number), true, predicted) == (index, classes[y[index]], classes[found[index]])
        assert 0.1 <= float(score) <= 1
        assert verdict == ("right" if found[index] == y[index] else "wrong")
    assert f"right: {np.count_nonzero(found == y)} of 40;" in demo.output
    assert "ms per picture, one at a time, measured on this machine" in demo.output


def test_every_layer_is_one_line_and_equal(demo: Result) -> None:
    lines = demo.output.splitlines()
    layers = [line for line in lines if line.startswith(("Q", "MaxPool", "Flatten", "DequantizeLinear"))]
    assert len(layers) == len(qdqnp.load(shipped_model("dla46_c_int8")).program().steps)
    assert all(line.split()[-1] == "0" for line in layers)
    assert any(line.startswith("compared with onnxruntime 1.") for line in lines)
    assert any(line.startswith("equal: 0 of ") and line.endswith("over 3 inputs") for line in lines)


def test_the_printed_commands_work_as_printed(demo: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    commands = printed_commands(demo.output)
    assert [command[:2] for command in commands] == [["qdqnp", kind] for kind in ("inspect", "verify", "run")]
    results = [run(*command[1:]) for command in commands]
    assert [result.exit_code for result in results] == [0, 0, 0]
    best = [line.split() for line in results[2].output.splitlines() if line.startswith("cifar10_pictures.npz[")]
    assert [int(line[1]) for line in best] == classified("dla46_c_int8").tolist()
    assert not list(tmp_path.iterdir())


def test_without_onnxruntime_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    result = run("demo", "--model", "dla46x_c_int8")
    assert result.exit_code == 0, result.output
    assert 'pip install "qdqnp[ort]"' in result.output and "Traceback" not in result.output
    assert "right: " in result.output and "equal: " not in result.output
    assert all("dla46x_c_int8.onnx" in command[2] for command in printed_commands(result.output))


def test_a_difference_exits_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    from qdqnp.peers.ort.peer import OrtPeer

    other = shipped_model("dla60x_c_int8")
    monkeypatch.setattr("qdqnp.cli.demo.OrtPeer", lambda _, **__: OrtPeer(other))
    result = run("demo")
    assert result.exit_code == 1 and "NOT EQUAL" in result.output and printed_commands(result.output)


def test_save_copies_what_the_demo_runs_over_no_file(tmp_path: Path) -> None:
    result = run("demo", "--model", "dla46x_c_int8", "--save", str(tmp_path))
    assert result.exit_code == 0 and result.output == "wrote net.onnx, pictures.npz, classes.txt\n"
    assert (tmp_path / "net.onnx").read_bytes() == shipped_model("dla46x_c_int8").read_bytes()
    assert np.array_equal(np.load(tmp_path / "pictures.npz")["x"], pictures()[0])
    assert (tmp_path / "classes.txt").read_text().split() == pictures()[2]
    (tmp_path / "net.onnx").unlink()
    again = run("demo", "--save", str(tmp_path))
    assert again.exit_code == 2 and "pictures.npz" in again.stderr and not (tmp_path / "net.onnx").exists()
    assert run("demo", "--save", str(tmp_path / "none")).exit_code == 2


def test_an_unknown_network_is_bad_usage() -> None:
    result = run("demo", "--model", "resnet")
    assert result.exit_code == 2 and "dla46_c_int8" in result.stderr
