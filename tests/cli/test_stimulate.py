"""`qdqnp stimulate`: the set that it writes, what it prints, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result

import qdqnp
from qdqnp import golden_sets
from qdqnp.cli import cli
from tests.networks import dla
from tests.stimuli import layers


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("models") / "net.onnx"
    onnx.save(dla(size=8), file)
    return file


@pytest.fixture(scope="module")
def labels(path: Path) -> dict[str, str]:
    """The first layer of each operator."""
    found: dict[str, str] = {}
    for step in qdqnp.load(path).program().steps:
        found.setdefault(step.op, step.label)
    return found


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["stimulate", *(str(argument) for argument in arguments)])


def test_a_layer_becomes_a_set_of_its_own(path: Path, labels: dict[str, str], tmp_path: Path) -> None:
    out, label = tmp_path / "set", labels["QLinearConv"]
    result = run(
        path,
        "--out",
        out,
        "--layer",
        label,
        "--profile",
        "tflite",
        "--discriminate",
        "tflite,tflite-single",
        "--count",
        2,
    )
    assert result.exit_code == 0, result.output
    for text in (
        "first-maximum-then-minus-one",
        "all together",
        "accumulators are proven to lie in [",
        "most negative accumulator: reached in 8 of 8 channels",
        "difference: reached in",
    ):
        assert text in result.output
    found = golden_sets.read(out)
    coverage = found.manifest["coverage"]
    assert coverage["layer"] == label
    assert len(coverage["cases"]) == found.inputs
    # the stored model gives the stored outputs, and every target is where the manifest says
    model = qdqnp.load(found.model())
    output = next(t for t in found.tensors if t.role == "network_output")
    for case in coverage["cases"]:
        feeds = found.feeds(case["case"])
        assert np.array_equal(model.run(feeds, profile="tflite")[output.name], found.array(output, case["case"]))
        acc = model.trace(feeds, profile="tflite", accumulators=True).accumulators[output.name]
        for target in case["targets"]:
            assert np.moveaxis(acc, 1, -1)[tuple(target["index"])] == target["accumulator"]
    totals = coverage["total"][label]
    assert totals["accumulator_min"] == coverage["accumulator_bound"][0]
    assert totals["accumulator_max"] == coverage["accumulator_bound"][1]
    assert {verdict["verdict"] for verdict in coverage["verdicts"]} <= {"reached", "unreachable", "undecided"}


def test_json_is_the_manifests_coverage(path: Path, labels: dict[str, str], tmp_path: Path) -> None:
    result = run(path, "--out", tmp_path / "set", "--layer", labels["QLinearAdd"], "--json")
    assert result.exit_code == 0, result.output
    printed = json.loads(result.output)
    stored = json.loads((tmp_path / "set" / "manifest.json").read_text())["coverage"]
    assert {key: printed[key] for key in stored} == stored
    assert (
        "over all 65,536 pairs of codes" in run(path, "--out", tmp_path / "b", "--layer", labels["QLinearAdd"]).output
    )
    assert {case["kind"] for case in stored["cases"]} >= {"every code", "random", "alternating"}


def test_a_network_becomes_a_set_of_its_inputs_and_outputs(path: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    result = run(path, "--out", out, "--count", 1, "--steps", 2, "--discriminate", "ort,tflite")
    assert result.exit_code == 0, result.output
    assert "search: the best that was found" in result.output
    assert "exact" not in result.output
    found = golden_sets.read(out)
    assert {tensor.role for tensor in found.tensors} == {"network_input", "network_output"}
    assert found.model() == path.read_bytes()
    assert found.inputs == 8
    assert found.array(found.find("input"), 0).dtype == np.int8


def test_the_same_call_gives_the_same_bytes(path: Path, labels: dict[str, str], tmp_path: Path) -> None:
    texts = []
    for name in ("a", "b"):
        assert run(path, "--out", tmp_path / name, "--layer", labels["QLinearConv"], "--seed", 3).exit_code == 0
        texts.append((tmp_path / name / "manifest.json").read_bytes())
    assert texts[0] == texts[1]


def test_what_is_in_the_way_stays(path: Path, labels: dict[str, str], tmp_path: Path) -> None:
    out = tmp_path / "set"
    out.mkdir()
    (out / "mine").write_text("kept")
    result = run(path, "--out", out, "--layer", labels["QLinearConv"])
    assert result.exit_code == 2
    assert "Use --force" in result.output
    assert run(path, "--out", out, "--layer", labels["QLinearConv"], "--force").exit_code == 2  # no golden set
    assert (out / "mine").read_text() == "kept"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--layer", "nothing like it"), "no such layer"),
        (("--layer", "Flatten"), "no integer arithmetic"),
        (("--discriminate", "tflite"), "expected two profiles"),
        (("--discriminate", "tflite,tflute"), "no such profile"),
        (("--profile", "nvdla"), "cannot run under profile 'nvdla'"),
        (("--shape", "1x3x8"), "shapes that do not fit the model"),
        (("--shape", "1x3x8x-8"), "expected sizes such as"),
        (("--shape", "other=1x3x8x8"), "an input of the model"),
    ],
)
def test_refusals_leave_nothing_behind(path: Path, tmp_path: Path, arguments: tuple[str, ...], text: str) -> None:
    result = run(path, "--out", tmp_path / "set", *arguments)
    assert result.exit_code == 2
    assert text in result.output
    assert list(tmp_path.iterdir()) == []


def test_names_from_a_model_are_printed_harmlessly(tmp_path: Path) -> None:
    model = layers.conv(np.full((1, 1, 1, 1), 3), (1, 1, 2, 2), (0.5, [0.5], 1.0))
    model.graph.node[0].name = "[red]../../x\x1b[31m"
    onnx.save(model, tmp_path / "net.onnx")
    result = run(tmp_path / "net.onnx", "--out", tmp_path / "set", "--layer", "[red]../../x\x1b[31m")
    assert result.exit_code == 0, result.output
    assert "\x1b" not in result.output
    assert "layer [red]../../x\\x1b[31m" in result.output
    assert sorted(item.name for item in tmp_path.iterdir()) == ["net.onnx", "set"]
