"""docs/stimuli.md: its command and its Python do what they say."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner

from qdqnp.cli import cli
from tests.stimuli import layers

TEXT = (Path(__file__).parents[2] / "docs" / "stimuli.md").read_text(encoding="utf-8")


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the network that the document speaks of."""
    rng = np.random.default_rng(0)
    model = layers.conv(rng.integers(-127, 128, (4, 3, 3, 3)), (1, 3, 8, 8), (0.02, [0.01] * 4, 0.3), pads=[1] * 4)
    model.graph.node[0].name = "conv1"
    onnx.save(model, tmp_path / "net.onnx")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_command(there: Path) -> None:
    (command,) = re.findall(r"^qdqnp (.+)$", TEXT, re.MULTILINE)
    result = CliRunner().invoke(cli, shlex.split(command))
    assert result.exit_code == 0, result.output
    kinds = re.findall(r"^\| ([a-z ,-]+?) \| (?:pattern|random|exact) \|", TEXT, re.MULTILINE)
    for kind in ", ".join(kinds).split(", "):
        assert f"\n{kind}" in f"\n{result.output}"
    assert (there / "stimuli" / "manifest.json").is_file()


def test_the_python(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    exec(compile(block, "docs/stimuli.md", "exec"), {})
    printed = capsys.readouterr().out
    assert "extremes" in printed
    assert "most positive accumulator 3 reached" in printed
