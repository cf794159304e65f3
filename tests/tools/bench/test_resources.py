"""tools/bench/resources.py: what it says of processes is so."""

import json
import sys
from pathlib import Path

import onnx
import pytest
from click.testing import CliRunner

from qdqnp.errors import QdqnpError
from tests.networks import dla
from tools.bench.resources import main, measure

pytest.importorskip("onnxruntime")


def test_memory_and_time_are_those_of_the_process() -> None:
    small, large = (measure([sys.executable, "-c", f"x = bytearray({size})"]) for size in (1, 200_000_000))
    assert 120 < large["peak_mb"] - small["peak_mb"] < 300
    busy = measure([sys.executable, "-c", "import time\nwhile time.process_time() < 0.5: pass"])
    assert 400 < busy["cpu_ms"] < 1500
    assert busy["wall_ms"] > 300
    with pytest.raises(QdqnpError, match="exit code"):
        measure([sys.executable, "-c", "raise SystemExit(3)"])


def test_command_line(tmp_path: Path) -> None:
    onnx.save(dla(), tmp_path / "net.onnx")
    result = CliRunner().invoke(
        main, [str(tmp_path / "net.onnx"), "--repeats", "1", "--json", str(tmp_path / "r.json")]
    )
    assert result.exit_code == 0, result.output
    (found,) = json.loads((tmp_path / "r.json").read_text())["results"]
    assert {"qdqnp run", "qdqnp golden", "ONNX Runtime in Python, default session"} <= found["resources"].keys()
    assert all(value > 0 for each in found["resources"].values() for value in each.values())
    assert "| net.onnx | qdqnp golden |" in result.output
