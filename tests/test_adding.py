"""docs/adding.md has an example for each kind, which checks something; `tests/test_pages.py` runs them."""

from __future__ import annotations

import re
from pathlib import Path

DOCUMENT = Path(__file__).parents[1] / "docs" / "adding.md"
SECTIONS = ("A float operator", "An integer operator", "A rule", "A profile", "A golden format", "A fusion", "A fault")


def test_every_section_has_an_example_that_checks_something() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    parts = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", text, re.M | re.S))
    assert tuple(parts) == SECTIONS
    checked = {name for name, part in parts.items() if re.search(r"^assert ", part, re.M)}
    assert checked == set(SECTIONS) - {"A rule"}  # which the profile after it uses
    assert all("Its test" in part or name == "A float operator" for name, part in parts.items())


def test_every_file_it_names_is_there() -> None:
    text = re.sub(r"^```.*?^```", "", DOCUMENT.read_text(encoding="utf-8"), flags=re.M | re.S)
    named = re.findall(r"`((?:qdqnp|tests|tools)/[\w/.]*)`", text)
    assert len(named) > 15
    assert [name for name in named if not (DOCUMENT.parents[1] / name).exists()] == []
