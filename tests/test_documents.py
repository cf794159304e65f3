"""Every `qdqnp` command that a document shows on a model works as printed, on a shipped network."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from qdqnp.cli import cli
from qdqnp.inputs.shipped import shipped_model

DOCUMENTS = Path(__file__).parents[1] / "docs"


def commands(document: str) -> list[str]:
    """The lines of fenced blocks that call qdqnp, without the explanation two spaces after them."""
    text = (DOCUMENTS / document).read_text(encoding="utf-8")
    lines = [line for block in re.findall(r"^```\w*\n(.*?)^```", text, re.S | re.M) for line in block.splitlines()]
    return sorted({re.split(r"  +", line)[0] for line in lines if line.startswith("qdqnp ")})


@pytest.mark.parametrize("command", commands("onnxruntime.md"))
def test_the_commands_of_onnxruntime_md(command: str) -> None:
    arguments = shlex.split(command.replace("MODEL", str(shipped_model("dla46_c_int8"))))[1:]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 0, result.output


def test_the_document_has_commands() -> None:
    assert len(commands("onnxruntime.md")) >= 5


PAGES = sorted(DOCUMENTS.glob("*.md"))
ROOT = DOCUMENTS.parent
LINK = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")


def test_the_index_lists_every_page() -> None:
    listed = set(LINK.findall((DOCUMENTS / "index.md").read_text(encoding="utf-8")))
    assert {name for name in listed if "/" not in name} == {page.name for page in PAGES} - {"index.md"}
    assert "(docs/index.md)" in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", [*PAGES, *sorted(ROOT.glob("*.md"))], ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = [link for link in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []
