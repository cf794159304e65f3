"""Every file that a command is told of: what would hang it, what it may not replace, and what it is read from."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from onnx import TensorProto, helper, numpy_helper

import qdqnp
from qdqnp import golden_sets
from qdqnp.cli import cli
from qdqnp.diagnosis.probe.folder import INDEX
from qdqnp.errors import QdqnpError


def small() -> onnx.ModelProto:
    """x, int8 (1, 3, 4, 4), convolved to y, with its weights outside the file."""
    w = np.arange(-13, 14, dtype=np.int8).reshape(1, 3, 3, 3)
    scales = {"xs": np.float32(0.1), "xz": np.int8(3), "ws": np.float32(0.02), "wz": np.int8(0)}
    others = {"ys": np.float32(0.3), "yz": np.int8(-5)}
    names = ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz"]
    kept = [numpy_helper.from_array(np.asarray(value), name) for name, value in {**scales, **others}.items()]
    kept.append(numpy_helper.from_array(w, "w"))
    x = helper.make_tensor_value_info("x", TensorProto.INT8, [1, 3, 4, 4])
    y = helper.make_tensor_value_info("y", TensorProto.INT8, None)
    graph = helper.make_graph([helper.make_node("QLinearConv", names, ["y"], "conv")], "g", [x], [y], kept)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


X = np.arange(48, dtype=np.int8).reshape(1, 3, 4, 4)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One of each kind of file."""
    folder = tmp_path_factory.mktemp("files")
    model = small()
    onnx.save(model, folder / "net.onnx", save_as_external_data=True, location="net.data", size_threshold=0)
    np.save(folder / "x.npy", X)
    golden_sets.write(folder / "gold", folder / "net.onnx", [{"x": X}], 1)
    y = qdqnp.load(folder / "net.onnx").run(X)["y"].copy()
    y.reshape(-1)[1] ^= 1
    np.savez(folder / "dump.npz", y=y)
    (folder / "dump").mkdir()
    np.save(folder / "dump" / "y.npy", y)
    (folder / "mine.toml").write_text('base = "tflite"')
    (folder / "map.toml").write_text('[tensors]\ny = "y"')
    (folder / "pictures.toml").write_text("divisor = 255")
    (folder / "labels.txt").write_text("cat\ndog\n")
    return folder


@pytest.fixture
def place(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "here"))


def run(place: Path, line: str, *more: str) -> Result:
    """Run a command line; {} is the folder."""
    return CliRunner().invoke(cli, [part.replace("{}", str(place)) for part in line.split(" ")] + list(more))


def refused(result: Result) -> str:
    """The message of a run that ended in an error of ours."""
    assert isinstance(result.exception, SystemExit) and result.exit_code == 2, (result.output, result.exception)
    return result.output.replace("\n", " ")


# -- what is read ------------------------------------------------------------------------------------------------------
# Each file that a command reads, and a command line that reads it.
READ = {
    "net.onnx": "run {}/net.onnx --input {}/x.npy",
    "net.data": "inspect {}/net.onnx",
    "x.npy": "golden {}/net.onnx --input {}/x.npy --out {}/new",
    "x.png": "run {}/net.onnx --input {}/x.png",
    "mine.toml": "inspect {}/net.onnx --profile {}/mine.toml",
    "mine2.toml": "diff {}/net.onnx --profiles ort,{}/mine2.toml",
    "pictures.toml": "run {}/net.onnx --input {}/x.npy --preprocess {}/pictures.toml",
    "labels.txt": "run {}/net.onnx --input {}/x.npy --labels {}/labels.txt",
    "gold": "compare {}/gold {}/dump.npz",
    "gold/manifest.json": "compare {}/gold {}/dump.npz",
    "gold/model.onnx": "compare {}/gold {}/dump.npz",
    "gold/npz": "compare {}/gold {}/dump.npz",
    "gold/npz/case_00000.npz": "compare {}/gold {}/dump.npz",
    "gold/" + INDEX: "identify {}/gold {}/dump.npz",
    "dump.npz": "compare {}/gold {}/dump.npz",
    "dump/y.npy": "identify {}/gold {}/dump",
    "map.toml": "compare {}/gold {}/dump.npz --mapping {}/map.toml",
    "map.json": "compare {}/gold {}/dump.npz --mapping {}/map.json",
    "other.onnx": "identify {}/gold {}/dump.npz --model {}/other.onnx",
}


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def an_endless_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def a_loop(path: Path) -> None:
    path.symlink_to(path.name)


