"""`qdqnp run` as a user calls it: inputs of every kind, tables, JSON, files that are whole or not there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

import qdqnp
from qdqnp.errors import QdqnpError
from qdqnp.files.atomic import target
from qdqnp.files.npy import write_npz
from tests.cli.test_commands import run
from tests.networks import dla

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SCALING = ("--scale", "1/255", "--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier: 'input' float32 (1, 3, 16, 16) to one output (1, 10)."""
    file = tmp_path_factory.mktemp("models") / "net.onnx"
    onnx.save(dla(), file)
    return file


@pytest.fixture(scope="module")
def key(path: Path) -> str:
    return qdqnp.load(path).program().outputs[0]


def save(file: Path, nodes: list, inputs: dict[str, list], outputs: list[str], **constants: np.ndarray) -> Path:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), file)
    return file


def arrays(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, 3, 16, 16), dtype=np.float32)


def pixels(height: int = 16, width: int = 16, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def normalized(picture: np.ndarray) -> np.ndarray:
    """float32 (1, 3, height, width) of one RGB picture, by hand."""
    planes = []
    for channel in range(3):
        plane = picture[..., channel].astype(np.float32) / np.float32(255)
        planes.append((plane - np.float32(MEAN[channel])) / np.float32(STD[channel]))
    return np.stack(planes)[np.newaxis]


def loaded(file: Path) -> dict[str, np.ndarray]:
    with np.load(file, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def message(result) -> str:
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    return " ".join(result.stderr.split())


# What is computed


def test_arrays_of_several_files_are_stacked(path: Path, key: str, tmp_path: Path) -> None:
    first, second = arrays(3, seed=1), arrays(1, seed=2)
    np.save(tmp_path / "a.npy", first)
    np.savez(tmp_path / "b.npz", input=second)
    out = tmp_path / "out.npz"
    result = run("run", path, "--input", tmp_path / "a.npy", "--input", tmp_path / "b.npz", "--output", out)
    assert result.exit_code == 0, result.output
    model = qdqnp.load(path)
    want = np.concatenate([model.run(x[np.newaxis])[key] for x in np.concatenate([first, second])])
    found = loaded(out)
    assert list(found) == [key]
    assert found[key].dtype == np.float32 and np.array_equal(found[key], want)
    assert f"wrote out.npz: {key}" in result.output


def test_codes_of_outputs_and_codes_as_inputs(path: Path, key: str, tmp_path: Path) -> None:
    model = qdqnp.load(path)
    x = arrays(1)
    codes = model.trace(x)["input_q"]
    assert codes.dtype == np.int8
    np.save(tmp_path / "codes.npy", codes)
    result = run("run", path, "--input", tmp_path / "codes.npy", "--codes", "--output", tmp_path / "out.npz", "--json")
    assert result.exit_code == 0, result.output
    found = loaded(tmp_path / "out.npz")
    assert list(found) == [key] and found[key].dtype == np.int8
    assert np.array_equal(found[key], model.run(x, codes=True)[key])
    summary = json.loads(result.stdout)["outputs"][key]
    back = (found[key].astype(np.float32) - summary["zero_point"]) * np.float32(summary["scale"])
    assert np.array_equal(back, model.run(x)[key])
    assert f"{key}: int8 codes, scale " in run("run", path, "--input", tmp_path / "codes.npy", "--codes").output


def test_pictures_from_files_folders_and_arrays_agree(path: Path, key: str, tmp_path: Path) -> None:
    three = np.stack([pixels(seed=seed) for seed in range(3)])
    np.savez(tmp_path / "p.npz", x=three, y=np.arange(3), classes=np.array(["a", "b", "c"]))
    folder = tmp_path / "folder"
    folder.mkdir()
    for index, picture in enumerate(three):
        Image.fromarray(picture).save(folder / f"{index}.png")
    model = qdqnp.load(path)
    want = np.concatenate([model.run(normalized(picture))[key] for picture in three])
    files = [folder / f"{index}.png" for index in range(3)]
    for inputs in ([tmp_path / "p.npz"], [folder], files):
        out = tmp_path / f"out{len(list(tmp_path.iterdir()))}.npz"
        result = run("run", path, "--input", *inputs, *SCALING, "--output", out)
        assert result.exit_code == 0, result.output
        assert np.array_equal(loaded(out)[key], want)


def test_a_toml_file_and_options_over_it(path: Path, key: str, tmp_path: Path) -> None:
    Image.fromarray(pixels(40, 50)).save(tmp_path / "p.jpg", quality=90)
    toml = tmp_path / "p.toml"
    toml.write_text(f"resize = 99\ncrop = 16\ndivisor = 255\nmean = {list(MEAN)}\nstd = {list(STD)}\n")
    out = tmp_path / "out.npz"
    result = run(
        "run",
        path,
        "--input",
        tmp_path / "p.jpg",
        "--preprocess",
        toml,
        "--resize",
        "18x20",
        "--method",
        "bicubic",
        "--output",
        out,
    )
    assert result.exit_code == 0, result.output
    image = Image.open(tmp_path / "p.jpg").resize((20, 18), Image.Resampling.BICUBIC)
    want = qdqnp.load(path).run(normalized(np.asarray(image)[1:17, 2:18]))[key]
    assert np.array_equal(loaded(out)[key], want)


def test_bgr_and_uint8_reach_the_model(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"]),
    ]
    model = save(tmp_path / "m.onnx", nodes, {"x": [1, 5, 6, 3]}, ["y"], s=np.float32(2), z=np.uint8(0))
    Image.fromarray(pixels(5, 6)).save(tmp_path / "p.png")
    out = tmp_path / "out.npz"
    result = run("run", model, "--input", tmp_path / "p.png", "--uint8", "--color", "bgr", "--codes", "--output", out)
    assert result.exit_code == 0, result.output
    assert np.array_equal(loaded(out)["y"], pixels(5, 6)[np.newaxis, ..., ::-1])
    assert "note" not in result.stderr


def test_unscaled_pictures_are_noted(path: Path, key: str, tmp_path: Path) -> None:
    Image.fromarray(pixels()).save(tmp_path / "p.png")
    result = run("run", path, "--input", tmp_path / "p.png", "--output", tmp_path / "out.npz")
    assert result.exit_code == 0 and "passed as 0 to 255, unscaled" in result.stderr
    want = qdqnp.load(path).run(pixels().transpose(2, 0, 1)[np.newaxis].astype(np.float32))[key]
    assert np.array_equal(loaded(tmp_path / "out.npz")[key], want)


# What is shown


def test_top_classes_with_labels(path: Path, key: str, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", arrays(2))
    labels = tmp_path / "labels.txt"
    labels.write_text("".join(f"kind {index}\r\n" for index in range(10)) + "\n\n", encoding="utf-8-sig")
    result = run("run", path, "--input", tmp_path / "x.npy", "--labels", labels, "--top", 3, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["model"] == "net.onnx" and found["profile"] == "ort" and found["inputs"] == ["x.npy[0]", "x.npy[1]"]
    model = qdqnp.load(path)
    for row, best in enumerate(found["top"][key]):
        values = model.run(arrays(2)[row : row + 1])[key][0]
        order = sorted(range(10), key=lambda index: (-values[index], index))[:3]
        assert best == [{"class": index, "label": f"kind {index}", "value": float(values[index])} for index in order]
    shown = run("run", path, "--input", tmp_path / "x.npy", "--labels", labels, "--top", 3).stdout.splitlines()
    first = found["top"][key][0][0]
    assert shown[1].split()[:4] == ["x.npy[0]", str(first["class"]), "kind", str(first["class"])]
    assert len(shown) == 1 + 2 * 3


def test_five_classes_by_default_and_never_more_than_there_are(path: Path, key: str, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", arrays(1))
    assert len(json.loads(run("run", path, "--input", tmp_path / "x.npy", "--json").stdout)["top"][key][0]) == 5
    every = run("run", path, "--input", tmp_path / "x.npy", "--top", 99, "--json")
    assert len(json.loads(every.stdout)["top"][key][0]) == 10


def test_other_outputs_are_summarized(tmp_path: Path) -> None:
    nodes = [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Flatten", ["x"], ["z[red]"])]
    model = save(tmp_path / "m.onnx", nodes, {"x": [1, 2, 3]}, ["y", "z[red]"])
    x = np.array([[[-1, 2, 3], [4, 5, 7]]], np.float32)
    np.save(tmp_path / "x.npy", x)
    result = run("run", model, "--input", tmp_path / "x.npy")
    assert result.exit_code == 0, result.output
    assert "z[red]" in result.output
    assert any(line.split() == ["y", "1x2x3", "float32", "0", "7", "3.5"] for line in result.output.splitlines())
    found = json.loads(run("run", model, "--input", tmp_path / "x.npy", "--json").stdout)
    assert found["outputs"]["y"] == {"shape": [1, 2, 3], "dtype": "float32", "min": 0.0, "max": 7.0, "mean": 3.5}
    assert list(found["top"]) == ["z[red]"]


def test_json_has_no_number_that_json_lacks(tmp_path: Path) -> None:
    model = save(tmp_path / "m.onnx", [helper.make_node("Identity", ["x"], ["y"])], {"x": [1, 2]}, ["y"])
    np.save(tmp_path / "x.npy", np.array([[np.nan, np.inf]], np.float32))
    text = run("run", model, "--input", tmp_path / "x.npy", "--json").stdout
    found = json.loads(text, parse_constant=lambda word: pytest.fail(word))
    assert found["outputs"]["y"]["max"] is None and found["top"]["y"][0][0] == {
        "class": 1,
        "label": None,
        "value": None,
    }


def test_equal_values_rank_by_class_and_small_codes_do_not_wrap(tmp_path: Path) -> None:
    model = save(tmp_path / "m.onnx", [helper.make_node("Identity", ["x"], ["y"])], {"x": [1, 4]}, ["y"])
    np.save(tmp_path / "x.npy", np.array([[3, -128, 3, 4]], np.float32))
    found = json.loads(run("run", model, "--input", tmp_path / "x.npy", "--json").stdout)
    assert [best["class"] for best in found["top"]["y"][0]] == [3, 0, 2, 1]


def test_many_rows_are_cut_on_the_terminal_only(path: Path, key: str, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.repeat(arrays(1), 60, axis=0))
    shown = run("run", path, "--input", tmp_path / "x.npy", "--top", 1).output
    assert "x.npy[49]" in shown and "x.npy[50]" not in shown and "... and 10 more" in shown
    assert len(json.loads(run("run", path, "--input", tmp_path / "x.npy", "--json").stdout)["top"][key]) == 60


# Files written


@pytest.mark.parametrize("names", [("file", "a/b"), ("allow_pickle", "arr_0"), ("y.npy", "../up")])
def test_outputs_keep_names_that_savez_cannot(tmp_path: Path, names: tuple[str, str]) -> None:
    outputs = {names[0]: arrays(2), names[1]: np.arange(5, dtype=np.int8)}
    write_npz(target(tmp_path / "out.npz", "the outputs"), outputs)
    with np.load(tmp_path / "out.npz") as archive:
        assert set(archive.files) == set(names)
        assert all(np.array_equal(archive[name], outputs[name]) for name in names)
    assert [file.name for file in tmp_path.iterdir()] == ["out.npz"]


def test_an_existing_file_is_kept_without_force(path: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", arrays(1))
    out = tmp_path / "out.npz"
    out.write_bytes(b"precious")
    result = run("run", path, "--input", tmp_path / "x.npy", "--output", out)
    assert "Use --force to replace a file" in message(result) and out.read_bytes() == b"precious"
    assert run("run", path, "--input", tmp_path / "x.npy", "--output", out, "--force").exit_code == 0
    assert len(loaded(out)) == 1


@pytest.mark.parametrize(
    ("name", "text"),
    [("out.npy", "ends in .npz"), ("no/out.npz", "expected a folder"), ("dir.npz", "a regular file, or none")],
)
def test_bad_output_names(path: Path, tmp_path: Path, name: str, text: str) -> None:
    np.save(tmp_path / "x.npy", arrays(1))
    (tmp_path / "dir.npz").mkdir()
    assert text in message(run("run", path, "--input", tmp_path / "x.npy", "--output", tmp_path / name, "--force"))


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
@pytest.mark.parametrize("before", [None, b"precious"])
def test_a_failed_write_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, before: bytes | None
) -> None:
    write, calls = np.lib.format.write_array, []

    def second_fails(*arguments: object, **options: object) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise error
        write(*arguments, **options)

    out = tmp_path / "out.npz"
    if before is not None:
        out.write_bytes(before)
    monkeypatch.setattr(np.lib.format, "write_array", second_fails)
    with pytest.raises(QdqnpError if isinstance(error, OSError) else KeyboardInterrupt):
        write_npz(target(out, "the outputs", force=True), {"a": arrays(1), "b": arrays(1)})
    assert [file.name for file in tmp_path.iterdir()] == ([] if before is None else ["out.npz"])
    assert before is None or out.read_bytes() == before


def test_a_run_that_fails_midway_leaves_no_file(path: Path, tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    out.mkdir()
    Image.fromarray(pixels()).save(folder / "a.png")
    (folder / "b.png").write_bytes((folder / "a.png").read_bytes()[:300])
    result = run("run", path, "--input", folder, *SCALING, "--output", out / "out.npz")
    assert "b.png" in message(result) and not list(out.iterdir())


def test_an_interrupted_run_leaves_no_file(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "x.npy", arrays(3))
    calls: list[int] = []

    def interrupted(*_: object, **__: object) -> dict[str, np.ndarray]:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return {"y": np.zeros((1, 10), np.float32)}

    monkeypatch.setattr(qdqnp.Model, "run", interrupted)
    result = run("run", path, "--input", tmp_path / "x.npy", "--output", tmp_path / "out.npz")
    assert result.exit_code != 0 and not (tmp_path / "out.npz").exists()
    assert [file.name for file in tmp_path.iterdir()] == ["x.npy"]


# Errors


def test_bad_settings_are_listed_together(path: Path, tmp_path: Path) -> None:
    Image.fromarray(pixels()).save(tmp_path / "p.png")
    options = ("--resize", "12y", "--crop", "0", "--mean", "a,b", "--std", "1,0,1", "--scale", "1/x")
    text = message(run("run", path, "--input", tmp_path / "p.png", *options))
    assert all(f"'{field}' in the options" in text for field in ("resize", "crop", "mean", "std", "scale"))


def test_settings_for_arrays_that_are_no_pictures(path: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", arrays(1))
    assert "one array uint8" in message(run("run", path, "--input", tmp_path / "x.npy", "--mean", "0.5"))


def test_files_without_their_own_option_only_after_one(path: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", arrays(1))
    assert run("run", path, "--input", *[tmp_path / "x.npy"] * 3).exit_code == 0
    text = message(run("run", path, "--input", tmp_path / "x.npy", "--input", *[tmp_path / "x.npy"] * 2))
    assert "several files go after one --input" in text


@pytest.mark.parametrize(
    ("content", "text"),
    [(None, "a readable text file"), (b"\xff\xfe\x00", "a readable text file"), (b"a\nb\n", "expected 10, got 2")],
)
def test_bad_labels(path: Path, tmp_path: Path, content: bytes | None, text: str) -> None:
    np.save(tmp_path / "x.npy", arrays(1))
    if content is not None:
        (tmp_path / "labels.txt").write_bytes(content)
    assert text in message(run("run", path, "--input", tmp_path / "x.npy", "--labels", tmp_path / "labels.txt"))


def test_labels_for_a_model_that_does_not_classify(tmp_path: Path) -> None:
    model = save(tmp_path / "m.onnx", [helper.make_node("Relu", ["x"], ["y"])], {"x": [2, 3, 4]}, ["y"])
    np.save(tmp_path / "x.npy", np.zeros((2, 3, 4), np.float32))
    (tmp_path / "labels.txt").write_text("a\nb\n")
    text = message(run("run", model, "--input", tmp_path / "x.npy", "--labels", tmp_path / "labels.txt"))
    assert "no output has the shape [N, classes]" in text


def test_outputs_of_different_shapes_cannot_be_stacked(tmp_path: Path) -> None:
    model = save(tmp_path / "m.onnx", [helper.make_node("Relu", ["x"], ["y"])], {"x": ["n", "m"]}, ["y"])
    for width in (2, 3):
        np.save(tmp_path / f"x{width}.npy", np.zeros((1, width), np.float32))
    text = message(run("run", model, "--input", tmp_path / "x2.npy", tmp_path / "x3.npy"))
    assert "output 'y' for x3.npy: expected shape [N, 2], got [N, 3]" in text


def test_codes_of_a_float_output_are_refused(tmp_path: Path) -> None:
    model = save(tmp_path / "m.onnx", [helper.make_node("Relu", ["x"], ["y"])], {"x": [1, 2]}, ["y"])
    np.save(tmp_path / "x.npy", np.zeros((1, 2), np.float32))
    assert "outputs without codes" in message(run("run", model, "--input", tmp_path / "x.npy", "--codes"))


@pytest.mark.parametrize("name", ["missing.npy", "missing.png", "missing"])
def test_missing_inputs(path: Path, tmp_path: Path, name: str) -> None:
    assert "missing" in message(run("run", path, "--input", tmp_path / name))


def test_bad_usage(path: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", arrays(1))
    assert "--input" in message(run("run", path))
    assert "profile" in message(run("run", path, "--input", tmp_path / "x.npy", "--profile", "no"))
    assert "top" in message(run("run", path, "--input", tmp_path / "x.npy", "--top", "0"))
    message(run("run", tmp_path / "none.onnx", "--input", tmp_path / "x.npy"))
    message(run("run", path, "--input", tmp_path / "x.npy", "--preprocess", tmp_path / "none.toml"))


def test_threads_are_those_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, compute, trace = [], qdqnp.Model.run, qdqnp.Model.trace

    def counted(method: Any) -> Any:
        return lambda *args, **options: (asked.append(options["threads"]), method(*args, **options))[1]

    monkeypatch.setattr(qdqnp.Model, "run", counted(compute))
    monkeypatch.setattr(qdqnp.Model, "trace", counted(trace))
    onnx.save(dla(), tmp_path / "net.onnx")
    np.save(tmp_path / "x.npy", np.zeros((1, 3, 16, 16), np.float32))
    for command in ("run", "verify"):
        assert run(command, tmp_path / "net.onnx", "--input", tmp_path / "x.npy", "--threads", 3).exit_code == 0
        assert asked and set(asked) == {3}, command
        asked.clear()


def test_threads_change_no_output(tmp_path: Path) -> None:
    file = tmp_path / "net.onnx"
    onnx.save(dla(size=48, batch="N"), file)
    np.save(tmp_path / "x.npy", np.random.default_rng(0).standard_normal((5, 3, 48, 48), np.float32))
    given = ("--input", tmp_path / "x.npy", "--json")
    one, two = (run("run", file, *given, "--threads", count) for count in (1, 2))
    assert (one.exit_code, two.exit_code, one.output) == (0, 0, two.output)
    assert run("verify", file, *given, "--threads", 2).exit_code == 0
    assert run("run", file, *given, "--threads", 0).exit_code == 2
