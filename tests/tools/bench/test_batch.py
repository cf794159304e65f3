"""tools/bench/batch.py: what it reports and refuses. Never how long anything takes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner

from qdqnp import Model
from tests.networks import dla
from tools.bench.batch import main

pytest.importorskip("onnxruntime")


@pytest.fixture
def net(tmp_path: Path) -> Path:
    onnx.save(dla(), tmp_path / "net.onnx")
    return tmp_path / "net.onnx"


def test_a_batch_is_timed_beside_its_pictures(net: Path) -> None:
    options = ["--pictures", "3", "--threads", "2", "--threads", "3", "--repeats", "2"]
    result = CliRunner().invoke(main, [str(net), *options, "--json", str(net.parent / "r.json")])
    assert result.exit_code == 0, result.output
    (found,) = json.loads((net.parent / "r.json").read_text())["results"]
    labels = ["one by one, 1 thread", "batch, 1 thread", "batch, 2 threads", "batch, 3 threads"]
    assert [timing["label"] for timing in found["candidates"]] == labels
    assert all(timing["runs"] == 2 and timing["median_ms"] > 0 for timing in found["candidates"])
    first, second, *_ = (line.split(" | ") for line in result.output.splitlines() if line.startswith("| net.onnx"))
    assert first[5] == "1.00" and second[6] == "1.00"


def test_other_bits_are_not_timed(net: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Model.run

    def wrong(self: Model, *args: object, **kwargs: object) -> dict[str, np.ndarray]:
        found = run(self, *args, **kwargs)  # type: ignore[arg-type]
        return {name: array + (len(array) > 1) for name, array in found.items()}

    monkeypatch.setattr(Model, "run", wrong)
    result = CliRunner().invoke(main, [str(net), "--pictures", "2", "--repeats", "1"])
    assert result.exit_code == 1 and "the outputs are not equal, so nothing was timed" in result.output
