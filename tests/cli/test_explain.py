"""`qdqnp explain`: the steps of an element, JSON, causes, exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result

import qdqnp
from qdqnp.cli import cli
from tests.diagnosis.identify.simulated import SIZE, network
from tests.ops.test_origin import DRAWN


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("models")
    onnx.save(network(5), made / "net.onnx")
    np.save(made / "x.npy", np.random.default_rng(5).standard_normal((1, 3, SIZE, SIZE), dtype=np.float32))
    return made


def run(folder: Path, *arguments: object) -> Result:
    fixed = ["explain", folder / "net.onnx", "--input", folder / "x.npy"]
    return CliRunner().invoke(cli, [str(argument) for argument in (*fixed, *arguments)])


def test_profiles_side_by_side(folder: Path) -> None:
    result = run(folder, "--layer", 1, "--index", "0,3,0,5", "--profiles", "ort,tflite,neural-art,pow2,ort-arm64")
    assert result.exit_code == 0, result.output
    assert "the largest 8 of 27 products, 9 of them in the padding" in result.output
    for text in ("ShiftRight", "narrowed", "from a tie", "neural-art-1.1.3", "ort-arm64 (inferred)", "powers of two"):
        assert text in result.output
    x = np.load(folder / "x.npy")
    model = qdqnp.load(folder / "net.onnx")
    step = model.program().steps[1]
    for profile in ("ort", "tflite"):
        assert f"{profile}: {model.trace(x, profile=profile)[step.output_names[0]][0, 3, 0, 5]}" in result.output


def test_json_says_the_same(folder: Path) -> None:
    found = json.loads(run(folder, "--layer", 1, "--index", "0,3,0,5", "--json").stdout)
    assert found["index"] == [0, 3, 0, 5] and found["op"] == "QLinearConv"
    steps = {line["name"]: line["value"] for line in found["accounts"][0]["lines"]}
    assert steps["acc"] == found["total"] + found["bias"]
    assert steps["y"] == found["accounts"][0]["code"]


def test_a_value_with_a_cause_and_one_without(folder: Path) -> None:
    found = json.loads(run(folder, "--layer", 1, "--index", "0,3,4,5", "--json").stdout)
    code, bias, total = found["accounts"][0]["code"], found["bias"], found["total"]
    model = qdqnp.load(folder / "net.onnx")
    multiplier = float(model.plan().steps[1].parameters({})["multiplier"][3])
    zero = int(model.program().steps[1].outputs[0].quant.zero_point)
    unbiased = int(np.clip(np.rint(np.float32(total) * np.float32(multiplier)) + zero, -128, 127))
    assert unbiased != code and bias
    result = run(folder, "--layer", 1, "--index", "0,3,4,5", "--got", unbiased)
    assert "all biases dropped" in result.output and "one channel's bias dropped" in result.output
    assert f"{code} is what ort gives" in run(folder, "--layer", 1, "--index", "0,3,4,5", "--got", code).output
    assert "none of the known causes gives it" in run(folder, "--layer", 1, "--index", "0,3,4,5", "--got", 1000).output


@pytest.mark.parametrize("name", DRAWN)
def test_every_layer_and_several_elements_of_every_operator(
    name: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    """As a table under the default profile, and as JSON under several with a code to look for."""
    several = ("--profiles", "ort,tflite,cmsis-nn,neural-art,exact,ort-x64", "--got", "3", "--json")
    for number in range(3):
        case = DRAWN[name](rng)
        path, given = tmp_path / f"{number}.onnx", tmp_path / f"{number}.npz"
        onnx.save(case.model, path)
        np.savez(given, **case.inputs)
        model = qdqnp.load(case.model)
        trace = model.trace(case.inputs)
        for tensor in (tensor for step in model.program().steps for tensor in step.output_names if trace[tensor].size):
            for _ in range(2):
                at = tuple(int(rng.integers(size)) for size in trace[tensor].shape)
                asked = ("explain", path, "--input", given, "--layer", tensor, "--index", ",".join(map(str, at)))
                code = trace[tensor][at].item()
                assert f"ort: {code}" in shown(*asked)
                found = json.loads(shown(*asked, *several))["accounts"][0]["code"]
                if isinstance(found, str):  # JSON has no number for NaN and the infinities
                    found = float(found)
                assert found == code or (found != found and code != code)


def shown(*arguments: object) -> str:
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    assert result.exit_code == 0, (arguments, result.output, result.exc_info)
    return result.stdout


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--layer", "nothing", "--index", "0"), "no such layer"),
        (("--layer", "1", "--index", "0,99,0,0"), "within shape [1, 8, 12, 12]"),
        (("--layer", "1", "--index", "zero"), "expected whole numbers"),
        (("--layer", "1", "--index", "0,0,0,0", "--profiles", ","), "expected one or more"),
        (("--layer", "1", "--index", "0,0,0,0", "--profiles", "nobody"), "no such profile"),
    ],
)
def test_bad_usage_exits_with_2(folder: Path, arguments: tuple[str, ...], text: str) -> None:
    result = run(folder, *arguments)
    assert result.exit_code == 2
    assert text in result.output.replace("\n", " ")
