"""docs/diagnosis.md: its table is of every fault. `tests/test_pages.py` runs its worked case."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.diagnosis.devices import FAULTS

TEXT = (Path(__file__).parents[2] / "docs" / "diagnosis.md").read_text(encoding="utf-8")


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
