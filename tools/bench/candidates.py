"""What is timed: one model in qdqnp and in ONNX Runtime, whose outputs are compared first, and other forms of it."""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from qdqnp import Model, load
from qdqnp.diagnosis.tally import compared
from qdqnp.errors import Problem, QdqnpError
from qdqnp.executor.walk import walk
from qdqnp.inputs.random_inputs import random_feeds
from qdqnp.peers.ort.session import KINDS, import_onnxruntime
from qdqnp.quant import Array
from qdqnp.render.console import tracked
from tools.bench.floor import floor_ms
from tools.bench.shapes import resized
from tools.bench.timing import Run, Timing, take_turns

QDQNP, STEPS, TRACE, ORT_INT8, ORT_DEFAULT, ORT_UINT8, ORT_FLOAT, REFERENCE = (
    "qdqnp",
    "qdqnp_steps",
    "qdqnp_trace",
    "ort_int8",
    "ort_default",
    "ort_uint8",
    "ort_float",
    "reference",
)
LABELS = {
    QDQNP: "qdqnp",
    STEPS: "qdqnp, step by step",
    TRACE: "qdqnp, trace",
    ORT_INT8: "ONNX Runtime, int8 allowed",
    ORT_DEFAULT: "ONNX Runtime, default session",
    ORT_UINT8: "ONNX Runtime, uint8 variant",
    ORT_FLOAT: "ONNX Runtime, float model",
    REFERENCE: "onnx ReferenceEvaluator",
}
# Other profiles of qdqnp are candidates named "qdqnp:PROFILE".
PROFILE_PREFIX = f"{QDQNP}:"


def label(name: str) -> str:
    """Return how a candidate is shown."""
    if name.startswith(PROFILE_PREFIX):
        return f"qdqnp, profile {name.removeprefix(PROFILE_PREFIX)}"
    return LABELS[name]


# The reference evaluator can need minutes for a network: after its warm-up it is timed once.
ROUNDS_AT_MOST = {REFERENCE: 1}
# Without these, a session's threads keep spinning for a while after their run and take the cores from the next run.
POLITE = {"session.force_spinning_stop": "1"}

WHY_SLOW = (
    "ONNX Runtime's int8-allowed path is the one whose numbers qdqnp reproduces, but it is slow on x86-64: without "
    "AVX-VNNI-INT8 it has no vector product of int8 by int8 there. Its uint8 x int8 product is vectorized, so the "
    "uint8 variant of a model is the fair other column."
)


class BenchError(QdqnpError):
    """Raised where something cannot be compared, or is not the same computation."""


@dataclass(frozen=True)
class Case:
    """The work that is measured in one process."""

    #: The int8 model.
    model: Path
    #: Number of threads.
    threads: int = 1
    #: Number of timed runs.
    repeats: int = 10
    #: The same model with uint8 activations, if given.
    uint8: Path | None = None
    #: The float model, if given.
    float: Path | None = None
    #: Names of candidates to leave out.
    skip: frozenset[str] = frozenset()
    #: More profiles of qdqnp to time.
    profiles: tuple[str, ...] = ()
    #: Pictures of a run, and their height and width; None for those of the file.
    batch: int | None = None
    size: int | None = None
    #: Whether the run without a schedule and `trace` are timed too, and the floor is measured.
    steps: bool = False
    trace: bool = False
    floor: bool = False

    def in_shape(self, folder: Path) -> Case:
        """Return the case with its models written for its batch and size, to `folder`."""
        if self.batch is None and self.size is None:
            return self
        made = {
            name: None if path is None else resized(path, folder / f"{name}_{path.name}", self.batch or 1, self.size)
            for name, path in (("int8", self.model), ("uint8", self.uint8), ("float", self.float))
        }
        assert made["int8"] is not None
        return replace(self, model=made["int8"], uint8=made["uint8"], float=made["float"])


def measure(case: Case) -> dict[str, Any]:
    """Check that qdqnp is bit-equal to ONNX Runtime with int8 allowed, then time all candidates.

    Raises BenchError where the outputs differ.
    """
    with tempfile.TemporaryDirectory() as folder:
        return _measured(case.in_shape(Path(folder)), case.model.name)


