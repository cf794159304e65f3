"""Accuracy: the columns that are measured, and that a difference is noticed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from qdqnp import load
from qdqnp.inputs.pictures import prepare, resolved
from qdqnp.inputs.shipped import CIFAR10, pictures_path, shipped_model
from qdqnp.numerics.profiles import profile_named
from qdqnp.peers.ort.users import UserSession
from qdqnp.quant import Array
from tools.verify import accuracy
from tools.verify.accuracy import INT8, main

pytest.importorskip("onnxruntime")

COUNT = 3


@pytest.fixture
def few(tmp_path: Path) -> Path:
    """A few of the shipped pictures."""
    with np.load(pictures_path()) as arrays:
        np.savez(tmp_path / "few.npz", x=arrays["x"][:COUNT], y=arrays["y"][:COUNT])
    return tmp_path / "few.npz"


def test_no_arithmetic_is_measured_twice() -> None:
    names = [profile_named(name).name for name in INT8.values() if not name.startswith("session")]
    assert len(set(names)) == len(names)
    assert {"neural-art-1.1.1", "neural-art-1.1.3"} <= set(names)


def invoke(*options: object) -> tuple[int, str]:
    """Run the tool with ONNX Runtime's own session beside `ort`, and no other."""
    options = ("--arithmetic", "session", *options)
    result = CliRunner().invoke(main, [str(each) for each in options])
    return result.exit_code, result.output


def test_the_counts_are_those_of_single_runs(few: Path, tmp_path: Path) -> None:
    files = ["--json", tmp_path / "r.json", "--markdown", tmp_path / "r.md"]
    code, output = invoke("--pictures", few, "--network", "dla46_c", *files)
    assert code == 0, output
    found = json.loads((tmp_path / "r.json").read_text())["results"]["dla46_c"]
    model = load(shipped_model("dla46_c_int8"))
    settings = resolved(CIFAR10, model.program())
    with np.load(few) as arrays:
        answers = [model.run(prepare(pixels, settings)[None])["output"].argmax() for pixels in arrays["x"]]
        right = int(np.sum(answers == arrays["y"]))
    ours, theirs, real = found["columns"]
    assert found["inputs"] == COUNT and ours["top1"]["count"] == theirs["top1"]["count"] == right
    assert theirs["same_bits"]["count"] == COUNT and real["same_bits"]["count"] == 0
    assert (tmp_path / "r.md").read_text() in output and f"| {100 * right / COUNT:.2f} |" in output


def test_a_network_without_float_weights_has_no_row_for_them(few: Path, tmp_path: Path) -> None:
    code, output = invoke("--pictures", few, "--network", "dla46x_c")
    assert code == 0 and accuracy.FLOAT not in output
    given = f"dla46x_c={shipped_model('dla46_c_float')}"
    code, output = invoke("--pictures", few, "--network", "dla46x_c", "--float", given)
    assert code == 0 and accuracy.FLOAT in output
    assert invoke("--pictures", few, "--float", "dla46x_c=nowhere.onnx")[0] == 2
    code, output = invoke("--pictures", few, "--network", "dla60x_c", "--checkpoints", tmp_path)
    assert code == 1 and "expected a checkpoint dla60x_c.npz" in output


def test_a_planted_difference_is_counted(few: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outputs, calls = UserSession.outputs, []

    def wrong(self: UserSession, names: Any, feeds: dict[str, Array]) -> dict[str, Array]:
        found = {name: array.copy() for name, array in outputs(self, names, feeds).items()}
        calls.append(self.kind.profile)
        if calls.count("ort") == 2:
            found["output"][0, 5] += 1
        return found

    monkeypatch.setattr(UserSession, "outputs", wrong)
    code, output = invoke("--pictures", few, "--network", "dla46x_c")
    assert code == 1 and "differ on 1 pictures; expected 0" in output


def test_every_arithmetic_of_the_table_runs_the_shipped_networks() -> None:
    """By name: what the whole table is made of."""
    model = load(shipped_model("dla46_c_int8"))
    for arithmetic in INT8.values():
        if not arithmetic.startswith("session"):
            model.plan(arithmetic)
    assert len(INT8) == 8 and set(accuracy.NETWORKS) == {"dla46_c", "dla46x_c", "dla60x_c"}
