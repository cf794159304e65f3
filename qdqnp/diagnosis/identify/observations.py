"""Collect what a device answered in one or more runs, and sort which of its tensors can be judged.

A layer whose inputs were not dumped is computed from the nearest tensors that were dumped; the layers in between are
then judged together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from qdqnp.diagnosis.identify.evidence import Evidence, evidence_of
from qdqnp.diagnosis.identify.layers import Layers
from qdqnp.diagnosis.replay import segment
from qdqnp.errors import InputError, Problem
from qdqnp.model import Model, feeds_for
from qdqnp.numerics.profiles import PROFILES
from qdqnp.ops.registry import operator_of
from qdqnp.program import Step
from qdqnp.quant import Array

# The profile whose rules name the layers, because it defines every operator; the layers are those of a device, whose
# Relu and Clip are limits of codes.
REFERENCE = replace(PROFILES["ort"], lowering="device")


@dataclass(frozen=True, eq=False)
class Observed:
    """One run of a device."""

    #: The network's inputs by name, as the device got them.
    feeds: Mapping[str, Array]
    #: What the device answered, by ONNX name: codes of the dtype and shape that the model says.
    tensors: Mapping[str, Array]


@dataclass(frozen=True, eq=False)
class JudgedTensor:
    """One dumped tensor that can be judged."""

    #: The tensor's name.
    tensor: str
    #: The steps from the nearest known tensors to this one.
    steps: tuple[Step, ...]
    #: The operators among the steps that a profile's rule decides, in order.
    operators: tuple[str, ...]
    #: For each run that has the tensor, the known arrays by name and the device's codes.
    cases: tuple[tuple[Mapping[str, Array], Array], ...]

    @property
    def label(self) -> str:
        return self.steps[-1].label

    @property
    def alone(self) -> Step | None:
        """Return the step whose rule makes the tensor; None unless it is the last step and the only one that a rule
        decides."""
        return self.steps[-1] if len(self.operators) == 1 and decides(self.steps[-1]) else None


@dataclass(frozen=True, eq=False)
class Dumped:
    """The tensors of one model's dump, sorted by whether they can be judged."""

    #: The model.
    model: Model
    #: The model's layers under the profile that names them.
    reference: Layers
    #: Tensors that a profile decides.
    judged: tuple[JudgedTensor, ...]
    #: Tensors that no profile decides (MaxPool, Flatten).
    moved: tuple[JudgedTensor, ...]
    #: Names that the program does not make.
    unknown: tuple[str, ...]
    #: Tensors whose inputs are not known.
    unreachable: tuple[str, ...]
    #: Number of runs.
    runs: int


def decides(step: Step) -> bool:
    """Return whether the profile decides the arithmetic of a step."""
    return bool(operator_of(step).rule)


def sort_dump(model: Model, runs: Sequence[Observed]) -> Dumped:
    """Sort the tensors of all runs. Raises InputError where a tensor has another dtype than the model says, or where no
    tensor can be judged."""
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
    """Return the tensor with the steps that lead to it; None where a run that has the tensor lacks its inputs."""
    here = [(given, run.tensors[name]) for run, given in zip(runs, known, strict=True) if name in run.tensors]
    segments = [segment(reference.program, name, given) for given, _ in here]
    found = [leading for leading in segments if leading is not None]
    if len(found) < len(segments):
        return None
    longest = max((leading.steps for leading in found), key=len)
    steps = tuple(reference.steps[index] for index in longest)
    return JudgedTensor(name, steps, tuple(step.op for step in steps if decides(step)), tuple(here))


def evidence(dumped: Dumped, target: JudgedTensor) -> list[Evidence]:
    """Collect what the target says about the rule of its operator, run by run; empty where several operators made
    it."""
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
    """Return what is known, without the step's outputs."""
    return {name: array for name, array in known.items() if name not in step.output_names}
