"""`qdqnp quality`: the text, JSON, the page, data with labels, mappings, exit codes."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result

import qdqnp
from qdqnp.cli import cli
from tests.evaluation.kit import class_folders, network, save
from tests.layer_quality.nets import data, float_net, int8_net

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome", "chrome") if (path := shutil.which(name))), None
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("quality")
    (folder / "float.onnx").write_bytes(float_net().SerializeToString())
    (folder / "int8.onnx").write_bytes(int8_net().SerializeToString())
    (folder / "bad.onnx").write_bytes(int8_net(rescaled={"c2": 6.0}).SerializeToString())
    (folder / "other.onnx").write_bytes(float_net(lambda name: f"other_{name}").SerializeToString())
    x = np.concatenate([inputs["x"] for inputs in data()])
    model = qdqnp.load(folder / "float.onnx")
    best = np.array([model.run(inputs, profile="ort-unfused")["y"].argmax() for inputs in data()])
    np.save(folder / "x.npy", x)
    np.savez(folder / "labelled.npz", x=x, y=best)
    np.savez(folder / "short.npz", x=x, y=best[:2])
    return folder


def run(place: Path, *words: object, int8: str = "int8.onnx", real: str = "float.onnx") -> Result:
    given = [str(place / real), str(place / int8), *map(str, words)]
    return CliRunner().invoke(cli, ["quality", *given], env={"COLUMNS": "80"})


def test_the_verdict_comes_first_and_names_the_layer(place: Path) -> None:
    result = run(place, "--data", place / "x.npy", int8="bad.onnx")
    assert result.exit_code == 0, result.output
    first, *rest = result.stdout.splitlines()
    assert first.startswith("'c2_node' loses most: its scale is ") and "times what the values need" in first
    assert rest[0].startswith("6 inputs under 'ort'; outputs ")
    assert max(len(line.rstrip()) for line in rest) <= 110
    table = next(line for line in rest if line.startswith("layer "))
    assert table.split() == ["layer", "entire", "single", "own", "max", "sat", "range", "weights"]
    assert rest[rest.index(table) + 1].startswith("c2_node ")


def test_class_folders_are_counted_and_what_is_wrong_with_them_is_listed(tmp_path: Path) -> None:
    real, int8 = save(tmp_path / "f.onnx", network(quantized=False)), save(tmp_path / "i.onnx", network())
    folder = class_folders(tmp_path / "d")
    words = ["quality", *map(str, (real, int8)), "--data", str(folder), "--scale", "1/8"]
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 0 and "right: float 4, int8 4 of 4" in result.stdout, result.output
    (folder / "a red" / "cut.png").write_bytes(b"")
    (folder / "stray.png").write_bytes(b"")
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 2 and not result.stdout and "2 of the inputs" in result.stderr
    assert "cut.png" in result.stderr and "stray.png" in result.stderr


def test_a_healthy_network_says_so(place: Path) -> None:
    first = run(place, "--input", place / "x.npy").stdout.splitlines()[0]
    assert first.endswith("No layer is quantized badly.")


def test_json_has_everything(place: Path) -> None:
    result = run(place, "--data", place / "labelled.npz", "--json", "--what-if", "--greedy", 2, int8="bad.onnx")
    found = json.loads(result.stdout)
    assert found["verdict"] and found["inputs"] == 6 and found["float_correct"] == 6
    worst = found["layers"][0]
    assert (worst["tensor"], worst["float_tensor"], worst["told_by"]) == ("c2_q", "c2", "name")
    for way in ("entire", "single", "own"):
        assert set(worst[way]) == {"sqnr", "cosine", "largest", "noise", "signal", "elements", "left_out"}
    assert worst["codes"] == worst["entire"]["elements"] and worst["saturated"] == 0
    assert worst["range_held"] == 1.0 and worst["scale_ratio"] > 6
    assert len(worst["weights"]["channels"]) == 4 and worst["weights"]["bias"] < 0.1
    assert worst["findings"][0]["kind"] == "scale"
    assert worst["if_float"]["sqnr"] > found["unfused"]["sqnr"] and worst["if_float"]["labelled"] == 6
    assert [step["tensor"] for step in found["greedy"]][0:1] == ["c2_q"] and len(found["greedy"]) == 2
    plain = json.loads(run(place, "--data", place / "x.npy", "--json", int8="bad.onnx").stdout)
    assert plain["layers"][0]["own"] == worst["own"] and plain["float_correct"] is None


def test_many_processes_give_the_same_document(place: Path) -> None:
    alone, many = (run(place, "--data", place / "x.npy", "--json", "--workers", count) for count in (1, 2))
    assert alone.exit_code == many.exit_code == 0, many.output
    assert alone.stdout == many.stdout


def test_what_if_in_text(place: Path) -> None:
    result = run(place, "--data", place / "labelled.npz", "--what-if", "--greedy", 1, int8="bad.onnx")
    assert result.exit_code == 0, result.output
    assert "of a run" in result.stdout and "in float" in result.stdout
    assert "right: float 6, int8 " in result.stdout
    assert result.stdout.splitlines()[-1].startswith("One after the other: 'c2_node' ")


def test_what_has_no_partner_is_listed_and_a_mapping_helps(place: Path) -> None:
    (place / "one.toml").write_text('[tensors]\n"r1_q" = "other_c1_node"\n"c2_node" = "other_c2"\n')
    result = run(place, "--data", place / "x.npy", "--mapping", place / "one.toml", "--json", real="other.onnx")
    told = {row["tensor"]: (row["float_tensor"], row["told_by"]) for row in json.loads(result.stdout)["layers"]}
    assert told["r1_q"] == ("other_r1", "mapping") and told["c2_q"] == ("other_c2", "mapping")
    (place / "none.toml").write_text('[tensors]\n"r1_q" = "nobody"\n')
    result = run(place, "--data", place / "x.npy", "--mapping", place / "none.toml")
    assert result.exit_code == 2 and "'nobody'" in result.stderr


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ((), "Missing option '--data'"),
        (("--random", "3"), "No such option"),
        (("--data", "nowhere.npy"), "nowhere.npy"),
        (("--data", "short.npz"), "labels"),
        (("--data", "x.npy", "--profile", "nobody"), "nobody"),
        (("--data", "x.npy", "--greedy", "0"), "--greedy"),
    ],
)
def test_bad_usage(place: Path, words: tuple[str, ...], text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    result = run(place, *words)
    assert result.exit_code == 2 and text in result.stderr


def test_the_models_in_the_wrong_order_are_refused(place: Path) -> None:
    result = run(place, "--data", place / "x.npy", real="int8.onnx", int8="float.onnx")
    assert result.exit_code == 2 and "float network first" in result.stderr


class _Page(HTMLParser):
    """Collects the addresses that a page asks for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found: dict[str, Any] = dict(attrs)
        self.asked += [found[key] for key in ("src", "href") if found.get(key)]