@pytest.mark.parametrize("make", [a_pipe, an_endless_device, a_loop])
@pytest.mark.parametrize("name", READ)
def test_what_would_hang_is_refused(place: Path, name: str, make: Callable[[Path], None]) -> None:
    path = place / name
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    make(path)
    if name.endswith(INDEX):  # then it is no folder of probes, and the rest is fine
        assert run(place, READ[name]).exit_code in (0, 1, 2)
    else:
        refused(run(place, READ[name]))


@pytest.mark.parametrize("name", [name for name in READ if name.startswith(("gold/", "dump/", "net.data"))])
def test_no_link_leaves_what_was_received(place: Path, name: str) -> None:
    if name.endswith(INDEX):
        pytest.skip("it is not there")
    (place / name).rename(place.parent / "elsewhere")
    (place / name).symlink_to(place.parent / "elsewhere")
    refused(run(place, READ[name]))


@pytest.mark.parametrize("odd", ["a" * 300, "b/" * 3000, "a\0b", "a\ud800"], ids=["long", "deep", "NUL", "surrogate"])
@pytest.mark.parametrize("name", [name for name in READ if "/" not in name and name != "net.data"])
def test_names_that_no_file_can_have(place: Path, name: str, odd: str) -> None:
    suffix = Path(name).suffix
    line = READ[name].replace(f"{{}}/{name}", f"{{}}/{odd}{suffix}")
    assert line != READ[name]
    refused(run(place, line))


@pytest.mark.parametrize("odd", ["a" * 300, "b/" * 3000, "a\0b", "a\ud800"], ids=["long", "deep", "NUL", "surrogate"])
@pytest.mark.parametrize(
    "line",
    [
        "golden {}/net.onnx --out {}/ODD",
        "stimulate {}/net.onnx --layer conv --out {}/ODD",
        "probe --out {}/ODD",
        "capture {}/net.onnx --device board:run --out {}/ODD",
        "run {}/net.onnx --input {}/x.npy --output {}/ODD.npz",
        "compare {}/gold {}/dump.npz --html {}/ODD",
        "compare {}/gold {}/dump.npz --junit {}/ODD",
        "compare {}/gold {}/dump.npz --write-mapping {}/ODD",
        "identify {}/gold {}/dump.npz --fit {}/ODD",
    ],
)
def test_outputs_by_such_names(place: Path, line: str, odd: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "board.py").write_text("def run(inputs):\n    return {'y': inputs['x']}\n")
    monkeypatch.chdir(place)
    refused(run(place, line.replace("ODD", odd)))


def test_a_manifest_with_names_that_no_file_can_have(place: Path) -> None:
    for name in ("npz/" + "a" * 300, "../x", "/etc/passwd", "a\ud800"):
        document = json.loads((place / "gold" / "manifest.json").read_text())
        document["files"][name] = document["files"]["model.onnx"]
        (place / "gold" / "manifest.json").write_text(json.dumps(document))
        refused(run(place, READ["gold"]))


# -- what is written ---------------------------------------------------------------------------------------------------
# Each option that names a file to write, and a command line that does.
WRITTEN = {
    "y.npz": "run {}/net.onnx --input {}/x.npy --output OUT",
    "report.html": "compare {}/gold {}/dump.npz --html OUT",
    "report.xml": "compare {}/gold {}/dump.npz --junit OUT",
    "new.toml": "compare {}/gold {}/dump.npz --write-mapping OUT",
    "fit.toml": "identify {}/gold {}/dump.npz --fit OUT",
}


