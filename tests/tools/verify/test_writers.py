"""The tool that kills writing commands: a short run of it, and that it sees what it looks for."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from click.testing import CliRunner

from tools.verify.writers import WRITINGS, Rounds, main, prepare


def test_killed_full_and_at_once(tmp_path: Path) -> None:
    """Of a command that replaces a folder, and one that makes a file."""
    out = tmp_path / "writers.md"
    options = ["--kills", "3", "--disks", "3", "--races", "1", "--markdown", str(out)]
    result = CliRunner().invoke(main, [*options, "--only", "golden --force", "--only", "run"])
    assert result.exit_code == 0, result.output
    lines = out.read_text().splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["golden --force", "run"]
    assert all(line.endswith("| 0 |") for line in lines[2:])


def test_it_looks_at_every_command_that_writes() -> None:
    """By the options and commands that name an output."""
    named = {part for writing in WRITINGS for part in writing.arguments.split() if part.startswith("--")}
    assert {"--out", "--output", "--html", "--junit", "--write-mapping", "--fit"} <= named
    assert {writing.arguments.split()[0] for writing in WRITINGS} >= {"golden", "stimulate", "capture", "probe", "run"}


@pytest.mark.parametrize("fault", ["lost", "torn", "left"])
def test_it_sees_what_it_looks_for(tmp_path: Path, fault: str) -> None:
    given = tmp_path / "given"
    prepare(given)
    (writing,) = (one for one in WRITINGS if one.name == "run")
    rounds = Rounds(writing, given, tmp_path / "disk", random.Random(0))
    rounds._check("a run", [rounds.new], left_over=False)
    assert rounds.found.faults == []
    if fault == "lost":
        (rounds.folder / "notes.txt").unlink()
    elif fault == "torn":
        path = rounds.folder / writing.out
        path.write_bytes(path.read_bytes()[:-1])
    else:
        (rounds.folder / ".qdqnp-0123456789abcdef.tmp").touch()
    rounds._check("a run", [rounds.new], left_over=False)
    assert len(rounds.found.faults) == 1
