"""tools/README.md lists every command; every command that it or another page names starts, and takes its options."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

ROOT = Path(__file__).parents[2]
TOOLS = Path(__file__).parents[2] / "tools"
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), TOOLS / "README.md", ROOT / "qdqnp" / "data" / "README.md"]
LISTED = sorted(re.findall(r"\]\(([a-z]+/[a-z_]+)\.py\)", (TOOLS / "README.md").read_text(encoding="utf-8")))


def test_every_command_has_a_row() -> None:
    files = (path for path in TOOLS.rglob("*.py") if 'if __name__ == "__main__":' in path.read_text(encoding="utf-8"))
    assert sorted(path.relative_to(TOOLS).with_suffix("").as_posix() for path in files) == LISTED


@pytest.mark.parametrize("command", [name for name in LISTED if name != "fuzz/fuzz_atheris"])  # which needs atheris
def test_every_command_says_what_it_takes(command: str) -> None:
    pytest.importorskip("onnxruntime")
    result = CliRunner().invoke(import_module(f"tools.{command.replace('/', '.')}").main, ["--help"])
    assert result.exit_code == 0 and "Usage:" in result.output, result.output


def named_commands(text: str) -> Iterator[list[str]]:
    """Yield the words behind `python -m tools.` of each command of a page, in blocks and in sentences."""
    fenced = "".join(re.findall(r"^```.*?^```", text, re.MULTILINE | re.DOTALL)).replace("\\\n", " ")
    inline = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    lines = [*fenced.splitlines(), *re.findall(r"`([^`]*)`", inline), *re.findall(r"^    (.*)$", inline, re.MULTILINE)]
    for line in lines:
        for command in re.findall(r"python -m tools\.([^&|;#]+)", line):
            yield shlex.split(command)


def test_commands_are_found_in_blocks_and_in_sentences() -> None:
    text = "Say `python -m tools.a.b --c\n1`:\n\n```sh\npython -m tools.d.e \\\n  --f && true\n```\n"
    assert sorted(named_commands(text)) == [["a.b", "--c", "1"], ["d.e", "--f"]]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_command_that_a_page_names_takes_its_options(page: Path) -> None:
    pytest.importorskip("onnxruntime")
    for module, *words in named_commands(page.read_text(encoding="utf-8")):
        command = import_module(f"tools.{module}").main
        if isinstance(command, click.Group):
            command = command.commands[words[0]]
        known = {option for parameter in command.params for option in parameter.opts}
        assert [word for word in words if word.startswith("-") and word not in known] == [], module


@pytest.mark.parametrize("page", sorted((ROOT / "docs").rglob("*.md")), ids=lambda page: page.name)
def test_what_made_a_figure_is_a_command_and_no_file(page: Path) -> None:
    files = re.findall(r"`tools/([a-z]+/[a-z_]+)\.py`", page.read_text(encoding="utf-8"))
    assert [name for name in files if name in LISTED] == []
