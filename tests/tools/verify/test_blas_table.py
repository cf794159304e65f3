"""tools/verify/blas_table.py: a difference, a wrong verdict of the probes, and a process that fails are seen."""

import json
from typing import Any

import pytest
from click.testing import CliRunner

from tools.verify import blas_table
from tools.verify.blas_table import defined, main, measure, row


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blas_table, "PROFILES", ("ort-x64",))
    monkeypatch.setattr(blas_table, "SIZE", 16)


def test_a_process_agrees_with_the_definitions(small: None) -> None:
    result = CliRunner().invoke(main, ["--child", "--threads", "2"])
    assert result.exit_code == 0, result.output
    found, wanted = json.loads(result.output), defined()
    cells, good = row("", 2, found, wanted)
    assert good
    assert cells[-2:] == [str(sum(map(len, wanted.values()))), "0"]
    assert int(cells[-2]) > 100


def found(**changed: Any) -> dict[str, Any]:
    return {
        "numpy": "2",
        "kernel": "Haswell",
        "chains": 4,
        "shapes": 4,
        "digests": {"p": {"a": "1", "b": "2"}},
        **changed,
    }


def test_what_is_wrong_is_said() -> None:
    wanted = {"p": {"a": "1", "b": "2"}}
    assert row("", 1, found(), wanted)[1]
    cells, good = row("", 1, found(digests={"p": {"a": "1", "b": "3"}}), wanted)
    assert (cells[-1], good) == ("1", False)
    cells, good = row("", 1, found(digests={}), wanted)
    assert (cells[-1], good) == ("2", False)
    assert row("Nehalem", 1, found(kernel="Nehalem", chains=0), wanted)[1]
    cells, good = row("Nehalem", 1, found(kernel="Nehalem"), wanted)
    assert ("WRONG" in cells[4], good) == (True, False)
    cells, good = row("", 1, {"error": "no module"}, wanted)
    assert (cells[-1], good) == ("no module", False)


def test_a_process_that_fails_is_told() -> None:
    assert measure("/bin/false", "", 1) == {"error": "exit code 1"}
