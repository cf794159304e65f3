"""What commands take as inputs beyond one file: a file for each of several inputs, a golden set, a case of one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result

from qdqnp.cli import cli
from qdqnp.diagnosis.probe.catalog import probes
from qdqnp.diagnosis.probe.folder import write_probes
from qdqnp.golden_sets import read
from tests.networks import dla


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("net") / "net.onnx"
    onnx.save(dla(group=2), path)
    return path


def test_a_set_of_stimuli_in_another_order_is_inputs_elsewhere(net: Path, tmp_path: Path) -> None:
    """The layer's own model takes the set, and one case of it: values in the order of ONNX, whatever the stored one."""
    orders = ("--activations", "nhwc", "--weights", "ohwi", "--cmsis-nn", "--prefix", "stim", "--align", 16)
    made = run("stimulate", net, "--layer", "QLinearConv", "--profile", "cmsis-nn", "--out", tmp_path / "st", *orders)
    label = "QLinearConv"
    if made.exit_code:
        label = next(layer["label"] for layer in read_layers(net, tmp_path) if layer["op"] == "QLinearConv")
        made = run("stimulate", net, "--layer", label, "--profile", "cmsis-nn", "--out", tmp_path / "st", *orders)
    assert made.exit_code == 0, made.output
    stimuli = read(tmp_path / "st")
    assert {t.layout for t in stimuli.tensors if t.role == "network_input"} == {"NHWC"}
    assert stimuli.manifest["options"]["prefix"] == "stim" and any(t.stage == "input_offset" for t in stimuli.tensors)
    model = tmp_path / "st" / "model.onnx"
    for given, cases in ((tmp_path / "st", range(stimuli.inputs)), (tmp_path / "st" / "npz" / "case_00001.npz", [1])):
        out = tmp_path / f"again_{len(cases)}"
        done = run("golden", model, "--input", given, "--profile", "cmsis-nn", "--out", out)
        assert done.exit_code == 0, done.output
        again = read(out)
        assert again.inputs == len(cases)
        for number, case in enumerate(cases):
            for name, array in stimuli.feeds(case).items():
                np.testing.assert_array_equal(again.feeds(number)[name], array)
            output = next(t for t in stimuli.tensors if t.role == "network_output")
            np.testing.assert_array_equal(again.array(again.find(output.name), number), stimuli.array(output, case))


def read_layers(net: Path, tmp_path: Path) -> list[dict]:
    run("golden", net, "--profile", "cmsis-nn", "--out", tmp_path / "layers")
    return list(read(tmp_path / "layers").manifest["layers"])


def test_a_file_for_each_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `qdqnp probe` writes them, in either order, one run after the other."""
    (probe,) = (probe for probe in probes() if probe.name == "add_tie")
    write_probes(tmp_path / "probes", [probe])
    folder = tmp_path / "probes" / "add_tie"
    (tmp_path / "board_of_two.py").write_text("def run(inputs):\n    return {'y': inputs['a'] - inputs['b']}\n")
    monkeypatch.chdir(tmp_path)
    files = [folder / "b.npy", folder / "a.npy", folder / "a.npy", folder / "b.npy"]
    given = [word for path in files for word in ("--input", path)]
    done = run("capture", folder / "model.onnx", *given, "--device", "board_of_two:run", "--out", tmp_path / "dump")
    assert done.exit_code == 0, done.output
    assert "2 runs" in done.output
    (answer,) = [np.load(path) for path in (tmp_path / "dump").glob("y.npy")]
    difference = np.load(folder / "a.npy") - np.load(folder / "b.npy")
    np.testing.assert_array_equal(answer.reshape(2, *difference.shape), [difference, difference])
    done = run(
        "capture",
        folder / "model.onnx",
        "--input",
        folder / "a.npy",
        "--device",
        "board_of_two:run",
        "--out",
        tmp_path / "x",
    )
    assert done.exit_code == 2 and "b" in done.output