@pytest.mark.parametrize("name", WRITTEN)
def test_a_file_in_the_way_needs_force(place: Path, name: str) -> None:
    line, out = WRITTEN[name].replace("OUT", f"{{}}/{name}"), place / name
    assert run(place, line).exit_code in (0, 1) and out.stat().st_size > 0
    written = out.read_bytes()
    out.write_bytes(b"precious")
    assert "--force" in refused(run(place, line)) and out.read_bytes() == b"precious"
    assert run(place, line, "--force").exit_code in (0, 1) and out.read_bytes() == written
    assert not list(place.glob(".qdqnp*"))


@pytest.mark.parametrize("name", WRITTEN)
def test_a_link_in_the_way_stays(place: Path, name: str) -> None:
    (place / "precious").write_bytes(b"precious")
    (place / name).symlink_to("precious")
    refused(run(place, WRITTEN[name].replace("OUT", f"{{}}/{name}"), "--force"))
    assert (place / "precious").read_bytes() == b"precious" and (place / name).is_symlink()


INPUTS = ["gold/manifest.json", "gold/model.onnx", "gold/npz/case_00000.npz", "dump.npz"]


@pytest.mark.parametrize("name", INPUTS)
@pytest.mark.parametrize("option", ["report.html", "report.xml", "new.toml", "fit.toml"])
@pytest.mark.parametrize("how", ["by name", "by a link to its folder", "by a hard link"])
def test_no_output_is_an_input(place: Path, name: str, option: str, how: str) -> None:
    before, out = (place / name).read_bytes(), f"{{}}/{name}"
    if how == "by a link to its folder":
        (place.parent / "there").symlink_to(place)
        out = f"{place.parent}/there/{name}"
    if how == "by a hard link":
        os.link(place / name, place / "hard")
        out = "{}/hard"
    assert "one of the inputs" in refused(run(place, WRITTEN[option].replace("OUT", out), "--force"))
    assert (place / name).read_bytes() == before


def test_outputs_of_run_are_no_inputs(place: Path) -> None:
    """External data of the model, and an array that is an input."""
    for source, line in (
        ("net.data", "run {}/net.onnx --input {}/x.npy --output {}/alias.npz"),
        ("x.npy", "run {}/net.onnx --input {}/x.npy --output {}/alias.npz"),
        ("mine.toml", "run {}/net.onnx --input {}/x.npy --profile {}/mine.toml --output {}/alias.npz"),
        ("labels.txt", "run {}/net.onnx --input {}/x.npy --labels {}/labels.txt --output {}/alias.npz"),
    ):
        os.link(place / source, place / "alias.npz")
        before = (place / source).read_bytes()
        result = run(place, line, "--force")
        assert result.exit_code == 2 and (place / source).read_bytes() == before
        (place / "alias.npz").unlink()


def test_two_outputs_of_one_command_are_two_files(place: Path) -> None:
    refused(run(place, "compare {}/gold {}/dump.npz --html {}/r --junit {}/r"))


def test_a_golden_set_is_not_replaced_by_one_made_of_it(place: Path) -> None:
    for line in (
        "golden {}/gold/model.onnx --out {}/gold --force",
        "golden {}/net.onnx --input {}/gold/npz/case_00000.npz --out {}/gold --force",
        "stimulate {}/gold/model.onnx --layer conv --out {}/gold --force",
    ):
        refused(run(place, line))
    assert golden_sets.read(place / "gold").inputs == 1
    assert run(place, "golden {}/net.onnx --input {}/x.npy --out {}/gold --force").exit_code == 0


def test_the_api_notes_no_inputs(place: Path) -> None:
    """In a program that runs for long, a file that was read once may be written again."""
    assert golden_sets.read(place / "gold").inputs == 1
    golden_sets.write(place / "gold", place / "gold" / "model.onnx", [{"x": X}], 1, force=True)
    with pytest.raises(QdqnpError):
        golden_sets.write(place / "gold", place / "net.onnx", [{"x": X}], 1)
