"""Every operator and a network through every command, in the short form; and that the sweep finds what is planted."""

from __future__ import annotations

import random
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from qdqnp.cli import COMMANDS, explain, inspect
from qdqnp.element_types import plain
from qdqnp.model import load
from tests.networks import dla
from tools.verify import sweep as module
from tools.verify.sweep import FAULTS, OPERATORS, Course, Subject, Tally, main, operator_subjects, sweep

# Those of which no command of the sweep runs: they need ONNX Runtime, a device, or no model.
LEFT_OUT = {
    "verify",
    "capture",
    "probe",
    "profiles",
    "host",
    "doctor",
    "schema",
    "demo",
    "operators",
    "st",
}
# Those that only the long form runs: they start processes.
OF_THE_LONG_FORM = {"conformance", "reduce"}


def found(tally: Tally) -> str:
    """All findings, each with its first place, for the message of a failing test."""
    return "\n\n".join(f"{len(places)} x {what}\n{places[0]}" for what, places in tally.findings.items())


def values_of(subject: Subject) -> int:
    """How many values a model makes; 0 where the lowering leaves no step of it."""
    model = load(subject.data)
    made = model.trace(subject.inputs)
    return sum(np.unique(plain(made[name])).size for step in model.program().steps for name in step.output_names)


@pytest.mark.parametrize("name", sorted(OPERATORS))
def test_every_operator_through_every_command(name: str) -> None:
    """On a case that makes several values, if there is one; where no step is left of any, a golden set is written."""
    subjects = [subject for seed in range(10) for subject in operator_subjects([name], 1, seed)]
    values = [values_of(subject) for subject in subjects]
    tally, models = sweep([subjects[int(np.argmax(np.minimum(values, 2)))]], 0, short=True)
    assert not tally.findings, found(tally)
    if not any(values):
        assert tally.ends["golden", "0"]
        return
    assert models == 1 and {command for command, _ in tally.ends} == set(COMMANDS) - LEFT_OUT - OF_THE_LONG_FORM
    assert tally.ends["golden", "0"] and tally.ends["explain", "0"] and tally.ends["compare", "1"]


def test_a_network_through_every_command() -> None:
    tally, _ = sweep([Subject("dla", dla(size=8).SerializeToString())], 0, short=True)
    assert not tally.findings, found(tally)
    assert tally.ends["compare", "1"] >= len(FAULTS) - 2 and tally.ends["compare", "0"]


@pytest.mark.skipif(shutil.which("false") is None, reason="needs the command false")
def test_the_long_form_reduces_a_model_and_scores_its_operators(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (subject,) = operator_subjects(["QLinearMul"], 1, 0)
    tally = Tally()
    course = Course(subject, tally, random.Random(0), tmp_path, short=False)
    monkeypatch.setattr(course, "_golden", lambda *_: None)  # what the short form shows, more often
    monkeypatch.setattr(course, "_plain", lambda *_: None)
    course.take()
    assert not tally.findings, found(tally)
    assert {command for command, _ in tally.ends} >= OF_THE_LONG_FORM
    assert tally.ends["reduce", "0"] == 1
    assert (tally.ends["conformance", "0"], tally.ends["conformance", "1"]) == (2, 1)  # made, by qdqnp; by NEVER


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int64, np.float32, np.bool_])
@pytest.mark.parametrize("shape", [(2, 3, 4), (3, 3), (5,), (), (0, 2)])
def test_faults_keep_dtype_and_shape(fault: object, dtype: type, shape: tuple[int, ...]) -> None:
    array = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)
    made = fault(array)  # type: ignore[operator]
    assert (made.dtype, made.shape) == (array.dtype, array.shape)
    assert not np.shares_memory(made, array)


# -- what the sweep finds ----------------------------------------------------------------------------------------------
def planted() -> Tally:
    return sweep(operator_subjects(["Relu"], 1, 0), 0, short=True)[0]


def test_a_foreign_exception_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise IndexError("planted")

    monkeypatch.setattr(explain, "_print", fail)
    tally = planted()
    (what,) = tally.findings
    assert what.startswith("IndexError in cli/explain.py") and "planted" in what
    assert tally.ends["explain", "finding"] and "Traceback" in tally.findings[what][0]


@pytest.mark.parametrize("error", [EOFError, BrokenPipeError, MemoryError, RecursionError])
def test_so_is_what_click_would_keep(monkeypatch: pytest.MonkeyPatch, error: type[BaseException]) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(explain, "_print", fail)
    assert [what.split()[0] for what in planted().findings] == [error.__name__]


def test_a_warning_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def warn(*_: object) -> None:
        np.float32(3e38) * np.float32(10)

    monkeypatch.setattr(inspect, "_print", warn)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert [what.split()[0] for what in planted().findings] == ["RuntimeWarning"]


def test_an_exit_code_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def leave(*_: object) -> None:
        raise SystemExit(7)

    monkeypatch.setattr(inspect, "_print", leave)
    assert list(planted().findings) == ["exit code 7"]


def test_a_report_that_is_no_xml_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qdqnp.cli.compare.junit", lambda *_: b"<a>\x1b</a>")
    assert list(planted().findings) == ["compare: JUnit XML that is none: Relu"]


def test_a_wrong_verdict_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FAULTS", ())
    monkeypatch.setattr("qdqnp.diagnosis.compare.report.CompareReport.exit_code", 1)
    assert list(planted().findings) == ["compare: a right dump is called wrong: Relu"]


def test_the_command_counts() -> None:
    result = CliRunner().invoke(main, ["--short", "--only", "Relu"])
    assert result.exit_code == 0, result.output
    assert "| golden |" in result.stdout and "0 kinds of findings" in result.stdout
