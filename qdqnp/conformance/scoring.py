"""Score a runtime on a pack: every case by itself, a refusal counted apart from a wrong answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from qdqnp.conformance.pack import MODEL, Pack, StoredCase, read_case, read_pack, spread
from qdqnp.conformance.verdict import FAILED, REFUSED, RIGHT, WRONG, Judged, explained, judge
from qdqnp.errors import InputError, Problem
from qdqnp.peers.runtimes.apart import ApartRuntime
from qdqnp.peers.runtimes.command import CommandRuntime
from qdqnp.peers.runtimes.names import RUNTIMES
from qdqnp.peers.runtimes.outcome import Ran, Scored

VERDICTS = (RIGHT, WRONG, REFUSED, FAILED)
#: Seconds that a case may take.
TIMEOUT = 60.0


@dataclass(frozen=True)
class CaseScore:
    """One case."""

    #: Its path in the pack.
    path: str
    operator: str
    #: 'integer' or 'qdq'.
    form: str
    judged: Judged


@dataclass(frozen=True)
class Score:
    """What a runtime made of a pack."""

    #: As it was named.
    runtime: str
    #: Its packages and their versions.
    version: str
    #: The arithmetic that it was held against.
    profile: str
    cases: Sequence[CaseScore]

    def counts(self, operator: str = "") -> dict[str, int]:
        """Return how many cases have each verdict; of one operator, or of all."""
        found = Counter(one.judged.verdict for one in self.cases if operator in ("", one.operator))
        return {verdict: found[verdict] for verdict in VERDICTS}

    def classes(self, operator: str = "") -> dict[str, int]:
        """Return how many wrong answers there are of each class."""
        wrong = (one for one in self.cases if one.judged.verdict == WRONG and operator in ("", one.operator))
        return dict(Counter(one.judged.kind for one in wrong))

    @property
    def operators(self) -> list[str]:
        """Return the operators in the pack's order."""
        return list(dict.fromkeys(one.operator for one in self.cases))

    @property
    def exit_code(self) -> int:
        """Return 0 where there are answers and all are right; 1 for a wrong one, for none, or where a case failed."""
        counts = self.counts()
        return int(counts[WRONG] + counts[FAILED] > 0 or not counts[RIGHT])

    def as_json(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        return {
            "runtime": self.runtime,
            "version": self.version,
            "profile": self.profile,
            "counts": self.counts(),
            "classes": self.classes(),
            "operators": {op: {**self.counts(op), "classes": self.classes(op)} for op in self.operators},
            "cases": [
                {"case": one.path, "form": one.form, **asdict(one.judged)}
                for one in self.cases
                if one.judged.verdict != RIGHT
            ],
        }


def score(
    folder: Path,
    runtime: str,
    profile: str = "",
    operators: Sequence[str] = (),
    limit: int | None = None,
    timeout: float = TIMEOUT,
    notify: Callable[[int, int], None] = lambda done, total: None,
) -> Score:
    """Run the cases of a pack in a runtime, and return what it made of each.

        folder: the pack.
        runtime: one of RUNTIMES, or a command (qdqnp.peers.runtimes.command says what it is given).
        profile: the arithmetic whose outputs are expected; '' for the pack's only one.
        operators: the operators whose cases are run; all where none is named.
        limit: the most cases, evenly spread; None for all.
        timeout: seconds that a case may take.
        notify: is called with how many cases are done, of how many.

    Raises InputError for a folder that is no pack or has changed, a profile or an operator without cases, and an
    unknown runtime; PeerError where its package is missing.

    >>> from qdqnp.conformance.make import make
    >>> made = make(Path("pack"), operators=["MatMulInteger"], limit=3)
    >>> score(Path("pack"), "reference").counts()
    {'right': 3, 'wrong': 0, 'refused': 0, 'failed': 0}
    """
    pack = read_pack(folder)
    chosen = profile_of(pack, profile)
    paths = list(spread(_cases(pack, chosen, operators), limit))
    scored = opened(runtime, chosen, timeout)
    cases: list[CaseScore] = []
    try:
        for done, path in enumerate(paths):
            notify(done, len(paths))
            case = read_case(pack, path)
            form = str(case.desc.get("form", ""))
            cases.append(CaseScore(path, case.operator, form, judged(pack, case, scored, chosen)))
    finally:
        scored.close()
    notify(len(paths), len(paths))
    return Score(runtime, scored.version, chosen, cases)


def profile_of(pack: Pack, profile: str) -> str:
    """Return the profile that is meant. Raises InputError where the pack has no such one, or several and none named."""
    if profile in pack.profiles:
        return profile
    if not profile and len(pack.profiles) == 1:
        return next(iter(pack.profiles))
    got = f"'{profile}'" if profile else "none named"
    problem = Problem("profile", f"one of {', '.join(pack.profiles)}", got, "Name it: --profile.")
    raise InputError("the pack does not say what is expected", [problem])


def _cases(pack: Pack, profile: str, operators: Sequence[str]) -> list[str]:
    there = {path.split("/")[1] for path in pack.of(profile)}
    for op in operators:
        if op not in there:
            problem = Problem(f"operator '{op}'", f"one of {', '.join(sorted(there))}", "another")
            raise InputError("the pack has no cases of this operator", [problem])
    return pack.of(profile, operators)


def opened(runtime: str, profile: str, timeout: float) -> Scored:
    """Return the runtime of a name, or of a command. Raises InputError and PeerError."""
    if runtime in RUNTIMES:
        return ApartRuntime(runtime, profile, timeout)
    return CommandRuntime(runtime, timeout)


def judged(pack: Pack, case: StoredCase, runtime: Scored, profile: str) -> Judged:
    """Run one case and return the verdict; of a wrong answer also under which other profile it would be right."""
    folder = pack.folder / case.path
    model = pack.read(f"{case.path}/{MODEL}")
    files: Mapping[str, Path] = {name: folder / str(case.desc["inputs"][name]["file"]) for name in case.inputs}
    outcome = runtime.run(folder / MODEL, files)
    found = judge(outcome, case.outputs)
    if found.verdict != WRONG or not isinstance(outcome, Ran):
        return found
    return replace(found, as_profile=explained(model, case.inputs, outcome.outputs, profile))
