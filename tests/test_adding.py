"""docs/adding.md as a reader follows it: its examples are one script, run in a process of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import qdqnp

DOCUMENT = Path(__file__).parents[1] / "docs" / "adding.md"
SECTIONS = ("A float operator", "An integer operator", "A rule", "A profile", "A golden format", "A fusion", "A fault")


def script() -> str:
    """The Python blocks, on the lines on which they stand, so that a traceback names the document's lines."""
    inside, lines = False, []
    for line in DOCUMENT.read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            inside = line == "```python"
            line = ""
        lines.append(line if inside else "")
    return "\n".join(lines) + "\n"


def test_the_examples_run(tmp_path: Path) -> None:
    (tmp_path / "adding.py").write_text(script(), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(Path(qdqnp.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "adding.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(shutil.which("sh") is None, reason="needs a shell")
def test_the_commands_run(tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, arguments in (("python", ""), ("qdqnp", "-m qdqnp")):
        (tools / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
        (tools / name).chmod(0o755)
    path = f"{tools}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(Path(qdqnp.__file__).parents[1])}
    (commands,) = re.findall(r"^```sh\n(.*?)^```$", DOCUMENT.read_text(encoding="utf-8"), re.M | re.S)
    done = subprocess.run(
        ["sh", "-c", f"set -e\n{commands}"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "golden" / "manifest.json").exists()


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
