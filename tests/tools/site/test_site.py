"""The site builds without a warning, has every page and every public name, and loads nothing from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]

pytest.importorskip("material")
config = pytest.importorskip("mkdocs.config")
pytest.importorskip("mkdocstrings_handlers.python")
pytest.importorskip("griffe_sphinx")

from tools.site import pages, reference  # noqa: E402  they need griffe and MkDocs


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built by the command of CONTRIBUTING.md, to another folder."""
    command = "python -m mkdocs build --strict"
    assert f"\n{command} " in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, *command.split()[1:], "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


def entries(nav: Any) -> Iterator[str]:
    """Yield the pages of a navigation."""
    if isinstance(nav, str):
        yield nav
    for entry in nav.values() if isinstance(nav, dict) else nav if isinstance(nav, list) else ():
        yield from entries(entry)


def test_the_navigation_has_every_page() -> None:
    loaded = config.load_config(str(ROOT / "mkdocs.yml"))
    listed = list(entries(loaded["nav"]))
    documents = {page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md")}
    notebooks = {pages.place(f"examples/{path.name}") for path in (ROOT / "examples").glob("*.ipynb")}
    made = {*pages.OUTSIDE.values(), *(f"reference/{name}" for name in reference.pages()), *notebooks, pages.EXAMPLES}
    assert sorted(listed) == sorted(documents | made)


def test_every_kind_of_wrong_link_is_a_warning() -> None:
    checks = config.load_config(str(ROOT / "mkdocs.yml"))["validation"]
    levels = {*checks["links"].values(), checks["nav"]["omitted_files"], checks["nav"]["not_found"]}
    assert levels == {30}  # logging.WARNING


def test_every_public_name_has_its_place(site: Path) -> None:
    for name, (title, _, names) in reference.pages().items():
        page = (site / "reference" / name).with_suffix(".html").read_text(encoding="utf-8")
        assert "<h1 id=" in page and title in page and names
        assert [one for one in names if f'id="{one}"' not in page] == [], name


def test_signatures_link_to_what_they_name(site: Path) -> None:
    page = (site / "reference" / "functions.html").read_text(encoding="utf-8")
    links = set(re.findall(r'href="([a-z_]+\.html)#', page))
    assert links >= {"arguments.html", "classes.html", "errors.html", "results.html"}


def test_parameters_and_examples_are_told_apart(site: Path) -> None:
    page = (site / "reference" / "functions.html").read_text(encoding="utf-8")
    shown = re.sub(r"<[^>]+>", "", page.partition('id="qdqnp.verify"')[2])
    assert "Parameters:" in shown and "&gt;&gt;&gt; " in shown and "Args:" not in shown


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    """But for what Material's own script asks for on pages with diagrams, which these are not."""
    loads = re.compile(r"""<(?:script|link|img|iframe|source)\b[^>]*(?:src|href)=["']?(?:https?:)?//[^>]*>|@import""")
    for file in site.rglob("*.html"):
        text = file.read_text(encoding="utf-8")
        assert loads.findall(text) == [], file
        assert 'class="mermaid"' not in text
    for file in site.rglob("*.css"):
        assert re.findall(r"url\(['\"]?(?:https?:)?//", file.read_text(encoding="utf-8")) == [], file
    assert len(list(site.rglob("*.html"))) > 40