def test_node_data_has_the_noise_of_each_layer(place: Path, tmp_path: Path) -> None:
    words = ("--data", place / "x.npy", "--json", "--node-data")
    shown = run(place, *words, tmp_path / "noise.json", int8="bad.onnx")
    assert shown.exit_code == 0, shown.output
    rows = {row["tensor"]: row for row in json.loads(shown.stdout)["layers"]}
    found = json.loads((tmp_path / "noise.json").read_text())
    assert found["gradient"] and set(rows) <= set(found["results"])
    worst = max(found["results"], key=lambda name: found["results"][name]["value"])
    assert found["results"][worst]["value"] > 0
    run(place, *words, tmp_path / "noise.onnx", int8="bad.onnx")
    nodes = {node.name: node for node in onnx.load(tmp_path / "noise.onnx").graph.node}
    notes = {item.key: item.value for item in nodes["c2_node"].metadata_props}
    assert notes["qdqnp own SQNR"].endswith(" dB") and "its scale is" in notes["qdqnp quality"]


def test_the_page(place: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    words = ("--data", place / "labelled.npz", "--what-if", "--greedy", 1, "--html", page)
    assert run(place, *words, int8="bad.onnx").exit_code == 0
    text = page.read_text(encoding="utf-8")
    parsed = _Page()
    parsed.feed(text)
    assert parsed.asked and all(address.startswith("#layer-") for address in parsed.asked)
    assert "default-src 'none'" in text and "prefers-color-scheme: dark" in text
    assert text.count('<rect class="entire"') == 7 and text.count('<rect class="bad"') == 1
    assert run(place, "--data", place / "x.npy", "--html", page).exit_code == 2  # it is in the way
    assert run(place, "--data", place / "x.npy", "--html", page, "--force").exit_code == 0


def browsed(page: Path, folder: Path) -> tuple[str, set[str]]:
    """Open a page in Chromium; return what it shows, and who asked for what is not the page itself."""
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    options += ["--disable-component-update", "--disable-sync", f"--user-data-dir={folder / 'browser'}"]
    log = folder / f"{page.stem}.json"
    command = [str(CHROMIUM), *options, f"--log-net-log={log}", "--dump-dom", page.as_uri()]
    result = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout, set(re.findall(r'"initiator":"([^"]*)"', log.read_text())) - {"not an origin"}


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
def test_the_page_in_a_browser_asks_for_nothing(place: Path, tmp_path: Path) -> None:
    page, other = tmp_path / "page.html", tmp_path / "other.html"
    assert run(place, "--data", place / "x.npy", "--html", page, int8="bad.onnx").exit_code == 0
    shown, asked = browsed(page, tmp_path)
    assert "loses most" in shown and 'id="layer-0"' in shown and not asked
    text = page.read_text(encoding="utf-8").replace("img-src data:", "img-src *")
    other.write_text(text.replace("</body>", '<img src="http://127.0.0.1:9/x.png"></body>'), encoding="utf-8")
    assert browsed(other, tmp_path)[1]  # so a request would have been seen
