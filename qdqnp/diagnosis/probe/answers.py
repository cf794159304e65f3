"""Read what a board answered to the probes: which hypotheses remain, and what a profile is fitted to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qdqnp.diagnosis.align import align
from qdqnp.diagnosis.dump import read_dump
from qdqnp.diagnosis.identify.fit import Fitted, fit_all
from qdqnp.diagnosis.identify.observations import REFERENCE, Observed, sort_dump
from qdqnp.diagnosis.probe.probes import Probe
from qdqnp.diagnosis.replay import Device, Reference
from qdqnp.errors import InputError, Problem
from qdqnp.files.paths import kind_of
from qdqnp.quant import Codes

SUFFIXES = ("", ".npz", ".npy", ".bin")


@dataclass(frozen=True, eq=False)
class Answer:
    """One probe with the codes that the board gave."""

    probe: Probe
    codes: Codes
    #: The hypotheses that give every one of these codes.
    remaining: tuple[str, ...]
    #: The hypothesis with the fewest mismatches, and their number.
    nearest: tuple[str, int]

    @property
    def fits(self) -> bool:
        """Return whether a profile's rule may express the answer: no hypothesis remains, or one of the remaining ones
        has a rule."""
        rules = {hypothesis.text: hypothesis.rule for hypothesis in self.probe.hypotheses}
        return not self.remaining or any(rules[text] is not None for text in self.remaining)

    def as_json(self) -> dict[str, object]:
        return {
            "probe": self.probe.name,
            "question": self.probe.question,
            "remaining": list(self.remaining),
            "nearest": {"hypothesis": self.nearest[0], "differing": self.nearest[1]},
        }


def read_answers(folder: Path, probes: Sequence[Probe]) -> list[Answer]:
    """Read the answers of a folder: `<probe>.npy`, `.npz`, `.bin`, or a folder of that name. Raises InputError where
    the folder does not hold an answer, or an answer does not fit its model."""
    found = []
    for probe in probes:
        paths = [path for suffix in SUFFIXES if kind_of(path := folder / f"{probe.name}{suffix}")]
        if paths:
            found.append(answer_of(probe, _codes(probe, paths[0])))
    if not found:
        names = ", ".join(f"{probe.name}.npy" for probe in probes)
        raise InputError("no answers", [Problem(f"folder {folder}", f"one or more of {names}", "none of them")])
    return found


def _codes(probe: Probe, path: Path) -> Codes:
    """Return the output's codes, whether the file holds codes or real values."""
    reference = Reference(probe.model, REFERENCE, [probe.feeds])
    outputs = [target for target in reference.targets if target.codes == probe.output]
    device = Device(reference, align(read_dump(path), outputs, 1))
    if probe.output not in device.holders():
        expected = f"{outputs[0].elements} codes or values of the output"
        raise InputError("an answer does not fit its probe", [Problem(f"file {path}", expected, "others")])
    return device.values(0)[probe.output]


def answer_of(probe: Probe, codes: Codes) -> Answer:
    """Compare the codes that a board gave with every hypothesis."""
    wrong = {text: int(np.count_nonzero(theirs != codes)) for text, theirs in probe.answers().items()}
    nearest = min(wrong.items(), key=lambda item: item[1])
    return Answer(probe, codes, tuple(text for text, count in wrong.items() if count == 0), nearest)


def observed(answer: Answer) -> Observed:
    return Observed(answer.probe.feeds, {answer.probe.output: answer.codes})


def fit_answers(answers: Sequence[Answer], name: str) -> tuple[Fitted, list[str]]:
    """Fit a profile to all answers that a rule may express; also return the names of the probes that were left out.
    Where no rule fits an operator, the fit is tried again without the answers that no hypothesis gives."""
    used = [answer for answer in answers if answer.fits]
    if not used:
        raise InputError("nothing to fit", [Problem("answers", "one that a profile can express", "none")])
    fitted = _fit(used, name)
    known = [answer for answer in used if answer.remaining]
    if fitted.unfitted and known and len(known) < len(used):
        fitted, used = _fit(known, name), known
    return fitted, [answer.probe.name for answer in answers if answer not in used]


def _fit(answers: Sequence[Answer], name: str) -> Fitted:
    return fit_all([sort_dump(answer.probe.model, [observed(answer)]) for answer in answers], name)
