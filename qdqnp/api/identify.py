"""identify: which arithmetic does a device have?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qdqnp.api.arguments import AnyModel, AnyPath, AnyProfile, Operators, Texts, listed, profiles_of, source_of
from qdqnp.api.dumps import AnyDump, AnyMapping, dump_of, mapping_of
from qdqnp.api.progress import LOG
from qdqnp.api.result import Result
from qdqnp.diagnosis.identify.device import open_device
from qdqnp.diagnosis.identify.fit import Fitted, fit_all
from qdqnp.diagnosis.identify.fit_toml import fit_toml
from qdqnp.diagnosis.identify.identify import IdentifyReport, identify_all
from qdqnp.diagnosis.identify.observations import Dumped, sort_dump
from qdqnp.diagnosis.probe.answers import Answer, fit_answers, observed, read_answers
from qdqnp.diagnosis.probe.catalog import probes
from qdqnp.diagnosis.probe.folder import check_folder, is_probe_folder
from qdqnp.errors import InputError, Problem
from qdqnp.files.atomic import target, write_text
from qdqnp.numerics.profiles import PROFILES


@dataclass(frozen=True, repr=False, eq=False)
class IdentifyResult(Result):
    """The profiles, ranked by how many codes of a device they do not give, for each operator."""

    #: The ranking.
    report: IdentifyReport
    #: What a board answered to probes; empty for a dump.
    answers: Sequence[Answer] = ()
    #: The profile that was fitted; None where none was asked for.
    fitted: Fitted | None = None
    #: Probes whose answers no rule expresses, which the profile was not fitted to.
    left_out: tuple[str, ...] = ()

    columns = ("operator", "layers", "profiles", "elements", "differing", "largest", "rule")

    @property
    def matched(self) -> list[str]:
        """Return the profiles that give every code of every operator."""
        return self.report.everywhere

    @property
    def exit_code(self) -> int:
        """Return 0 where every operator is given by some profile, or by the fitted one, and 1 where not."""
        good = all(verdict.matched for verdict in self.report.verdicts)
        if self.fitted is not None:
            good = not self.fitted.unfitted
        return 0 if good and not self.report.moved else 1

    def summary(self) -> str:
        missing = [verdict.name for verdict in self.report.verdicts if not verdict.matched]
        if self.matched:
            return f"every code of every operator: {', '.join(self.matched)}"
        if missing:
            return f"no profile gives every code of: {', '.join(missing)}"
        return "each operator is given by some profile, but no profile gives all of them"

    def document(self) -> dict[str, Any]:
        found = self.report.as_json()
        if self.answers:
            found["probes"] = [answer.as_json() for answer in self.answers]
        if self.fitted is not None:
            found["fit"] = {**self.fitted.as_json(), "left_out": list(self.left_out)}
        return found

    def items(self) -> Sequence[Mapping[str, Any]]:
        return [
            {"operator": verdict.name, "layers": len(verdict.tensors), "rule": verdict.rule, **standing.as_json()}
            for verdict in self.report.verdicts
            for standing in verdict.standings
        ]


def identify(
    golden: AnyPath,
    dump: AnyDump,
    *,
    model: AnyModel | None = None,
    outputs: Texts = (),
    operators: Operators = (),
    mapping: AnyMapping | None = None,
    case: int = 0,
    profiles: Texts | Iterable[AnyProfile] = (),
    fit: AnyPath | None = None,
    force: bool = False,
) -> IdentifyResult:
    """Rank the profiles by how many codes of a device they do not give, as `qdqnp identify` does.

        golden: the folder of the golden set whose inputs the device ran, or a folder of `qdqnp probe`.
        dump: the device's tensors: a file, a folder, or arrays by name; or the folder of the answers to the probes.
        model: the model, where the set does not hold it.
        outputs: tensors to cut it at.
        operators: classes of operators that qdqnp does not have, as qdqnp.load takes them.
        mapping: which entry of the dump is which tensor: a file, or entries by ONNX name.
        case: which input of the set is the dump's first one.
        profiles: which to try; all that there are if empty.
        fit: a file ending in .toml to write the profile to that fits, found in the families of arithmetic.
        force: whether to replace that file.

    Raises GoldenError and InputError for what cannot be read or does not fit.

    >>> import qdqnp
    >>> from qdqnp.inputs.shipped import shipped_model
    >>> made = qdqnp.golden(shipped_model("dla46_c_int8"), random=1, out="vectors")
    >>> device = qdqnp.load(shipped_model("dla46_c_int8")).trace(made.read().feeds(), profile="tosa-double")
    >>> "tosa-double" in qdqnp.identify(made, device, profiles="ort,tosa-double").matched
    True
    """
    if listed(outputs) and model is None:
        problem = Problem("outputs", "a model beside them", "none", "A golden set's own model is cut already.")
        raise InputError("no model to cut", [problem])
    out = target(Path(fit), "the profile", force) if fit is not None else None
    tried = [profile for _, profile in profiles_of(profiles)] or list(PROFILES.values())
    folder, given = Path(golden), dump_of(dump)
    answers: list[Answer] = []
    if is_probe_folder(folder):
        if not isinstance(given, Path):
            raise InputError("no answers", [Problem("dump", "the folder of the answers to the probes", "arrays")])
        made = probes()
        check_folder(folder, made)
        answers = read_answers(given, made)
        devices = [sort_dump(answer.probe.model, [observed(answer)]) for answer in answers]
    else:
        source = None if model is None else source_of(model, outputs)
        devices = [sort_dump(*open_device(folder, given, source, mapping_of(mapping), case, operators))]
    LOG.info("identifying: %d profiles", len(tried))
    report = identify_all(devices, tried)
    if out is None:
        return IdentifyResult(report, answers)
    found, left_out = _fitted(out.path.stem, answers, devices)
    write_text(out, fit_toml(found))
    return IdentifyResult(report, answers, found, tuple(left_out))


def _fitted(name: str, answers: Sequence[Answer], devices: Sequence[Dumped]) -> tuple[Fitted, list[str]]:
    """Fit a profile; also return the probes that were left out."""
    return fit_answers(answers, name) if answers else (fit_all(devices, name), [])
