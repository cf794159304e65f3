"""What a device answered in one or more runs, and which of its tensors can be judged.

A layer whose inputs were not dumped is computed from the nearest tensors that were: then the layers in between are
judged together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qdqnp.diagnosis.identify.evidence import Evidence, evidence_of
from qdqnp.diagnosis.identify.layers import Layers
from qdqnp.diagnosis.replay import segment
from qdqnp.errors import InputError, Problem
from qdqnp.model import Model, feeds_for
from qdqnp.numerics.profiles import PROFILES
from qdqnp.ops.registry import rule_of
from qdqnp.program import Step
from qdqnp.quant import Array

# The profile whose program names the layers: it defines every operator.
REFERENCE = PROFILES["ort"]


@dataclass(frozen=True, eq=False)
class Observed:
    """One run of a device. feeds: the network's inputs by name, as it got them; tensors: what it answered, by ONNX
    name, codes of the dtype and shape that the model says."""

    feeds: Mapping[str, Array]
    tensors: Mapping[str, Array]


@dataclass(frozen=True, eq=False)
class JudgedTensor:
    """One dumped tensor that can be judged. steps: from the nearest known tensors to it; operators: those of them that
    a profile's rule decides, in order; cases: by run that has it, (what is known, the device's codes)."""

    tensor: str
    steps: tuple[Step, ...]
    operators: tuple[str, ...]
    cases: tuple[tuple[Mapping[str, Array], Array], ...]

    @property
    def label(self) -> str:
        return self.steps[-1].label

    @property
    def alone(self) -> Step | None:
        """The step whose rule makes the tensor, where it is the only one and the last."""
        return self.steps[-1] if len(self.operators) == 1 and decides(self.steps[-1]) else None


@dataclass(frozen=True, eq=False)
class Dumped:
    """Of one model. judged: tensors that a profile decides; moved: those that none does (MaxPool, Flatten); unknown:
    names that the program does not make; unreachable: tensors whose inputs are not known."""

    model: Model
    reference: Layers
    judged: tuple[JudgedTensor, ...]
    moved: tuple[JudgedTensor, ...]
    unknown: tuple[str, ...]
    unreachable: tuple[str, ...]
    runs: int


def decides(step: Step) -> bool:
    """Whether the arithmetic of a step is a matter of the profile."""
    return bool(rule_of(step.op))


def sort_dump(model: Model, runs: Sequence[Observed]) -> Dumped:
    """Sort the tensors of all runs. Raises InputError where one has another dtype than the model says, or none can be
    judged."""
    reference = Layers(model, REFERENCE)
    _check_dtypes(reference, runs)
    known = [{**feeds_for(model.plan(REFERENCE), run.feeds), **run.tensors} for run in runs]
    names = list(dict.fromkeys(name for run in runs for name in run.tensors))
    made = [name for name in names if reference.maker(name) is not None]
    found = {name: _target(reference, name, runs, known) for name in made}
    there = [target for target in found.values() if target is not None]
    judged = tuple(target for target in there if target.operators)
    if not judged:
        listed = ", ".join(names[:5]) or "no tensor"
        raise InputError("nothing to identify", [Problem("dump", "a layer's codes, and what it was given", listed)])
    moved = tuple(target for target in there if not target.operators)
    unknown = tuple(name for name in names if name not in found and name not in reference.program.inputs)
    unreachable = tuple(name for name, target in found.items() if target is None)
    return Dumped(model, reference, judged, moved, unknown, unreachable, len(runs))


def _check_dtypes(reference: Layers, runs: Sequence[Observed]) -> None:
    tensors = reference.program.tensors
    problems = [
        Problem(f"tensor '{name}' of the dump", str(tensors[name].dtype), str(array.dtype))
        for run in runs
        for name, array in run.tensors.items()
        if reference.maker(name) is not None and array.dtype != tensors[name].dtype
    ]
    if problems:
        raise InputError("the dump does not fit the model", list(dict.fromkeys(problems)))


def _target(
    reference: Layers, name: str, runs: Sequence[Observed], known: Sequence[Mapping[str, Array]]
) -> JudgedTensor | None:
    """The tensor with the steps that lead to it; None where a run that has it lacks its inputs."""
    here = [(given, run.tensors[name]) for run, given in zip(runs, known, strict=True) if name in run.tensors]
    segments = [segment(reference.program, name, given) for given, _ in here]
    found = [leading for leading in segments if leading is not None]
    if len(found) < len(segments):
        return None
    longest = max((leading.steps for leading in found), key=len)
    steps = tuple(reference.steps[index] for index in longest)
    return JudgedTensor(name, steps, tuple(step.op for step in steps if decides(step)), tuple(here))


def evidence(dumped: Dumped, target: JudgedTensor) -> list[Evidence]:
    """What the target says about the rule of its operator, run by run; empty where several operators made it."""
    step = target.alone
    if step is None:
        return []
    bound = dumped.reference.bind(step)
    return [
        found
        for known, device in target.cases
        for found in evidence_of(bound, dumped.reference.values_for(step, without(known, step)), device)
    ]


def without(known: Mapping[str, Array], step: Step) -> dict[str, Array]:
    """What is known but for what the step makes."""
    return {name: array for name, array in known.items() if name not in step.output_names}
