"""Run onnx's own backend test suite (`onnx.backend.test`) through `qdqnp.backend`.

    python -m tools.verify.backend_suite

The suite makes the cases, runs them and judges them; nothing of it is done here. What does not pass is listed in
backend_exclusions.json, by reason: a case that qdqnp refuses must be refused for the reason that is listed, and one
whose data ONNX Runtime contradicts must differ. A case that is not listed must pass, and so a listed case that begins
to pass, or a reason that changes, makes the command fail. `--write` writes the list anew.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import unittest
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnx

from qdqnp.backend import QdqnpBackend
from qdqnp.errors import QdqnpError
from tools.verify.node_tests import grouped, reason_of

EXCLUSIONS = Path(__file__).with_name("backend_exclusions.json")
PASSED, REFUSED, DIFFERS, FAILED = "passed", "refused", "differs", "FAILED"
#: The part of the list that all releases of onnx have in common.
ALL = "all"
#: What stands in the list for cases whose data ONNX Runtime contradicts, as tools.verify.node_tests shows.
CONTRADICTED = "ONNX Runtime computes something else than ONNX's data, and qdqnp does as it does"


class Answering(QdqnpBackend):
    """The backend, without `is_compatible`: the suite passes over a model that this refuses, and never says why."""

    is_compatible = None


@dataclass(frozen=True)
class CaseOutcome:
    """What became of one case of the suite."""

    #: The case, as the suite calls it, without the device.
    name: str
    #: The kind of cases that it is one of: 'node', 'simple', 'real', ...
    kind: str
    verdict: str
    #: Why it does not pass; '' where it does.
    reason: str = ""


class _Listener(unittest.TestResult):
    """Notes what became of each case."""

    def __init__(self) -> None:
        super().__init__()
        self.outcomes: list[CaseOutcome] = []

    def _note(self, test: unittest.TestCase, verdict: str, reason: str = "") -> None:
        name = test.id().rpartition(".")[2].removesuffix("_cpu")
        kind = type(test).__name__.removeprefix("OnnxBackend").removesuffix("ModelTest").lower()
        self.outcomes.append(CaseOutcome(name, kind, verdict, reason))

    def addSuccess(self, test: unittest.TestCase) -> None:  # noqa: N802 - unittest's name
        self._note(test, PASSED)

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:  # noqa: N802
        self._note(test, DIFFERS, CONTRADICTED)

    def addError(self, test: unittest.TestCase, err: Any) -> None:  # noqa: N802
        error = err[1]
        if isinstance(error, QdqnpError):
            self._note(test, REFUSED, reason_of(error))
        else:
            self._note(test, FAILED, f"{type(error).__name__}: {error}")


@cache  # making the cases takes ten seconds
def _suite() -> Any:
    from onnx.backend.test import BackendTest

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # of the computations by which onnx makes its data
        return BackendTest(Answering, __name__)


def run_suite(include: str = "", backend: type[QdqnpBackend] = Answering) -> list[CaseOutcome]:
    """Run the suite on the CPU, and return what became of each case.

    include: a regular expression that the names of the cases must match; '' for all.
    """
    listener, suite = _Listener(), _suite()
    suite.backend = backend
    with tempfile.TemporaryDirectory() as home, warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        before = os.environ.get("ONNX_HOME")
        os.environ["ONNX_HOME"] = home  # where the suite keeps the data of its networks
        try:
            for case in suite.test_cases.values():
                names = [name for name in dir(case) if name.endswith("_cpu") and re.match(include, name)]
                unittest.TestSuite(map(case, names)).run(listener)
        finally:
            if before is None:
                del os.environ["ONNX_HOME"]
            else:
                os.environ["ONNX_HOME"] = before
    return listener.outcomes


def release() -> str:
    """Return the release of onnx that is installed, as the list names it: '1.23'."""
    return ".".join(onnx.__version__.split(".")[:2])


def read_exclusions(of: str, path: Path = EXCLUSIONS) -> dict[str, tuple[str, ...]]:
    """Return why each listed case does not pass, by its name.

    of: a release of onnx, which may have a list of its own beside the common one, as other data for the same cases.
    """
    document = json.loads(path.read_text(encoding="utf-8"))
    found: dict[str, tuple[str, ...]] = {}
    for part in (document[ALL], document["only"].get(of, {})):
        for reason, names in part.items():
            for name in names:
                found[name] = (*found.get(name, ()), reason)
    return found


def unexpected(outcomes: Iterable[CaseOutcome], listed: Mapping[str, Sequence[str]]) -> list[str]:
    """Return a sentence for each case that is not as the list says."""
    found = []
    for outcome in outcomes:
        reasons = listed.get(outcome.name, ())
        if outcome.verdict == PASSED and reasons:
            found.append(f"{outcome.name} passes, and is listed: {' or '.join(reasons)}")
        elif outcome.verdict != PASSED and outcome.reason not in reasons:
            stated = f"; listed: {' or '.join(reasons)}" if reasons else ", and is not listed"
            found.append(f"{outcome.name} {outcome.verdict}: {outcome.reason}{stated}")
    return found


def exclusions_of(outcomes: Sequence[CaseOutcome], of: str, document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the list with what one more release of onnx shows.

    of: the release.
    document: the list before; of the releases that it knows, the newest states the common part.
    """
    found: dict[str, list[str]] = {}
    for outcome in sorted(outcomes, key=lambda outcome: outcome.name):
        if outcome.verdict in (REFUSED, DIFFERS):
            found.setdefault(outcome.reason, []).append(outcome.name)
    if _number(of) >= _number(document["newest"]):
        return {**document, "newest": of, ALL: dict(sorted(found.items()))}
    common = {(reason, name) for reason, names in document[ALL].items() for name in names}
    own = {r: left for r, names in found.items() if (left := [name for name in names if (r, name) not in common])}
    return {**document, "only": {**document["only"], of: dict(sorted(own.items()))}}


def _number(of: str) -> tuple[int, ...]:
    return tuple(map(int, of.split(".")))


def counts(outcomes: Iterable[CaseOutcome]) -> list[str]:
    """Return how many cases of each kind passed, were refused and differ, a line for each kind."""
    found: dict[str, Counter[str]] = {}
    for outcome in outcomes:
        found.setdefault(outcome.kind, Counter())[outcome.verdict] += 1
    return [
        f"{kind}: {sum(by.values())} cases, " + ", ".join(f"{by[verdict]} {verdict}" for verdict in sorted(by))
        for kind, by in sorted(found.items())
    ]


@click.command()
@click.option("--include", default="", help="A regular expression that the cases' names match.")
@click.option("--reasons", is_flag=True, help="Print the reasons, with the number of cases of each.")
@click.option("--write", is_flag=True, help="Write the list of what does not pass.")
def main(include: str, reasons: bool, write: bool) -> None:
    """Run the suite. Exit code 1 where a case is not as backend_exclusions.json says."""
    outcomes = run_suite(include)
    click.echo(f"onnx {onnx.__version__}")
    for line in counts(outcomes):
        click.echo(line)
    for reason, names in grouped([o for o in outcomes if o.verdict != PASSED]) if reasons else ():
        click.echo(f"{len(names):5} {reason}")
    if write:
        document = exclusions_of(outcomes, release(), json.loads(EXCLUSIONS.read_text(encoding="utf-8")))
        EXCLUSIONS.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    wrong = unexpected(outcomes, read_exclusions(release()))
    for line in wrong:
        click.echo(line)
    if wrong:
        raise click.ClickException(f"{len(wrong)} of {len(outcomes)} cases are not as listed")


if __name__ == "__main__":
    main()
