"""The pages hang together: the index lists them, and their links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCUMENTS = Path(__file__).parents[1] / "docs"
PAGES = sorted(DOCUMENTS.rglob("*.md"))
ROOT = DOCUMENTS.parent
LINK = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")


def test_the_index_lists_every_page() -> None:
    listed = set(LINK.findall((DOCUMENTS / "index.md").read_text(encoding="utf-8")))
    pages = {page.relative_to(DOCUMENTS).as_posix() for page in PAGES}
    assert {name for name in listed if not name.startswith("../")} == pages - {"index.md"}
    assert "(docs/index.md)" in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "page", [*PAGES, *sorted(ROOT.glob("*.md"))], ids=lambda page: page.relative_to(ROOT).as_posix()
)
def test_links_lead_somewhere(page: Path) -> None:
    links = [link for link in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_each_of_the_ten_tasks_is_one_click_from_the_front_page() -> None:
    headings = re.findall(r"^## (\d+\. .+)$", (DOCUMENTS / "python.md").read_text(encoding="utf-8"), re.MULTILINE)
    anchors = [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]
    index = (DOCUMENTS / "index.md").read_text(encoding="utf-8")
    assert len(anchors) == 10
    assert [anchor for anchor in anchors if f"](python.md#{anchor})" not in index] == []
