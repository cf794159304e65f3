"""`--operators FILE.py`: a file of the user's is run, for this command alone."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from qdqnp.cli.python_files import operators_in
from qdqnp.errors import ModelError

TEXT = """
from dataclasses import dataclass

@dataclass
class Settings:
    by: "int" = 2

class Half:
    op_domain = "com.example"

    def _run(self, x):
        return x / Settings().by

OPERATORS = [Half]
"""


def test_the_classes_of_the_list_are_returned(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(TEXT)
    (tmp_path / "more.py").write_text(TEXT.replace("Half", "Third"))
    before = set(sys.modules)
    found = operators_in([tmp_path / "mine.py", tmp_path / "more.py"])
    assert [kind.__name__ for kind in found] == ["Half", "Third"]
    assert not {name for name in set(sys.modules) - before if name.startswith("qdqnp_operators")}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"a list of classes, OPERATORS = \[\.\.\.\], got none"),
        ("OPERATORS = [3]", r"got \[3\]"),
        ("OPERATORS = 'Half'", "got 'Half'"),
        ("1 / 0", "ZeroDivisionError"),
        ("def", "SyntaxError"),
        ("raise SystemExit(0)", "SystemExit"),
    ],
)
def test_other_files_are_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(ModelError, match=message):
        operators_in([tmp_path / "mine.py"])


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.py").mkdir()
    for name in ("folder.py", "missing.py"):
        with pytest.raises(ModelError, match="expected a Python file, got"):
            operators_in([tmp_path / name])
