"""docs/diagnosis.md: its worked case runs as it is written, its commands exist, its table is of every fault."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import qdqnp
from qdqnp.inputs.shipped import shipped_model
from tests.diagnosis.devices import FAULTS

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "diagnosis.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def run(command: str, folder: Path) -> str:
    """One command of the document, in a folder; `qdqnp` and `python` are those of the tests."""
    words = shlex.split(command)
    program = {"qdqnp": [sys.executable, "-m", "qdqnp"], "python": [sys.executable]}[words[0]]
    path = str(Path(qdqnp.__file__).parents[1])
    done = subprocess.run(
        [*program, *words[1:]],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        env={"PYTHONPATH": path, "PATH": "", "COLUMNS": "200"},
        check=False,
    )
    assert done.returncode in (0, 1) and "Traceback" not in done.stderr, done.stderr
    return done.stdout


def test_the_worked_case_says_what_the_document_says(tmp_path: Path) -> None:
    shutil.copyfile(shipped_model("dla46_c_int8"), tmp_path / "net.onnx")
    checked = 0
    for language, name, body in BLOCKS:
        if language == "python":
            (tmp_path / name).write_text(body, encoding="utf-8")
        elif language == "console":
            output = ""
            for line in body.splitlines():
                if line.startswith("$ "):
                    output = run(line.removeprefix("$ "), tmp_path)
                else:
                    assert line in output, f"{line!r} is not in:\n{output}"
                    checked += 1
    assert checked >= 5 and (tmp_path / "report.html").stat().st_size > 10_000


@pytest.mark.parametrize("kind", FAULTS)
def test_the_table_has_every_fault(kind: str) -> None:
    row = next(line for line in TEXT.splitlines() if line.startswith(f"| {kind} |"))
    runs, layer, named, alone, few = (int(cell) for cell in row.split("|")[2:7])
    assert runs == layer == 6 and max(alone, few) <= named <= runs


def test_the_table_keeps_its_promise() -> None:
    total = next(line for line in TEXT.splitlines() if line.startswith("| **all** |"))
    runs, layer, named, alone, _ = (int(cell) for cell in total.split("|")[2:7])
    assert runs == layer == 138 and named >= 124
    names = TEXT[TEXT.index("| name | the only one | and right |") :].split("\n\n", 1)[0]
    counts = [tuple(int(cell) for cell in line.split("|")[2:4]) for line in names.splitlines()[2:]]
    assert sum(right for _, right in counts) == alone and all(right == only for only, right in counts)
