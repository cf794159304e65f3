"""Every page does what it says: its code blocks are pasted in order, in an empty folder, and print what it shows."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pages import ROOT, Block, blocks, follow

PAGES = [
    *("README.md", "CONTRIBUTING.md", "SECURITY.md", "tools/README.md"),
    *sorted(page.relative_to(ROOT).as_posix() for page in (ROOT / "docs").rglob("*.md")),
]
# What they say is said in the root of the repository, and writes nothing there.
IN_THE_REPOSITORY = ("CONTRIBUTING.md", "SECURITY.md", "tools/README.md")
FOLLOWED = [page for page in PAGES if any(not block.not_run for block in blocks(ROOT / page))]


def run(page: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Follow a page in a process of its own: what it registers stays there."""
    return subprocess.run(
        [sys.executable, "-c", f"from tests.pages import follow; follow({page!r})"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=900,
        check=False,
    )


@pytest.mark.skipif(shutil.which("sh") is None, reason="needs a shell")
@pytest.mark.parametrize("page", FOLLOWED)
def test_the_page_does_what_it_says(page: str, tmp_path: Path) -> None:
    if "\ncc " in (ROOT / page).read_text(encoding="utf-8") and shutil.which("cc") is None:
        pytest.skip("needs a C compiler")
    if "\n$ cmake " in (ROOT / page).read_text(encoding="utf-8") and not (
        shutil.which("cmake") and shutil.which("make")
    ):
        pytest.skip("needs cmake and make")
    done = run(page, ROOT if page in IN_THE_REPOSITORY else tmp_path)
    assert done.returncode == 0, done.stderr


def test_most_pages_have_something_to_follow() -> None:
    assert len(FOLLOWED) >= 9


@pytest.mark.parametrize("page", PAGES)
def test_every_block_says_what_it_is(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert text.count("\n```") == 2 * len(list(blocks(ROOT / page)))
    kinds = {"python", "sh", "console", "text", "c", "toml"}
    assert [block.where for block in blocks(ROOT / page) if block.language not in kinds] == []
    outside = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)  # a command there would never run
    assert re.findall(r"^    (?:\$ |qdqnp |python |pip |cc )[^\n]*", outside, re.MULTILINE) == []


def test_few_blocks_are_only_shown_and_each_says_why() -> None:
    """Those that install packages, run the tests, or take minutes or hours."""
    shown = [block for page in PAGES for block in blocks(ROOT / page) if block.not_run]
    assert {block.page.name for block in shown} <= {"README.md", "CONTRIBUTING.md", "SECURITY.md"}
    assert len(shown) <= 7
    assert all(re.search("installs|minutes|an hour", block.not_run) for block in shown)


@pytest.mark.parametrize("page", PAGES)
def test_lines_are_short(page: str) -> None:
    """But for the rows of tables, which cannot be folded."""
    lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if len(line) > 130 and not line.startswith("|")] == []


# -- of the follower ---------------------------------------------------------------------------------------------------
def followed(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "page.md").write_text(text, encoding="utf-8")
    follow(str(tmp_path / "page.md"))


@pytest.mark.parametrize(
    "text",
    [
        "```python\nassert 1 == 2\n```\n",
        "```sh\nfalse\n```\n",
        "```sh\nfalse\ntrue\n```\n",
        "```console\n$ echo one\ntwo\n```\n",
        "```console\n$ echo one two three\none ... two ... four\n```\n",
        "```console\n$ exit 2\n```\n",
        "```console\n$ echo one \\\n  two\none three\n```\n",
        "```console\n$ echo one; exit 3\none\n```\n",
        "```python\nprint(1)\n```\n\n```text\n2\n```\n",
        "```\nqdqnp demo\n```\n",
    ],
)
def test_a_page_that_is_wrong_is_noticed(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AssertionError):
        followed(text, tmp_path, monkeypatch)


def test_a_page_that_is_right_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = """
```python of_a_page.py
print("from a file")
```

```python
kept_by_the_page = 1
```

```console
$ python of_a_page.py
from a
file
$ echo a b c d; exit 1
a ... d
$ echo e \\
    f
e f
```

```sh not run: takes minutes
exit 1
```

```python
print(kept_by_the_page + 1)
```

```text
2
```
"""
    followed(text, tmp_path, monkeypatch)
    assert [path.name for path in tmp_path.iterdir() if path.name != "page.md"] == ["of_a_page.py"]


def test_blocks_know_their_lines(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Page\n\n```sh\ntrue\n```\n", encoding="utf-8")
    assert list(blocks(page)) == [Block(page, 4, "sh", "", "true\n")]
