"""Pages of the repository get the links and fences of the site."""

from __future__ import annotations

import json

import pytest

from tools.site.pages import ROOT, examples_page, for_site, links, notebook_page, place


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("docs/card.md", "card.md"),
        ("docs/tutorials/card.md", "tutorials/card.md"),
        ("README.md", "project/readme.md"),
        ("tools/README.md", "project/tools.md"),
        ("examples", "examples/index.md"),
        ("examples/lost_accuracy.ipynb", "examples/lost_accuracy.md"),
        ("tools/bench/bench.py", "source/tools/bench/bench.py.txt"),
    ],
)
def test_everything_has_a_place(path: str, expected: str) -> None:
    assert place(path) == expected


@pytest.mark.parametrize(
    ("path", "link", "expected"),
    [
        ("docs/index.md", "card.md#a", "card.md#a"),
        ("docs/index.md", "../SECURITY.md", "project/security.md"),
        ("docs/tutorials/board.md", "../capture.md", "../capture.md"),
        ("docs/tutorials/board.md", "../../examples/a.ipynb", "../examples/a.md"),
        ("README.md", "docs/card.md#x-y", "../card.md#x-y"),
        ("README.md", "CONTRIBUTING.md#set-up", "contributing.md#set-up"),
        ("tools/README.md", "bench/bench.py", "../source/tools/bench/bench.py.txt"),
        ("docs/index.md", "#here", "#here"),
        ("docs/index.md", "https://example.org/a.md", "https://example.org/a.md"),
    ],
)
def test_links_lead_to_the_same_page(path: str, link: str, expected: str) -> None:
    fence = f"```text\n[x]({link})\n```\n"
    assert for_site(f"[x]({link}) and\n{fence}[y]({link})\n", path) == f"[x]({expected}) and\n{fence}[y]({expected})\n"


def test_links_are_those_outside_of_code() -> None:
    text = "[a](b.md#c) [d](../e.py)\n\n```text\n[f](g.md)\n```\n\n[h](https://i.org/)\n"
    assert links(text, "docs/x.md") == ["docs/b.md", "e.py"]


def test_the_name_of_a_file_is_the_title_of_its_block() -> None:
    text = "```toml a.toml\nx = 1\n```\n\n```sh not run: installs packages\ntrue\n```\n\n```python\n1\n```\n"
    assert for_site(text, "docs/x.md") == (
        '```toml title="a.toml"\nx = 1\n```\n\n```sh\ntrue\n```\n\n```python\n1\n```\n'
    )


def test_a_notebook_is_a_page() -> None:
    printed = {"output_type": "stream", "name": "stdout", "text": ["2\n"]}
    value = {"output_type": "execute_result", "data": {"text/plain": ["3"], "text/html": ["<b>3</b>"]}}
    cells = [
        {"cell_type": "markdown", "source": ["# Title\n", "\n", "Text."]},
        {"cell_type": "code", "source": ["print(2)\n", "3"], "outputs": [printed, value]},
    ]
    assert notebook_page(json.dumps({"cells": cells})) == (
        "# Title\n\nText.\n\n```python\nprint(2)\n3\n```\n\n```text\n2\n```\n\n```text\n3\n```\n"
    )


def test_every_example_is_listed_with_what_it_is() -> None:
    page = examples_page()
    for path in (ROOT / "examples").iterdir():
        if path.suffix in (".py", ".ipynb"):
            assert any(line.startswith(f"- [{path.name}](") and line[-1] != " " for line in page.splitlines())
