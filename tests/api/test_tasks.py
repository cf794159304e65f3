"""docs/python.md: ten tasks of at most three lines each, of which mypy knows every type. That they run, and print what
they show, test_pages.py checks."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pages import ROOT, blocks

PAGE = ROOT / "docs" / "python.md"
TASKS = 10
MOST_LINES = 3


def tasks() -> dict[str, str]:
    """The first block of each numbered section."""
    text = PAGE.read_text(encoding="utf-8")
    found = re.findall(r"^## (\d+\. [^\n]+)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return {title: re.search(r"```python\n(.*?)```", body, re.DOTALL)[1] for title, body in found}  # type: ignore[index]


def test_there_are_ten_tasks_of_three_lines() -> None:
    assert len(tasks()) == TASKS
    for title, code in tasks().items():
        lines = [line for line in code.splitlines() if line.strip()]
        assert len(lines) <= MOST_LINES, title
        assert len(ast.parse(code).body) == len(lines), title  # a line is a statement


def test_every_function_of_the_front_door_has_a_task() -> None:
    text = PAGE.read_text(encoding="utf-8")
    import qdqnp

    for name in qdqnp._FUNCTIONS:
        assert f"qdqnp.{name}(" in text, name


def test_mypy_knows_every_type(tmp_path: Path) -> None:
    """Of everything that the page gives a name to; nothing is Any, as what comes from a function without types is."""
    pytest.importorskip("mypy")
    code = "".join(block.text for block in blocks(PAGE) if block.language == "python" and not block.argument)
    names = [
        target.id
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Assign)
        for target in (node.targets[0].elts if isinstance(node.targets[0], ast.Tuple) else node.targets)
        if isinstance(target, ast.Name)
    ]
    assert len(names) > 20
    file = tmp_path / "tasks.py"
    asked = "".join(f"reveal_type({name})\n" for name in dict.fromkeys(names))
    file.write_text(f"{code}\n{asked}", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", str(file)],
        cwd=ROOT,
        env={**os.environ, "MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    revealed = re.findall(r'Revealed type is "(.*)"', done.stdout)
    assert len(revealed) == len(dict.fromkeys(names))
    unknown = [(name, kind) for name, kind in zip(dict.fromkeys(names), revealed, strict=True) if kind == "Any"]
    assert not unknown, unknown
    for kind in ("Verify", "Evaluate", "Diff", "Golden", "Compare", "Identify", "Explain"):
        assert f"{kind}Result" in done.stdout
