"""The command `qdqnp card`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from qdqnp.cli import cli
from qdqnp.inputs.shipped import pictures_path, shipped_model
from qdqnp.model_card import model_card
from qdqnp.render.model_card import html, markdown
from tests.evaluation.kit import class_folders, save
from tests.evaluation.kit import network as colours
from tests.networks import dla


@pytest.fixture()
def network(tmp_path: Path) -> Path:
    path = tmp_path / "net.onnx"
    path.write_bytes(dla(seed=1).SerializeToString())
    return path


def run(*words: object) -> Result:
    return CliRunner().invoke(cli, ["card", *map(str, words)])


def test_it_prints_markdown_or_json(network: Path) -> None:
    assert run(network).output == markdown(model_card(network))
    found = json.loads(run(network, "--json", "--device", "stm32n6").output)
    assert found == json.loads(json.dumps(model_card(network, device="stm32n6").as_json()))
    assert found["time"]["estimate"] is True and found["model"] == "net.onnx"


def test_it_writes_files(network: Path, tmp_path: Path) -> None:
    result = run(network, "--html", tmp_path / "c.html", "--markdown", tmp_path / "c.md", "--device", "stm32n6")
    card = model_card(network, device="stm32n6")
    assert result.exit_code == 0 and result.output == ""
    assert (tmp_path / "c.html").read_text(encoding="utf-8") == html(card)
    assert (tmp_path / "c.md").read_text(encoding="utf-8") == markdown(card)
    assert run(network, "--html", tmp_path / "c.html").exit_code == 2
    assert run(network, "--html", tmp_path / "c.html", "--force").exit_code == 0


def test_a_device_of_ones_own(network: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(
        'name = "mine"\n[npu]\nclock_mhz = 100\nmacs_per_cycle = 8\n'
        '[[memories]]\nname = "ram"\nholds = "activations"\nbytes = 100000\nmegabytes_per_second = 400\n'
        '[[memories]]\nname = "flash"\nholds = "weights"\nbytes = 1000000\nmegabytes_per_second = 50\n'
    )
    assert "## Time on mine: an estimate" in run(network, "--device", tmp_path / "mine.toml").output


def test_what_is_refused(network: Path, tmp_path: Path) -> None:
    for words in (("--device", "x"), ("--device", tmp_path / "x.toml"), ("--st", tmp_path / "x"), ("--profile", "x")):
        result = run(network, *words)
        assert result.exit_code == 2 and not result.stdout
    assert run(tmp_path / "x.onnx").exit_code == 2


def test_profiles_and_host_floats(network: Path) -> None:
    assert "under profile neural-art-1.1.3" in run(network, "--profile", "neural-art").output
    assert run(network, "--host-float", "--float-ends").exit_code == 0


def test_the_accuracy_of_labelled_pictures() -> None:
    model, scaled = (
        shipped_model("dla46_c_int8"),
        ("--scale", "1/255", "--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225"),
    )
    column = ("--column", f"float={shipped_model('dla46_c_float')}:ort")
    output = run(model, "--data", pictures_path(), *scaled, *column).output
    assert "## Accuracy" in output and output.count("87.50") >= 1 and "`float`" in output
    assert run(model, "--resize", "32").exit_code == 2


def test_it_takes_what_eval_takes(tmp_path: Path) -> None:
    save(tmp_path / "net.onnx", colours())
    folders = class_folders(tmp_path / "d")
    (tmp_path / "names.txt").write_text("a red\nb green\nc blue\n")
    words = (tmp_path / "net.onnx", "--data", folders, "--scale", "1/8", "--class-names", tmp_path / "names.txt")
    alone = run(*words, "--json", "--workers", 1, "--results", tmp_path / "kept")
    assert json.loads(alone.output)["accuracy"]["columns"][0]["top1"]["count"] == 4
    assert alone.output == run(*words, "--json", "--workers", 2, "--batch", 16).output
    (kept,) = (tmp_path / "kept").iterdir()
    before = kept.stat().st_mtime_ns
    assert run(*words, "--json", "--workers", 1, "--results", tmp_path / "kept").output == alone.output
    assert kept.stat().st_mtime_ns == before
    (folders / "a red" / "cut.png").write_bytes(b"")
    refused, accepted = run(*words, "--workers", 1), run(*words, "--workers", 1, "--skip-bad")
    assert refused.exit_code == 2 and "a red/cut.png" in refused.stderr and accepted.exit_code == 0
    assert "cut.png" in accepted.output


@pytest.mark.parametrize("words", [("--labels", "l.csv"), ("--class-offset", "0"), ("--workers", "2")])
def test_what_is_said_of_data_needs_data(network: Path, words: tuple[str, str]) -> None:
    result = run(network, *words)
    assert result.exit_code == 2 and "there is nothing to evaluate" in result.stderr
