"""The table of docs/numerics.md says of each operator of each profile what its rule says."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pytest

from qdqnp.numerics.profiles import PROFILES
from qdqnp.numerics.status import ESTABLISHED, INFERRED, UNKNOWN
from qdqnp.quant import Quant

DOCUMENT = Path(__file__).parents[3] / "docs" / "numerics.md"
MARKS = {"E": ESTABLISHED, "e": ESTABLISHED, "i": INFERRED, "-": UNKNOWN}
ONE, TWO = (Quant(np.dtype(np.int8), np.asarray(scale, np.float32), np.asarray(0, np.int8)) for scale in (1, 2))
# the columns: a field of the profile, and the scales of input and output
COLUMNS = [
    *((field, None) for field in ("conv", "gemm", "matmul", "add", "mul", "concat")),
    *((field, y) for field in ("average_pool", "global_average_pool") for y in (ONE, TWO)),
]


def rows() -> dict[str, list[str]]:
    """The marks of each profile."""
    text = DOCUMENT.read_text(encoding="utf-8").split("### What was compared with what")[1].split("###")[0]
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.startswith("| `"):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            for pattern in re.findall("`([^`]*)`", cells[0]):
                found.update({name: cells[1:] for name in PROFILES if fnmatch(name, pattern)})
    return found


def status(name: str, field: str, y: Quant | None) -> str:
    rule = getattr(PROFILES[name], field)
    return str(rule.status if y is None or not hasattr(rule, "status_between") else rule.status_between(ONE, y))


@pytest.mark.parametrize("name", rows())
def test_each_mark_is_the_rule_s_status(name: str) -> None:
    assert [MARKS[mark] for mark in rows()[name]] == [status(name, field, y) for field, y in COLUMNS]


def test_every_profile_but_ideal_onnx_runtime_and_neural_art_is_in_the_table() -> None:
    others = {name for name in PROFILES if name.startswith(("ort", "exact", "neural-art"))}
    assert rows().keys() == PROFILES.keys() - others
