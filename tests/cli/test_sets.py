"""Golden sets wherever inputs and dumps are taken: golden, run, explain, compare, identify; and explain's start."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from onnx import numpy_helper
from PIL import Image

import qdqnp
from qdqnp import golden_sets
from qdqnp.cli import cli
from qdqnp.diagnosis.reference import reference_from
from tests.diagnosis.compare.test_sets import cube, write

MINE = 'name = "mine"\nbase = "tflite"\nconv.precision = "float32"\n'


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def good(*arguments: object) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sets")
    onnx.save(cube(), path / "net.onnx")
    write(path / "gold", cube(), 2, activations="NHWC")
    other = cube()
    scale = next(t for t in other.graph.initializer if t.name == "v_s")
    scale.CopyFrom(numpy_helper.from_array(np.float32(0.021), "v_s"))
    write(path / "changed", other, 2, formats=("bin",))
    return path


def test_a_set_is_an_input(place: Path) -> None:
    good("golden", place / "net.onnx", "--input", place / "gold", "--profile", "cmsis-nn", "--out", place / "again")
    first, second = golden_sets.read(place / "gold"), golden_sets.read(place / "again")
    assert second.inputs == 2
    for tensor in second.tensors:
        if tensor.role == "output":
            assert np.array_equal(second.array(tensor, 1), first.array(first.find(tensor.name, "output"), 1))
    good("run", place / "net.onnx", "--input", place / "gold", "--profile", "cmsis-nn", "--output", place / "y.npz")
    y = first.find("e_q_real", "output")
    assert np.array_equal(np.load(place / "y.npz")["e_q_real"], np.concatenate([first.array(y, c) for c in (0, 1)]))


def test_two_sets_tell_which_layers_changed(place: Path) -> None:
    result = run("compare", place / "gold", place / "changed", "--json")
    found = json.loads(result.stdout)
    assert result.exit_code == 1
    assert [row["label"] for row in found["layers"] if row["single"]["differing"]] == ["depthwise"]


def test_a_set_is_a_dump_of_identify(place: Path) -> None:
    assert "cmsis-nn" in run("identify", place / "gold", place / "gold").stdout


def device(place: Path, layer: str, change: Any) -> tuple[Path, dict[str, np.ndarray]]:
    """A device whose layer is wrong, and that goes on with what it made."""
    reference = reference_from(place / "gold")
    step = next(step for step in reference.plan.program.steps if step.label == layer)
    arrays: dict[str, list[np.ndarray]] = {}
    for case in range(2):
        values = dict(reference.given[case])
        for bound in reference.plan.steps:
            values |= bound.compute(values)
            if bound.step is step:
                values[step.output_names[0]] = change(values[step.output_names[0]].copy(), case)
        for name in (name for bound in reference.plan.steps for name in bound.step.output_names):
            arrays.setdefault(name, []).append(values[name])
    stacked = {name: np.stack(parts) for name, parts in arrays.items()}
    np.savez(place / f"{layer}.npz", **stacked)  # type: ignore[arg-type]
    return place / f"{layer}.npz", stacked


def test_explain_starts_at_the_first_wrong_element_with_the_devices_inputs(place: Path) -> None:
    def change(array: np.ndarray, case: int) -> np.ndarray:
        if case == 1:
            array[0, 2, 3, 1] = 40 if array[0, 2, 3, 1] != 40 else 41
        return array

    dump, arrays = device(place, "add", change)
    found = json.loads(good("explain", place / "gold", dump, "--json"))
    assert (found["label"], found["tensor"], found["index"]) == ("add", "c_q", [0, 2, 3, 1])
    assert found["got"] == arrays["c_q"][1, 0, 2, 3, 1]
    assert [operand[1] for operand in found["operands"]] == [int(arrays[n][1, 0, 2, 3, 1]) for n in ("a_q", "b_q")]
    assert found["accounts"][0]["profile"] == "cmsis-nn"
    other = json.loads(good("explain", place / "gold", dump, "--layer", "depthwise", "--index", "0,1,2,3", "--json"))
    assert other["label"] == "depthwise" and other["got"] == arrays["b_q"][0, 0, 1, 2, 3]


def test_the_layers_inputs_are_the_devices_own(place: Path) -> None:
    """The first layer errs, and another one behind it: the second is explained from what the first one made."""
    dump, arrays = device(place, "conv", lambda array, case: np.where(array > 0, array - 1, array).astype(np.int8))
    found = json.loads(good("explain", place / "gold", dump, "--layer", "add", "--index", "0,1,2,3", "--json"))
    assert found["operands"][0][1] == arrays["a_q"][0, 0, 1, 2, 3]
    assert found["got"] == found["accounts"][0]["code"] == arrays["c_q"][0, 0, 1, 2, 3]


def test_explain_of_a_right_dump_says_so(place: Path) -> None:
    assert "no layer of the device errs" in good("explain", place / "gold", place / "gold")


def test_explain_of_a_set_alone(place: Path) -> None:
    found = good("explain", place / "gold", "--layer", "add", "--index", "0,1,2,3", "--case", "1")
    y = golden_sets.read(place / "gold")
    assert f"cmsis-nn: {y.array(y.find('c_q', 'output'), 1)[0, 1, 2, 3]}" in found.replace(" (inferred)", "")


@pytest.mark.parametrize(
    "arguments",
    [("gold",), ("net.onnx", "gold"), ("gold", "gold", "gold"), ("gold", "absent"), ("net.onnx", "--layer", "add"),
     ("gold", "gold", "--layer", "nothing"), ("gold", "gold", "--index", "0,9,9,9", "--layer", "add"),
     ("gold", "--input", "gold", "--layer", "add", "--index", "0,0,0,0")],
)  # fmt: skip
def test_bad_usage_of_explain(place: Path, arguments: tuple[str, ...]) -> None:
    named = [place / text if text in ("gold", "net.onnx", "absent") else text for text in arguments]
    assert run("explain", *named).exit_code == 2


def test_got_knows_the_limits_of_clamps(place: Path) -> None:
    """The device's Add ends at the zero point of its output, as if there were a ReLU behind it."""
    reference = reference_from(place / "gold")
    codes = reference.cases[0]["c_q"]
    at = tuple(int(i) for i in np.argwhere(codes < -20)[0])
    found = good("explain", place / "gold", "--layer", "add", "--index", ",".join(map(str, at)), "--got", "-3")
    assert "wrong clamp (the lowest is -3, the zero point" in found


