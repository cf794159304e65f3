"""diff: where, and by how much, do arithmetics part on a model? Measured on inputs, or proven for all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qdqnp.api.arguments import (
    AnyModel,
    AnyPath,
    AnyProfile,
    AnyShape,
    Operators,
    Texts,
    name_of,
    opened,
    profiles_of,
    shapes_of,
)
from qdqnp.api.inputs import AnyInputs, AnyPreprocessing, inputs_of
from qdqnp.api.progress import Progress, counter
from qdqnp.api.result import Result
from qdqnp.diagnosis.diff import ENTIRE, SINGLE, DiffReport
from qdqnp.diagnosis.diff import diff as differences
from qdqnp.diagnosis.proof.prove import prove as proven
from qdqnp.diagnosis.proof.report import ProofReport
from qdqnp.errors import InputError, Problems


@dataclass(frozen=True, repr=False, eq=False)
class DiffResult(Result):
    """Every layer under several profiles, each against the first: as far as it differs, or can."""

    #: Name of the model's file.
    model: str
    #: What differs on the inputs; or what is proven of all inputs that there are.
    report: DiffReport | ProofReport

    @property
    def columns(self) -> tuple[str, ...]:
        layer = ("label", "op", "name", "profile")
        if isinstance(self.report, ProofReport):
            return (*layer, "verdict", "largest", "reachable", "differing", "bound")
        return (*layer, *(f"{way}.{key}" for way in (ENTIRE, SINGLE) for key in ("elements", "differing", "largest")))

    def summary(self) -> str:
        told = _proven(self.report) if isinstance(self.report, ProofReport) else _measured(self.report)
        return f"against {self.report.profiles[0]}, {told}"

    def document(self) -> dict[str, Any]:
        return {"model": self.model, **self.report.as_json()}

    def items(self) -> Sequence[Mapping[str, Any]]:
        return _by_profile(self.document())


def _measured(report: DiffReport) -> str:
    told = []
    for at, name in enumerate(report.profiles[1:], 1):
        entire = sum(row.cells[at].entire.differing for row in report.rows)
        own = sum(bool(row.cells[at].single.differing) for row in report.rows)
        told.append(f"{name} differs in {entire} elements, and {own} of {len(report.rows)} layers by themselves")
    return f"over {report.inputs} input{'s' if report.inputs != 1 else ''}: {'; '.join(told)}"


def _proven(report: ProofReport) -> str:
    told = []
    for at, name in enumerate(report.profiles[1:], 1):
        total = report.total(at)
        told.append(
            f"{name} can differ in {total.differs} layers, by {total.largest} LSB at most, never differs in "
            f"{total.never}, and nothing is proven of {total.not_proven}"
        )
    return f"over all inputs: {'; '.join(told)}"


def _by_profile(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return an item for each layer and each profile; where a cell says nothing of the first profile, without it."""
    names = [profile["name"] for profile in document["profiles"]]
    return [
        {**layer, "profile": name, **cell}
        for layer in document["layers"]
        for name, cell in list(zip(names[-len(layer["profiles"]) :], layer["profiles"], strict=True))
        if name != names[0] or len(layer["profiles"]) < len(names)
    ]


def diff(
    model: AnyModel,
    profiles: Texts | Iterable[AnyProfile],
    inputs: AnyInputs = None,
    *,
    outputs: Texts = (),
    operators: Operators = (),
    prove: bool = False,
    shape: AnyShape = (),
    host_float: bool = False,
    random: int | None = None,
    seed: int = 0,
    preprocess: AnyPreprocessing | None = None,
    workers: int | None = 1,
    scheduler: str | None = None,
    executor: Executor | None = None,
    results: AnyPath | None = None,
    progress: Progress | None = None,
) -> DiffResult:
    """Compare every layer of a model under several arithmetics with the first one's, as `qdqnp diff` does.

        model: a path, bytes, an onnx.ModelProto, or what qdqnp.load returned.
        profiles: two or more, the first is the reference: 'ort,tflite', a list, or a list of Profiles.
        inputs: an array, arrays by name, a file, or several of these; None for random inputs.
        outputs: tensors to cut the model at.
        operators: classes of operators that qdqnp does not have, as qdqnp.load takes them.
        prove: whether to prove how far each layer can be apart over all inputs, and to run nothing.
        shape: sizes that the model leaves open, for `prove`: '1x3x32x32', a tuple, or by name.
        host_float: whether what a profile does not define runs in float32.
        random: number of seeded random inputs; one where there are no inputs.
        seed: their seed.
        preprocess: what is done to pictures: a TOML file, its values by name, or a Preprocessing.
        workers: processes that compute; 1 is this one, None is one for each processor.
        scheduler: the address of a Dask cluster to compute on instead.
        executor: a concurrent.futures.Executor to compute in instead.
        results: a folder that keeps what is finished, from which an interrupted run goes on.
        progress: called with how many inputs, or layers, are done, and of how many.

    Raises InputError for fewer than two profiles and for inputs that do not fit, ProfileError that lists the layers
    that a profile does not define, ModelError.

    >>> import qdqnp
    >>> from qdqnp.inputs.shipped import shipped_model
    >>> qdqnp.diff(shipped_model("dla46_c_int8"), "tflite,tflm").summary()
    'against tflite, over 1 input: tflm differs in 0 elements, and 0 of 75 layers by themselves'
    """
    pairs = profiles_of(profiles, host_float)
    given = inputs_of(inputs, random, seed, preprocess)
    problems = Problems()
    if len(pairs) < 2:
        problems.add("profiles", "two or more, such as ort,tflite; the first is the reference", len(pairs))
    if shape and not prove:
        problems.add("shape", "nothing: the inputs have shapes", "sizes", "They go with prove.")
    if prove and given.given:
        problems.add("inputs", "nothing: a proof is about all inputs", "inputs, random or seed")
    problems.raise_if_any("nothing to compare", InputError)
    loaded = opened(model, outputs, operators)
    program = loaded.program(pairs[0][1])
    if prove:
        step = counter(len(program.steps) * (len(pairs) - 1), "proving", progress)
        return DiffResult(name_of(model), proven(loaded, pairs, shapes_of(shape, program.inputs), step))
    runs, total = given.feeds(program)
    report = differences(
        loaded,
        pairs,
        runs,
        progress=counter(total, "comparing", progress),
        workers=workers,
        scheduler=scheduler,
        executor=executor,
        results=None if results is None else Path(results),
    )
    return DiffResult(name_of(model), report)
