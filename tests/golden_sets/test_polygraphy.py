"""The format polygraphy: what Polygraphy loads, and what compare reads back as a dump."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner

import qdqnp
from qdqnp.cli import cli
from qdqnp.files.run_results import array_document
from qdqnp.golden_sets import Options, write
from tests.networks import dla

NETWORK = dla(size=8)
OUTPUT = NETWORK.graph.output[0].name


def run(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture(scope="module")
def inputs() -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(3)
    return [{"input": rng.normal(size=(1, 3, 8, 8)).astype(np.float32)} for _ in range(2)]


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory, inputs: list[dict[str, np.ndarray]]) -> Path:
    out = tmp_path_factory.mktemp("set") / "vectors"
    options = Options(
        formats=("npz", "polygraphy"), activations="NHWC", roles=("network_input", "output", "network_output")
    )
    write(out, NETWORK, inputs, 2, options=options)
    return out


def test_polygraphy_loads_inputs_and_outputs(golden: Path, inputs: list[dict[str, np.ndarray]]) -> None:
    comparator, theirs = pytest.importorskip("polygraphy.comparator"), pytest.importorskip("polygraphy.json")
    loaded = theirs.load_json(str(golden / "polygraphy" / "inputs.json"))
    assert [list(given) for given in loaded] == [["input"], ["input"]]
    results = comparator.RunResults.load(str(golden / "polygraphy" / "outputs.json"))
    model = qdqnp.load(NETWORK)
    for given, read, found in zip(inputs, loaded, results["qdqnp"], strict=True):
        assert np.array_equal(read["input"], given["input"])
        trace = model.trace(given)
        assert len(found) == len(model.program().steps)
        for name, array in found.items():  # in ONNX's order, though the set is stored in NHWC
            assert array.dtype == trace[name].dtype and np.array_equal(array, trace[name]), name


def test_a_dump_of_polygraphy_is_compared(golden: Path, tmp_path: Path) -> None:
    results = golden / "polygraphy" / "outputs.json"
    assert "equal: 0 of " in run("compare", golden, results)
    document = json.loads(results.read_bytes())
    iterations = document["lst"][0][1]
    name = "conv_11_q"
    iterations[0]["outputs"][name], iterations[1]["outputs"][name] = (i["outputs"][name] for i in iterations[::-1])
    (tmp_path / "swapped.json").write_text(json.dumps(document))
    assert name in run("compare", golden, tmp_path / "swapped.json", code=1)
    (tmp_path / "bad.json").write_text("{}")
    assert "no RunResults of Polygraphy" in run("compare", golden, tmp_path / "bad.json", code=2)


@pytest.fixture
def network(tmp_path: Path) -> Path:
    onnx.save(NETWORK, tmp_path / "net.onnx")
    return tmp_path / "net.onnx"


def test_polygraphy_s_inputs_are_inputs(
    network: Path, golden: Path, tmp_path: Path, inputs: list[dict[str, np.ndarray]]
) -> None:
    run("run", network, "--input", golden / "polygraphy" / "inputs.json", "--output", tmp_path / "out.npz")
    model = qdqnp.load(NETWORK)
    expected = np.concatenate([model.run(given)[OUTPUT] for given in inputs])
    assert np.array_equal(np.load(tmp_path / "out.npz")[OUTPUT], expected)
    (tmp_path / "other.json").write_text(json.dumps([{"x": array_document(inputs[0]["input"])}]))
    assert "an array for the input 'input'" in run("run", network, "--input", tmp_path / "other.json", code=2)
    (tmp_path / "small.json").write_text(json.dumps([{"input": array_document(np.zeros((1, 3, 4, 4), np.float32))}]))
    assert "the shape [1, 3, 8, 8]" in run("run", network, "--input", tmp_path / "small.json", code=2)


def test_the_runner_is_named_on_the_command_line(golden: Path, tmp_path: Path) -> None:
    document = json.loads((golden / "polygraphy" / "outputs.json").read_bytes())
    document["lst"].append(["trt-runner", []])
    (tmp_path / "two.json").write_text(json.dumps(document))
    assert "2 runners ('qdqnp', 'trt-runner')" in run("compare", golden, tmp_path / "two.json", code=2)
    assert "equal: 0 of" in run("compare", golden, tmp_path / "two.json", "--runner", "qdq")


def test_run_writes_run_results(network: Path, tmp_path: Path, inputs: list[dict[str, np.ndarray]]) -> None:
    comparator = pytest.importorskip("polygraphy.comparator")
    np.savez(tmp_path / "x.npz", **inputs[0])
    run("run", network, "--input", tmp_path / "x.npz", "--output", tmp_path / "out.json")
    (found,) = comparator.RunResults.load(str(tmp_path / "out.json"))["qdqnp"]
    assert np.array_equal(found[OUTPUT], qdqnp.load(NETWORK).run(inputs[0])[OUTPUT])
