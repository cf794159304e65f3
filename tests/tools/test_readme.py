"""tools/README.md lists every command, and every command that it lists starts."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest
from click.testing import CliRunner

TOOLS = Path(__file__).parents[2] / "tools"
LISTED = sorted(re.findall(r"\]\(([a-z]+/[a-z_]+)\.py\)", (TOOLS / "README.md").read_text(encoding="utf-8")))


def test_every_command_has_a_row() -> None:
    files = (path for path in TOOLS.rglob("*.py") if 'if __name__ == "__main__":' in path.read_text(encoding="utf-8"))
    assert sorted(path.relative_to(TOOLS).with_suffix("").as_posix() for path in files) == LISTED


@pytest.mark.parametrize("command", [name for name in LISTED if name != "fuzz/fuzz_atheris"])  # which needs atheris
def test_every_command_says_what_it_takes(command: str) -> None:
    pytest.importorskip("onnxruntime")
    result = CliRunner().invoke(import_module(f"tools.{command.replace('/', '.')}").main, ["--help"])
    assert result.exit_code == 0 and "Usage:" in result.output, result.output