def test_a_set_of_a_profile_of_ones_own_needs_no_second_copy_of_it(tmp_path: Path) -> None:
    onnx.save(cube(), tmp_path / "net.onnx")
    (tmp_path / "mine.toml").write_text(MINE)
    good("golden", tmp_path / "net.onnx", "--profile", tmp_path / "mine.toml", "--out", tmp_path / "own")
    (tmp_path / "mine.toml").unlink()
    good("compare", tmp_path / "own", tmp_path / "own")
    assert "mine" in good("explain", tmp_path / "own", "--layer", "add", "--index", "0,0,0,0")
    manifest = json.loads((tmp_path / "own" / "manifest.json").read_text())
    manifest["profile"]["parameters"]["conv"]["kind"] = "nothing"
    (tmp_path / "own" / "manifest.json").write_text(json.dumps(manifest))
    result = run("compare", tmp_path / "own", tmp_path / "own" / "npz")
    assert result.exit_code == 2 and "--profile FILE.toml" in result.stderr


@pytest.mark.parametrize("command", ["golden", "explain", "diff"])
def test_pictures_wherever_inputs_are_taken(tmp_path: Path, command: str) -> None:
    model = cube()
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 3
    weights = next(t for t in model.graph.initializer if t.name == "w")
    weights.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weights)[:, :3], "w"))
    onnx.save(model, tmp_path / "net.onnx")
    pixels = np.random.default_rng(0).integers(0, 256, (9, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "cat.png")
    options: dict[str, list[object]] = {
        "golden": ["--out", tmp_path / "a" / "b"],
        "explain": ["--layer", "add", "--index", "0,0,0,0"],
        "diff": ["--profiles", "ort,tflite"],
    }
    scaling = ("--resize", "4x4", "--scale", "1/255", "--mean", "0.5")
    good(command, tmp_path / "net.onnx", "--input", tmp_path / "cat.png", *scaling, *options[command])
    if command == "golden":
        x = golden_sets.read(tmp_path / "a" / "b").feeds()["x"]
        assert x.shape == (1, 3, 4, 4) and -0.5 <= x.min() < x.max() <= 0.5
        assert qdqnp.load(tmp_path / "net.onnx").run(x)
