"""docs/diagnosis.md: its table is of every fault. `tests/test_pages.py` runs its worked case."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.diagnosis.planted import PLANTED

TEXT = (Path(__file__).parents[2] / "docs" / "diagnosis.md").read_text(encoding="utf-8")
#: Of each fault: three seeds, ten places, half of them in NCHW memory and half in NHWC.
RUNS = 30


def cells(line: str) -> list[int]:
    return [int(cell) for cell in line.split("|")[2:-1]]


@pytest.mark.parametrize("name", PLANTED)
def test_the_table_has_every_fault(name: str) -> None:
    """The right layer always, the right kind in nine of ten runs, and never another kind alone."""
    runs, layer, named, alone, another, few = cells(
        next(line for line in TEXT.splitlines() if line.startswith(f"| {name} |"))
    )
    assert runs == layer == RUNS and max(alone, few) <= named <= runs
    assert named >= 0.9 * runs and another == 0


def test_the_table_keeps_its_promise() -> None:
    runs, layer, named, alone, another, _ = cells(
        next(line for line in TEXT.splitlines() if line.startswith("| **all** |"))
    )
    assert len(PLANTED) == 44 and runs == layer == 44 * RUNS and another == 0 and named >= 0.9 * runs
    names = TEXT[TEXT.index("| name | the only one | and right |") :].split("\n\n", 1)[0]
    counts = [tuple(cells(line)) for line in names.splitlines()[2:]]
    assert sum(right for _, right in counts) == alone and all(right == only for only, right in counts)