def _measured(case: Case, name: str) -> dict[str, Any]:
    model = load(case.model)
    feeds = next(random_feeds(model.program(), 1, seed=0))
    runs: dict[str, Run] = {
        QDQNP: lambda: model.run(feeds, threads=case.threads),
        ORT_INT8: ort_run(case.model, feeds, case.threads, KINDS["ort"].config),
    }
    elements = require_equal(name, runs[QDQNP](), runs[ORT_INT8]())
    others = ((ORT_DEFAULT, case.model), (ORT_UINT8, case.uint8), (ORT_FLOAT, case.float))
    runs |= {name: ort_run(path, feeds, case.threads) for name, path in others if path and name not in case.skip}
    if case.steps:
        outputs = model.program().outputs
        runs[STEPS] = lambda: walk(model.plan(), feeds, outputs, hold_blas=True)
    if case.trace:
        runs[TRACE] = lambda: model.trace(feeds, threads=case.threads)
    notes: dict[str, str] = {}
    for profile in case.profiles:
        runs[PROFILE_PREFIX + profile] = partial(model.run, feeds, profile=profile, threads=case.threads)
        notes[PROFILE_PREFIX + profile] = certificates(model, profile)
    if REFERENCE not in case.skip:
        run, notes[REFERENCE] = reference_run(case.model, feeds)
        runs |= {REFERENCE: run} if run else {}
    rounds = tracked(range(case.repeats), case.repeats, f"{name}, {threads_text(case.threads)}")
    timings = take_turns(runs, rounds, case.threads, ROUNDS_AT_MOST)
    for candidate, note in notes.items():
        timings.setdefault(candidate, Timing(candidate)).note = note
    return {
        "model": name,
        "threads": case.threads,
        "batch": case.batch,
        "size": case.size,
        "equal_elements": elements,
        "floor_ms": floor_ms(model.plan(), _shapes(model, feeds)) if case.floor else None,
        "candidates": [
            {**timing.as_json(label(timing.name)), **_ratios(timings, timing, case.threads)}
            for timing in timings.values()
        ],
    }


def _shapes(model: Model, feeds: Mapping[str, Array]) -> Mapping[str, tuple[int, ...]]:
    return model.plan().shapes({name: array.shape for name, array in feeds.items()})


def _ratios(timings: Mapping[str, Timing], timing: Timing, threads: int) -> dict[str, float | None]:
    """Return a candidate's time as a multiple of ONNX Runtime's."""
    mine, found = timing.judged(threads), {}
    for key, name in (("ratio", ORT_INT8), ("of_default", ORT_DEFAULT)):
        base = timings[name].judged(threads) if name in timings else None
        found[key] = mine / base if mine is not None and base else None
    return found


def certificates(model: Model, profile: str) -> str:
    """Say how many channels each kind of requantization covers, e.g. '8168 channels by float64 certificates'."""
    found: dict[str, int] = {}
    for bound in model.plan(profile).steps:
        for kind, channels in (bound.kernel.certificate.covers if bound.kernel.certificate else {}).items():
            found[kind] = found.get(kind, 0) + channels
    return ", ".join(f"{channels} channels by {kind}" for kind, channels in sorted(found.items()))


def ort_run(path: Path, feeds: Mapping[str, Array], threads: int, config: Mapping[str, str] | None = None) -> Run:
    """Open a session over the model at `path`, and return the call that runs it on `feeds`, which go to its inputs in
    order."""
    ort = import_onnxruntime()
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 4
    for key, value in {**POLITE, **(config or {})}.items():
        options.add_session_config_entry(key, value)
    try:
        session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        inputs, names = session.get_inputs(), [output.name for output in session.get_outputs()]
        fitted = {to.name: fit(array, to.type) for to, array in zip(inputs, feeds.values(), strict=True)}
        session.run(names, fitted)
    except Exception as error:  # onnxruntime raises its own classes, which share no public base
        hint = "The variants of a model must take the inputs that it takes."
        problem = Problem(path.name, "outputs", str(error), hint)
        raise BenchError("ONNX Runtime cannot run a model", [problem]) from error
    return lambda: dict(zip(names, session.run(names, fitted), strict=True))


def fit(array: Array, wanted: str) -> Array:
    """Return int8 codes as the uint8 codes of the same numbers: their zero points differ by 128."""
    return array.view(np.uint8) ^ np.uint8(128) if array.dtype == np.int8 and wanted == "tensor(uint8)" else array


def reference_run(path: Path, feeds: Mapping[str, Array]) -> tuple[Run | None, str]:
    """Return the call that runs onnx's reference evaluator, and a note; without the call where it cannot run the
    model."""
    from onnx.reference import ReferenceEvaluator

    try:
        evaluator = ReferenceEvaluator(str(path))
        evaluator.run(None, dict(feeds))
    except Exception as error:  # the evaluator lets through whatever an operator raises
        lines = str(error).splitlines() or [type(error).__name__]
        return None, f"cannot run this model: {lines[0]}"
    return lambda: evaluator.run(None, dict(feeds)), f"timed {ROUNDS_AT_MOST[REFERENCE]} time only, because it is slow"


def require_equal(model: str, ours: Mapping[str, Array], theirs: Mapping[str, Array]) -> int:
    """Return how many elements were compared. Raises BenchError unless all outputs are the same bits."""
    problems, elements = [], 0
    for name, array in ours.items():
        found = compared(array, theirs[name])
        elements += found.elements
        if not found.equal:
            got = found.note or f"{found.differing} of {found.elements} elements differ"
            hint = "Find the first layer with: qdqnp verify"
            problems.append(Problem(f"{model}, output '{name}'", "ONNX Runtime's bits (int8 allowed)", got, hint))
    if problems:
        raise BenchError("the outputs are not equal, so nothing was timed", problems)
    return elements


def threads_text(count: int) -> str:
    return f"{count} thread" if count == 1 else f"{count} threads"


def why_slow() -> list[str]:
    """Return the remark to read beside the times of ONNX Runtime with int8 allowed, on machines that it is about."""
    return [WHY_SLOW] if platform.machine().lower() in ("x86_64", "amd64") else []
