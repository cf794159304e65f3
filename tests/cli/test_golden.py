"""`qdqnp golden` and `qdqnp schema` as a user calls them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result

import qdqnp
from qdqnp.cli import cli
from qdqnp.golden_sets import FORMATS, read, schema_text
from tests.networks import dla

# Other working folders import the same package as this process does.
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(qdqnp.__file__).parents[1])}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("models") / "net.onnx"
    onnx.save(dla(group=16), file)
    return file


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def test_the_size_is_said_before_the_second_input_is_written(path: Path, tmp_path: Path) -> None:
    result = run("golden", path, "--random", 20, "--format", "bin", "--out", tmp_path / "set")
    assert result.exit_code == 0, result.output
    said = re.fullmatch(r"about .* \((\d+) bytes\) for 20 inputs\n", result.stderr)
    files = list((tmp_path / "set").rglob("*.bin"))
    assert said is not None and abs(int(said[1]) / sum(file.stat().st_size for file in files) - 1) < 0.05
    assert "about" not in run("golden", path, "--out", tmp_path / "one").stderr


def test_inputs_of_files_and_random_ones(path: Path, tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 16, 16)).astype(np.float32)
    np.save(tmp_path / "two.npy", x)
    np.savez(tmp_path / "one.npz", input=x[:1] + 1)
    result = run(
        "golden",
        path,
        "--input",
        tmp_path / "two.npy",
        tmp_path / "one.npz",
        "--random",
        2,
        "--seed",
        7,
        "--profile",
        "tflite",
        "--out",
        tmp_path / "set",
        "--layers",
        "QLinearAdd",
    )
    assert result.exit_code == 0, result.output
    found = read(tmp_path / "set")
    assert found.inputs == 5 and found.manifest["seed"] == 7 and found.manifest["model"]["name"] == "net.onnx"
    for case, wanted in enumerate((x[:1], x[1:], x[:1] + 1)):
        np.testing.assert_array_equal(found.feeds(case)["input"], wanted)
    assert not np.array_equal(found.feeds(3)["input"], found.feeds(4)["input"])
    assert result.stdout.startswith("wrote set: 34 tensors of 4 layers") and "5 inputs" in result.stdout


def test_without_inputs_there_is_one_random_one_and_with_files_none(path: Path, tmp_path: Path) -> None:
    assert run("golden", path, "--out", tmp_path / "a", "--layer", "MaxPool").exit_code == 0
    found = read(tmp_path / "a")
    assert found.inputs == 1 and found.manifest["seed"] == 0 and found.profile == "ort"
    np.savez(tmp_path / "x.npz", input=found.feeds()["input"])
    assert run("golden", path, "--out", tmp_path / "b", "--input", tmp_path / "x.npz").exit_code == 0
    assert read(tmp_path / "b").inputs == 1 and read(tmp_path / "b").manifest["seed"] is None


def test_every_option_reaches_the_set(path: Path, tmp_path: Path) -> None:
    result = run(
        "golden",
        path,
        "--out",
        tmp_path / "set",
        "--format",
        "npz,hex",
        "--format",
        "c,c-crc",
        "--layer",
        "QLinearConv",
        "--roles",
        "weight,output",
        "--roles",
        "parameter",
        "--activations",
        "nhwc",
        "--weights",
        "ohwi",
        "--depthwise",
        "1hwc",
        "--cmsis-nn",
        "--hex-width",
        64,
        "--hex-lanes",
        "big",
        "--align",
        8,
        "--section",
        ".vectors",
        "--prefix",
        "mine",
        "--skeleton",
        "main,gtest",
        "--limit-flash",
        2**30,
        "--no-model",
    )
    assert result.exit_code == 0, result.output
    found = read(tmp_path / "set")
    assert found.manifest["options"] == {
        "formats": ["npz", "hex", "c", "c-crc"],
        "layers": ["QLinearConv"],
        "roles": ["weight", "output", "parameter"],
        "activations": "NHWC",
        "weights": "OHWI",
        "depthwise": "1HWC",
        "cmsis_nn": True,
        "hex_width": 64,
        "hex_lanes": "big",
        "alignment": 8,
        "section": ".vectors",
        "prefix": "mine",
        "skeletons": ["main", "gtest"],
        "harness": "",
        "limit_flash": 2**30,
        "store_model": False,
    }
    weights = {t.layout for t in found.tensors if t.role == "weight"}
    assert weights == {"OHWI", "1HWC"} and {t.layout for t in found.tensors if t.role == "output"} == {"NHWC"}
    for tensor in found.tensors:
        if tensor.layout == "1HWC":
            with np.load(tmp_path / "set" / tensor.files["npz"]["file"]) as archive:
                stored = archive[tensor.files["npz"]["member"]]
            np.testing.assert_array_equal(stored, np.moveaxis(found.array(tensor), 0, -1))
    offset = next(t for t in found.tensors if t.stage == "input_offset")
    program_input = next(t for t in found.manifest["layers"] if t["index"] == offset.index)["inputs"][0]
    full = run("golden", path, "--out", tmp_path / "full", "--roles", "input")
    assert full.exit_code == 0
    assert found.array(offset) == -read(tmp_path / "full").find(program_input).zero_point
    text = (tmp_path / "set" / "c" / "mine.h").read_text()
    assert '__attribute__((aligned(8), section(".vectors")))' in text


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--format", "csv"], "option formats"),
        (["--format", "npzz"], "got 'npzz'. Did you mean 'npz'"),
        (["--roles", "codes"], "option roles"),
        (["--layer", "nothing"], "no such layer"),
        (["--profile", "nothing"], "no such profile"),
        (["--input", "missing.npy"], "cannot read an input file"),
        (["--hex-width", "9"], "option hex_width"),
        (["--limit-bytes", "1000"], "too large"),
        (["--section", "a b"], "option section"),
        (["--profile", "tflite", "--input", "wrong.npy"], "do not fit the model"),
    ],
)
def test_errors_are_one_message_and_leave_nothing(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], expected: str
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("wrong.npy", np.zeros((1, 4, 16, 16), np.float32))
    result = run("golden", path, "--out", "set", *arguments)
    assert result.exit_code == 2 and expected in result.stderr
    assert [item.name for item in tmp_path.iterdir()] == ["wrong.npy"]


def test_usage(path: Path, tmp_path: Path) -> None:
    assert run("golden", path).exit_code == 2
    assert "after --input" in run("golden", path, "x.npy", "--out", tmp_path / "s").stderr
    twice = run("golden", path, "--input", "a.npy", "b.npy", "--input", "c.npy", "--out", tmp_path / "s")
    assert twice.exit_code == 2 and "after one --input" in twice.stderr
    assert all(form in run("golden", "--help").stdout for form in FORMATS)


def test_force(path: Path, tmp_path: Path) -> None:
    arguments = ("golden", path, "--out", tmp_path / "set", "--layer", "MaxPool")
    assert run(*arguments).exit_code == 0
    again = run(*arguments)
    assert again.exit_code == 2 and "--force" in again.stderr
    assert run(*arguments, "--force", "--format", "bin").exit_code == 0
    assert read(tmp_path / "set").manifest["options"]["formats"] == ["bin"]


def test_intel_hex_without_its_package(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "intelhex", None)
    result = run("golden", path, "--out", tmp_path / "set", "--format", "ihex")
    assert result.exit_code == 2 and 'pip install "qdqnp[ihex]"' in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_schema_is_printed_as_it_is_published() -> None:
    result = run("schema")
    assert result.exit_code == 0 and result.stdout == schema_text()
    assert json.loads(result.stdout)["properties"]["format"] == {"const": "qdqnp-golden"}


def test_from_an_empty_folder_without_any_option(path: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "qdqnp", "golden", path, "--out", "set"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
    )
    assert done.returncode == 0, done.stderr
    assert read(tmp_path / "set").inputs == 1


def test_values_that_are_not_golden_are_pointed_out(tmp_path: Path) -> None:
    graph = onnx.parser.parse_graph("g (float[1, 4] x) => (float[1, 4] y) { y = Cos(x) }")
    opsets = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=9), tmp_path / "net.onnx")
    result = run("golden", tmp_path / "net.onnx", "--out", tmp_path / "set")
    assert result.exit_code == 0 and "not promised to be exact, from y on: float32 Cos" in result.stderr
    found = read(tmp_path / "set")
    assert found.find("x").doubt == "" and "Cos" in found.find("y").doubt
