"""`qdqnp eval`: what it prints and writes, and how it ends."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from qdqnp.cli import cli
from qdqnp.cli import eval as command
from qdqnp.evaluation.counts import no_counts
from tests.evaluation.kit import COLOURS, class_folders, network, png, save

PREPARED = ("--scale", "1/8", "--workers", "1")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "right.onnx", network())
    save(tmp_path / "swapped.onnx", network(COLOURS[[1, 0, 2]]))
    class_folders(tmp_path / "data")
    return tmp_path


def run(*words: object, code: int = 0) -> Result:
    result = CliRunner().invoke(cli, ["eval", *map(str, words)])
    assert result.exit_code == code, (result.output, result.exception)
    return result


def document(*words: object, code: int = 0) -> dict:
    return json.loads(run(*words, "--json", code=code).stdout)


def test_models_and_columns_side_by_side(place: Path) -> None:
    columns = ("--column", "x=swapped.onnx", "--column", "o=right.onnx:session-x64")
    said = document("right.onnx", *columns, "--data", "data", *PREPARED)
    assert [(one["name"], one["model"], one["top1"]["count"]) for one in said["columns"]] == [
        ("right", "right.onnx", 4),
        ("x", "swapped.onnx", 1),
        ("o", "right.onnx", 4),
    ]
    right, swapped, session = said["columns"]
    assert right["arithmetic"] == "ort" and "onnxruntime" in session["arithmetic"]
    assert session["same_bits"]["count"] == 4 and swapped["same_class"]["share"] == 0.25
    assert right["preprocessing"]["divisor"] == 8.0 and right["preprocessing"]["layout"] == "NCHW"
    assert [flip["name"] for flip in swapped["flips"]] == ["a red/0.png", "a red/1.png", "b green/2.png"]
    assert said["class_names"] == ["a red", "b green", "c blue"] and said["speed"]["columns"]["x"]["seconds"] > 0
    assert "order of their names" in said["told_by"]


def test_the_same_bytes_but_for_the_speed(place: Path) -> None:
    def text(*words: str) -> str:
        said = document("right.onnx", "--column", "x=swapped.onnx", "--data", "data", "--scale", "1/8", *words)
        del said["speed"]
        return json.dumps(said)

    first = text("--workers", "1")
    assert first == text("--workers", "2") == text("--workers", "1", "--threads", "2", "--results", "kept")
    assert first == text("--workers", "1", "--results", "kept")


def test_every_file(place: Path) -> None:
    outputs = ("--csv", "e.csv", "--markdown", "e.md", "--html", "e.html")
    line = ("right.onnx", "--column", "x=swapped.onnx", "--data", "data", *PREPARED, *outputs)
    printed = run(*line).stdout
    assert "25.00" in printed and "flipped in 'x'" in printed and "a red/1.png" in printed
    assert [row["top1"] for row in csv.DictReader(io.StringIO(Path("e.csv").read_text()))] == ["4", "1"]
    assert "| x | ort | 25.00 |" in Path("e.md").read_text()
    page = Path("e.html").read_text()
    assert page.count("data:image/png;base64,") == 3 and "a red/1.png" in page.replace("<wbr>", "")
    assert "--force" in run(*line, code=2).output
    run(*line, "--force")


def test_bad_inputs_are_printed_and_fatal_and_nothing_is_written(place: Path) -> None:
    (place / "data" / "a red" / "bad.png").write_bytes(png(0)[:40])
    line = ("right.onnx", "--data", "data", *PREPARED, "--csv", "e.csv")
    result = run(*line, code=2)
    assert "'a red/bad.png'" in result.stderr and "--skip-bad" in result.stderr and "100.00" in result.stdout
    assert not Path("e.csv").exists()
    said = document(*line, code=2)
    assert said["inputs"] == 4 and [one["name"] for one in said["bad"]] == ["a red/bad.png"]
    accepted = document(*line, "--skip-bad")
    assert accepted["bad"] == said["bad"] and Path("e.csv").exists()


def test_labels_names_offset_and_preprocessing_from_files(place: Path) -> None:
    (place / "flat").mkdir()
    for number, colour in enumerate((0, 1, 1)):
        (place / "flat" / f"{number}.png").write_bytes(png(colour))
    (place / "mine.txt").write_text("0.png red\n1.png green\n2.png blue\n")
    (place / "names.txt").write_text("red\ngreen\nblue\n")
    (place / "p.toml").write_text("divisor = 8\n")
    line = ("right.onnx", "--data", "flat", "--preprocess", "p.toml", "--workers", "1", "--class-names", "names.txt")
    said = document(*line, "--labels", "mine.txt")
    assert said["columns"][0]["top1"]["count"] == 2 and said["class_names"] == ["red", "green", "blue"]
    (place / "mine.txt").write_text("0.png 0\n1.png 1\n2.png 1\n")
    shifted = document(*line[:-2], "--labels", "mine.txt", "--class-offset", "1")
    assert shifted["class_offset"] == 1 and shifted["columns"][0]["top1"]["count"] == 0
    assert shifted["columns"][0]["confusion"] == [[0, -1, 1], [1, 0, 2]]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--data", "data"), "expected a MODEL"),
        (("right.onnx",), "--data"),
        (("right.onnx", "--data", "nowhere"), "nowhere"),
        (("right.onnx", "right.onnx", "--data", "data"), "a name of its own"),
        (("--column", "a=lost.onnx", "--column", "b=right.onnx:tflit", "--data", "data"), "column 'b'"),
        (("right.onnx", "--data", "data", "--html", "nowhere/e.html"), "nowhere"),
        (("right.onnx", "--data", "data", "--scores", "x"), "an output 'x'"),
        (("right.onnx", "--data", "data", "--resize", "8", "--mean", "1,2"), "mean"),
        (("right.onnx", "--data", "data", "--labels", "right.onnx"), "labels"),
    ],
)
def test_usage(place: Path, words: tuple[str, ...], why: str) -> None:
    assert why in run(*words, code=2).output


def test_the_host_computes_what_a_profile_does_not_define(place: Path) -> None:
    line = ("--column", "a=right.onnx:tflite", "--data", "data", *PREPARED)
    assert "--host-float" in run(*line, code=2).output
    assert document(*line, "--host-float")["columns"][0]["arithmetic"] == "tflite, floats on the host"


def test_progress_shows_the_accuracy_so_far() -> None:
    counts = no_counts(4)
    counts.inputs = 8
    for number, column in enumerate(counts.columns):
        column.top1 = 2 * number
    assert command.running(counts, list("abcd")) == "top-1 a 0.0 %, b 25.0 %, c 50.0 % ..."
    assert command.running(no_counts(1), ["a"]) == "top-1 a 0.0 %"
