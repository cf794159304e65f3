"""docs/stimuli.md: its table of kinds is what the command makes. tests/test_pages.py runs its blocks."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx
from click.testing import CliRunner

from qdqnp.cli import cli
from tests.stimuli import layers

TEXT = (Path(__file__).parents[2] / "docs" / "stimuli.md").read_text(encoding="utf-8")


def test_every_kind_of_the_table_is_made(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    model = layers.conv(rng.integers(-127, 128, (4, 3, 3, 3)), (1, 3, 8, 8), (0.02, [0.01] * 4, 0.3), pads=[1] * 4)
    model.graph.node[0].name = "conv1"
    onnx.save(model, tmp_path / "net.onnx")
    words = ["stimulate", str(tmp_path / "net.onnx"), "--layer", "conv1", "--profile", "tflite"]
    result = CliRunner().invoke(
        cli, [*words, "--discriminate", "tflite,tflite-single", "--out", str(tmp_path / "stimuli")]
    )
    assert result.exit_code == 0, result.output
    kinds = re.findall(r"^\| ([a-z ,-]+?) \| (?:pattern|random|exact) \|", TEXT, re.MULTILINE)
    assert kinds
    for kind in ", ".join(kinds).split(", "):
        assert f"\n{kind}" in f"\n{result.output}"
    assert (tmp_path / "stimuli" / "manifest.json").is_file()
