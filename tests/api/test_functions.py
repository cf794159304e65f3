"""Each function of the front door says what its command says: the same JSON, exit code and errors."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import qdqnp
from qdqnp.cli import cli
from qdqnp.inputs.shipped import pictures_path, shipped_model
from qdqnp.numerics.profiles import PROFILES

Array = np.ndarray[Any, Any]


def command(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def same(found: Any, result: Result) -> None:
    """The JSON of the command, and a dictionary of plain values."""
    document = found.to_dict()
    assert document == json.loads(result.stdout), result.stderr
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert getattr(found, "exit_code", 0) == result.exit_code


def test_verify(path: Path) -> None:
    pytest.importorskip("onnxruntime")
    same(qdqnp.verify(path, random=2, seed=5), command("verify", path, "--random", 2, "--seed", 5, "--json"))


def test_verify_takes_a_loaded_model_and_arrays(path: Path) -> None:
    pytest.importorskip("onnxruntime")
    x = np.random.default_rng(0).standard_normal((3, 3, 16, 16), dtype=np.float32)
    found = qdqnp.verify(qdqnp.load(path), x)
    assert found.equal and found.report.inputs == 3 and found.model == "net.onnx"


def test_verify_refuses_a_profile_of_no_session_as_the_command_does(path: Path) -> None:
    with pytest.raises(qdqnp.ProfileError, match="profile: expected one of ort") as caught:
        qdqnp.verify(path, profile="tflite")
    assert command("verify", path, "--profile", "tflite").stderr == f"error: {caught.value}\n"


def test_diff(path: Path) -> None:
    found = qdqnp.diff(path, "ort,tflite", random=2)
    same(found, command("diff", path, "--profiles", "ort,tflite", "--random", 2, "--json"))
    assert {row["profile"] for row in found.rows()} == {"tflite"}
    assert found.to_dict() == qdqnp.diff(path, ["ort", PROFILES["tflite"]], random=2).to_dict()


def test_diff_that_proves(path: Path) -> None:
    found = qdqnp.diff(path, "tflite,tflite-single", prove=True)
    same(found, command("diff", path, "--profiles", "tflite,tflite-single", "--prove", "--json"))
    assert "over all inputs" in repr(found) and found.rows()[0]["profile"] == "tflite-single"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"profiles": "ort"}, "two or more"),
        ({"profiles": "ort,tflite", "shape": (1, 3, 16, 16)}, "They go with prove"),
        ({"profiles": "ort,tflite", "prove": True, "random": 2}, "a proof is about all inputs"),
        ({"profiles": "ort,tflute"}, r"got 'tflute'\. Did you mean 'tflite'"),
        ({"profiles": "ort,tflite", "random": 0}, "at least 1"),
        ({"profiles": "ort,tflite", "inputs": []}, "at least one"),
        ({"profiles": "ort,tflite", "inputs": [3]}, "an array, arrays by name, or a file"),
        ({"profiles": "ort,tflite", "inputs": {"inptu": np.zeros((1, 3, 16, 16), np.float32)}}, "'input' float32"),
        ({"profiles": "ort,tflite", "inputs": "x.npy", "preprocess": {"reszie": 3}}, "'reszie' in preprocess"),
    ],
)
def test_refusals_say_what_was_expected(path: Path, arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(qdqnp.QdqnpError, match=text):
        qdqnp.diff(path, **arguments)


def test_inspect(path: Path) -> None:
    same(qdqnp.inspect(path, profile="tflite"), command("inspect", path, "--profile", "tflite", "--json"))
    same(qdqnp.inspect(path, plan=True), command("inspect", path, "--plan", "--json"))
    found = qdqnp.inspect(path, lowering="ort-x64")
    same(found, command("inspect", path, "--lowering", "ort-x64", "--json"))
    assert found.columns == ("node", "op", "became") and found.rows()
    with pytest.raises(qdqnp.InputError, match="Did you mean 'ort', 'ort-x64'"):
        qdqnp.inspect(path, lowering="ort-z80")
    with pytest.raises(qdqnp.InputError, match="no such lowering"):
        qdqnp.inspect(path, lowering=3)


def test_compare_of_arrays_and_of_their_file(path: Path, vectors: Path, device: dict[str, Array]) -> None:
    found = qdqnp.compare(vectors, device)
    assert found.exit_code == 1 and not found.equal and found.dump == "arrays"
    (own,) = [row for row in found.rows() if row["status"] not in ("equal", "inherited")]
    assert own["name"] == found.first and own["single.largest"] == 1
    file = vectors.parent / "dump.npz"
    np.savez(file, **device)  # type: ignore[arg-type]
    result = command("compare", vectors, file, "--json")
    same(qdqnp.compare(vectors, file), result)
    assert found.to_dict() == {**json.loads(result.stdout), "dump": "arrays"}


def test_compare_takes_every_option_of_the_command(vectors: Path, device: dict[str, Array]) -> None:
    assert not qdqnp.compare(vectors, device, tolerance={"QLinearAdd": 1}).equal
    for tolerance in (1, "1", ["QLinearConv=1"], {"QLinearConv": 1}):
        assert qdqnp.compare(vectors, device, tolerance=tolerance).equal
    renamed = {f"tensor{number}": array for number, array in enumerate(device.values())}
    mapping = {name: f"tensor{number}" for number, name in enumerate(device)}
    assert qdqnp.compare(vectors, renamed, mapping=mapping, tolerance=1).equal
    one = dict(list(device.items())[:1])
    assert qdqnp.compare(vectors, one).exit_code == 2
    (name, array), *_ = [(name, array) for name, array in device.items() if array.ndim == 4]
    last = {name: np.ascontiguousarray(array.transpose(0, 2, 3, 1))}
    assert qdqnp.compare(vectors, last, layout="nhwc", partial=True).report.rows[0].status == "equal"


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ({"layout": "nhwq"}, "option, layout"),
        ({"dtype": "int9"}, "option, dtype"),
        ({"offset": 1.5}, "option, offset"),
        ({"values": "float"}, "option, values"),
    ],
)
def test_compare_refuses_what_no_dump_is_stored_as(
    vectors: Path, device: dict[str, Array], said: dict[str, Any], text: str
) -> None:
    with pytest.raises(qdqnp.InputError, match=text):
        qdqnp.compare(vectors, device, **said)


def test_compare_refuses_what_is_no_array(vectors: Path) -> None:
    with pytest.raises(qdqnp.InputError, match="array 'conv': expected numbers, got <U4"):
        qdqnp.compare(vectors, {"conv": np.array(["text"])})
    with pytest.raises(qdqnp.InputError, match="at least one array"):
        qdqnp.compare(vectors, {})
    with pytest.raises(qdqnp.InputError, match="mapping, 'conv'"):
        qdqnp.compare(vectors, {"conv": np.zeros(3)}, mapping={"conv": 3})  # type: ignore[dict-item]


def test_identify(vectors: Path, device: dict[str, Array], path: Path, tmp_path: Path) -> None:
    names = ["ort", "tflite", "tosa-double"]
    right = qdqnp.load(path).trace(qdqnp.golden_sets.read(vectors).feeds(), profile="tflite")
    found = qdqnp.identify(vectors, right, profiles=names)
    assert found.matched == ["tflite", "tosa-double"] or found.matched == ["tflite"]
    file = tmp_path / "dump.npz"
    np.savez(file, **device)  # type: ignore[arg-type]
    result = command("identify", vectors, file, "--profiles", ",".join(names), "--json")
    same(qdqnp.identify(vectors, file, profiles=names), result)
    assert result.exit_code == 1
    fitted = qdqnp.identify(vectors, right, profiles=names, fit=tmp_path / "mine.toml")
    assert fitted.exit_code == 0 and (tmp_path / "mine.toml").exists() and "fit" in fitted.to_dict()
    with pytest.raises(qdqnp.InputError, match="force"):
        qdqnp.identify(vectors, right, profiles=names, fit=tmp_path / "mine.toml")
    with pytest.raises(qdqnp.InputError, match="a model beside them"):
        qdqnp.identify(vectors, right, outputs="input")


def test_explain(path: Path, vectors: Path, device: dict[str, Array]) -> None:
    label = next(step.label for step in qdqnp.load(path).program().steps if step.op == "QLinearConv")
    found = qdqnp.explain(path, layer=label, index=(0, 1, 2, 3), profiles="tflite,ort")
    options = ("--layer", label, "--index", "0,1,2,3", "--profiles", "tflite,ort")
    same(found, command("explain", path, *options, "--json"))
    assert found.rows()[0]["profile"] == "tflite"
    wrong = qdqnp.explain(vectors, dump=device)
    assert wrong.element is not None and wrong.element.got is not None
    assert f"the device has {wrong.element.got}" in wrong.summary()
    right = qdqnp.explain(
        vectors, dump=qdqnp.load(path).trace(qdqnp.golden_sets.read(vectors).feeds(), profile="tflite")
    )
    assert right.element is None and right.rows() == [] and "no layer" in repr(right)
    for arguments, text in (
        ({"model": path}, "layer and index"),
        ({"model": path, "layer": label, "index": "0,x"}, "whole numbers"),
        ({"model": path, "layer": label, "index": (0, 0, 0, 0), "dump": device}, "a golden set in the place"),
        ({"model": vectors, "inputs": np.zeros(3)}, "a golden set has its own"),
    ):
        with pytest.raises(qdqnp.InputError, match=text):
            qdqnp.explain(**arguments)  # type: ignore[arg-type]


def test_a_dump_in_which_no_layer_errs_has_json_too(path: Path, vectors: Path, tmp_path: Path) -> None:
    right = qdqnp.load(path).trace(qdqnp.golden_sets.read(vectors).feeds(), profile="tflite")
    np.savez(tmp_path / "dump.npz", **right)
    result = command("explain", vectors, tmp_path / "dump.npz", "--json")
    assert result.exit_code == 0 and json.loads(result.stdout) == {"model": "vectors", "tensor": None}


def test_golden_writes_what_the_command_writes(path: Path, tmp_path: Path) -> None:
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    found = qdqnp.golden(
        path, out=mine, layers=["QLinearConv"], roles="output,weight", format=["npz", "c"], align=16, no_model=True
    )
    options = ("--layer", "QLinearConv", "--roles", "output,weight", "--format", "npz,c", "--align", 16, "--no-model")
    assert command("golden", path, "--out", theirs, *options).exit_code == 0
    names = sorted(file.relative_to(mine) for file in mine.rglob("*") if file.is_file())
    assert names == sorted(file.relative_to(theirs) for file in theirs.rglob("*") if file.is_file())
    assert all((mine / name).read_bytes() == (theirs / name).read_bytes() for name in names)
    assert found.read().inputs == 1 and Path(found) == mine and found.rows()
    with pytest.raises(qdqnp.InputError, match="alignement"):
        qdqnp.golden(path, out=tmp_path / "no", alignement=16)  # type: ignore[call-arg]
    with pytest.raises(qdqnp.GoldenError, match="force"):
        qdqnp.golden(path, out=mine)
    assert qdqnp.golden(path, out=mine, force=True).read().inputs == 1


def test_stimulate(path: Path, tmp_path: Path) -> None:
    label = [step.label for step in qdqnp.load(path).program().steps if step.op == "QLinearConv"][-1]
    found = qdqnp.stimulate(
        path, layer=label, profile="tflite", discriminate="tflite,tflite-single", out=tmp_path / "a"
    )
    options = ("--layer", label, "--profile", "tflite", "--discriminate", "tflite,tflite-single")
    same(found, command("stimulate", path, "--out", tmp_path / "b", *options, "--json"))
    assert qdqnp.golden_sets.read(found.folder or "").inputs == len(found.inputs)
    nothing = qdqnp.stimulate(path, layer=label, profile="tflite")
    assert nothing.folder is None
    with pytest.raises(qdqnp.InputError, match="nothing was written"):
        Path(nothing)
    with pytest.raises(qdqnp.InputError, match="expected two profiles"):
        qdqnp.stimulate(path, discriminate="tflite")


def test_stimuli_of_a_network_are_inputs(path: Path) -> None:
    made = qdqnp.stimulate(path, count=1, steps=1)
    assert qdqnp.diff(path, "ort,ort-unfused", made.inputs).report.profiles == ["ort", "ort-unfused"]


def test_a_model_of_a_graph_alone_is_refused_where_a_file_is_needed(path: Path, tmp_path: Path) -> None:
    model = qdqnp.Model(qdqnp.load(path).graph)
    assert qdqnp.inspect(model).model == ""
    with pytest.raises(qdqnp.InputError, match="the model's file is not known"):
        qdqnp.golden(model, out=tmp_path / "set")


def test_models_may_be_cut_as_on_the_command_line(path: Path) -> None:
    name = qdqnp.load(path).program().steps[3].output_names[0]
    same(qdqnp.inspect(path, outputs=name), command("inspect", path, "--outputs", name, "--json"))
    assert qdqnp.inspect(qdqnp.load(path), outputs=[name]).to_dict() == qdqnp.inspect(path, outputs=name).to_dict()


def test_profiles_may_be_values(path: Path) -> None:
    mine = replace(PROFILES["tflite"], name="mine")
    assert qdqnp.inspect(path, profile=mine).to_dict()["profile"] == "mine"
    assert qdqnp.diff(path, [mine, "tflite"]).report.profiles == ["mine", "tflite"]


@pytest.fixture(scope="module")
def results(path: Path, vectors: Path, device: dict[str, Array]) -> dict[str, Any]:
    label = next(step.label for step in qdqnp.load(path).program().steps if step.op == "QLinearConv")
    return {
        "compare": qdqnp.compare(vectors, device),
        "diff": qdqnp.diff(path, "ort,tflite"),
        "explain": qdqnp.explain(path, layer=label, index="0,0,0,0"),
        "golden": qdqnp.golden(path, out=vectors.parent / "other", layers=label),
        "identify": qdqnp.identify(vectors, device, profiles="ort,tflite"),
        "inspect": qdqnp.inspect(path),
        "stimulate": qdqnp.stimulate(path, layer=label, profile="tflite"),
    }


NAMES = ("compare", "diff", "explain", "golden", "identify", "inspect", "stimulate")


@pytest.mark.parametrize("name", NAMES)
def test_results_are_pickled(results: dict[str, Any], name: str) -> None:
    found = results[name]
    again = pickle.loads(pickle.dumps(found))
    assert again.to_dict() == found.to_dict() and repr(again) == repr(found)


@pytest.mark.parametrize("name", NAMES)
def test_results_show_themselves(results: dict[str, Any], name: str) -> None:
    found = results[name]
    assert repr(found).startswith(f"<{type(found).__name__}: ") and "\n" not in repr(found)
    page = found._repr_html_()
    assert page.startswith("<p>") and page.count("<tr>") == min(len(found.rows()), 60) + 1
    assert all(tuple(row) == found.columns for row in found.rows())
    json.dumps(found.rows(), allow_nan=False)


@pytest.mark.parametrize("name", NAMES)
def test_results_are_frames_where_pandas_is(results: dict[str, Any], name: str) -> None:
    pytest.importorskip("pandas")
    frame = results[name].to_frame()
    assert tuple(frame.columns) == results[name].columns and len(frame) == len(results[name].rows())


@pytest.mark.parametrize(
    "call",
    [
        lambda path, told: qdqnp.diff(path, "ort,tflite", random=3, progress=told),
        lambda path, told: qdqnp.diff(path, "tflite,tflite-single", prove=True, progress=told),
        lambda path, told: qdqnp.stimulate(path, count=1, steps=2, progress=told),
        lambda path, told: qdqnp.golden(path, random=3, out=path.parent / "told", force=True, progress=told),
    ],
    ids=["diff", "prove", "stimulate", "golden"],
)
def test_progress_is_told_to_its_end(path: Path, call: Callable[[Path, Callable[[int, int], None]], Any]) -> None:
    told: list[tuple[int, int]] = []
    call(path, lambda done, total: told.append((done, total)))
    assert told == sorted(told) and told[-1][0] == told[-1][1] > 0
    assert len({total for _, total in told}) == 1


def test_evaluate_says_what_the_command_says() -> None:
    """But for the seconds, which are not the same twice."""
    model, data = shipped_model("dla46_c_int8"), pictures_path()
    found = qdqnp.evaluate({"dla46_c_int8": model}, data, preprocess={"divisor": 255})
    assert found.rows()[0]["arithmetic"] == "ort" and "top-1 of 40 inputs" in repr(found)
    assert found.to_dict()["speed"]["columns"]["dla46_c_int8"]["seconds"] > 0
    assert pickle.loads(pickle.dumps(found)).report == found.report


def test_quality_says_what_the_command_says(tmp_path: Path) -> None:
    networks = shipped_model("dla46_c_float"), shipped_model("dla46_c_int8")
    np.save(tmp_path / "x.npy", np.random.default_rng(0).standard_normal((1, 3, 32, 32), dtype=np.float32))
    found = qdqnp.quality(*networks, tmp_path / "x.npy")
    same(found, command("quality", *networks, "--data", tmp_path / "x.npy", "--json"))
    assert found.rows()[0]["layer"] and found.rows()[0]["own.sqnr"] is not None
    with pytest.raises(qdqnp.InputError, match="inputs like those"):
        qdqnp.quality(*networks, None)
