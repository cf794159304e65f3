"""--host-float on commands that compare, explain and construct: what a host computes runs, and is marked."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result

from qdqnp.cli import cli
from tests.lowering.models import F, Net


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Conv, a Softplus that no device has, Add."""
    net = Net()
    x = net.qdq(net.input((1, 3, 6, 6)), 0.05, 3)
    conv = net.qdq(net.node("Conv", x, net.weight(4, 3, 3, 3)), 0.2, -5)
    soft = net.qdq(net.node("Softplus", conv), 0.1, -128)
    net.output(net.qdq(net.node("Add", conv, soft), 0.3, 2))
    file = tmp_path_factory.mktemp("models") / "net.onnx"
    onnx.save(net.model(), file)
    np.save(file.with_suffix(".npy"), np.random.default_rng(1).standard_normal((1, 3, 6, 6)).astype(F))
    return file


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def test_diff(path: Path) -> None:
    words = ("diff", path, "--profiles", "tflite,tflite-single")
    refused = run(*words)
    assert refused.exit_code == 2 and "Softplus in float32" in refused.stderr and "--host-float" in refused.stderr
    shown = run(*words, "--host-float")
    assert shown.exit_code == 0, shown.output
    lines = shown.output.splitlines()
    (soft,) = (line for line in lines if " Softplus " in line and "n_softplus" in line)
    assert soft.split()[-1].endswith("^") and lines[-1].startswith("^ a host computes it in float32")
    (conv,) = (line for line in lines if " QLinearConv " in line and "n_conv" in line)
    assert "^" not in conv
    found = json.loads(run(*words, "--host-float", "--json").stdout)
    hosted = {row["op"]: row["profiles"][1]["host_float"] for row in found["layers"]}
    assert hosted["Softplus"] == "Softplus in float32" and hosted["QLinearConv"] == hosted["QLinearAdd"] == ""


def test_explain(path: Path) -> None:
    words = ("explain", path, "--input", path.with_suffix(".npy"), "--layer", "n_softplus*", "--index", "0,1,2,3")
    profiles = ("--profiles", "tflite,ort")
    assert run(*words, *profiles).exit_code == 2
    shown = run(*words, *profiles, "--host-float")
    assert shown.exit_code == 0, shown.output
    assert "tflite, on the host, not promised (Softplus in float32)" in shown.output
    # a layer behind it, which is the device's own, is not marked
    behind = run("explain", *words[1:4], "--layer", "n_add*", "--index", "0,1,2,3", *profiles, "--host-float")
    assert behind.exit_code == 0 and "on the host" not in behind.output


def test_stimulate(path: Path, tmp_path: Path) -> None:
    words = ("stimulate", path, "--profile", "tflite", "--count", 1, "--steps", 1, "--out", tmp_path / "set")
    assert run(*words).exit_code == 2 and not (tmp_path / "set").exists()
    shown = run(*words, "--host-float")
    assert shown.exit_code == 0, shown.output
    assert "on the host in float32, not promised, as all that is made of them: n_softplus" in shown.output
    manifest = json.loads((tmp_path / "set" / "manifest.json").read_text())
    assert manifest["coverage"]["on_host"][0].startswith("n_softplus")
    alone = run("stimulate", path, "--profile", "tflite", "--layer", "n_add*", "--count", 1, "--out", tmp_path / "one")
    assert alone.exit_code == 0, alone.output  # a layer that is defined needs no host
