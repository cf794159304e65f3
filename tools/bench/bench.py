"""Time qdqnp beside ONNX Runtime: the same models in one run, taking turns, on one and two threads.

    python -m tools.bench.bench int8.onnx --uint8 uint8.onnx --float float.onnx --repeats 20 --markdown bench.md
    python -m tools.bench.bench int8.onnx --size 224 --size 448 --batch 1 --batch 16 --trace --floor

Times are of the wall and of the processor. Ratios are made of the processor time of one thread, which other work on the
machine does not make longer; of several threads, of wall time.
Before anything is timed, qdqnp's outputs and those of ONNX Runtime with int8 allowed must be the same bits.
Libraries read their thread counts while NumPy is imported, so each one is measured in a process of its own.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import click
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
from tools.bench.tables import Table, host_facts, load_average, milliseconds, write_results
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
THREAD_VARIABLES = (
    "OPENBLAS_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
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

    def command(self) -> list[str]:
        """Return the command line of the process that measures the case."""
        options = ["--child", "--threads", str(self.threads), "--repeats", str(self.repeats)]
        for name, path in (("--uint8", self.uint8), ("--float", self.float)):
            options += [name, str(path)] if path else []
        for name in sorted(self.skip):
            options += ["--skip", name]
        for name in self.profiles:
            options += ["--profile", name]
        for name, number in (("--batch", self.batch), ("--size", self.size)):
            options += [] if number is None else [name, str(number)]
        options += [
            f"--{name}" for name, on in (("steps", self.steps), ("trace", self.trace), ("floor", self.floor)) if on
        ]
        return [sys.executable, "-m", "tools.bench.bench", str(self.model), *options]


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


def measure_apart(case: Case) -> dict[str, Any]:
    """Run `measure` in a process of its own, which imports NumPy with the threads of the case."""
    # Standard error stays the terminal's: the child draws its progress there.
    done = subprocess.run(case.command(), env=environment(case.threads), stdout=subprocess.PIPE, text=True, check=False)
    try:
        result: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        problem = Problem(case.model.name, "a result", f"exit code {done.returncode}", "Its traceback is above.")
        raise BenchError("a measuring process has failed", [problem]) from None
    if "error" in result:
        raise BenchError(f"{threads_text(case.threads)}: {result['error']}")
    return result


def environment(threads: int) -> dict[str, str]:
    """Return this process's environment with `threads` for every BLAS, and with this process's import path."""
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return {**os.environ, "PYTHONPATH": path, **dict.fromkeys(THREAD_VARIABLES, str(threads))}


def remarks(facts: Mapping[str, str]) -> list[str]:
    """Return the remarks to read beside the numbers."""
    slow = [WHY_SLOW] if platform.machine().lower() in ("x86_64", "amd64") else []
    return [*(f"{key}: {value}" for key, value in facts.items()), *slow]


def threads_text(count: int) -> str:
    return f"{count} thread" if count == 1 else f"{count} threads"


def results_table(results: Sequence[Mapping[str, Any]]) -> Table:
    """Make one row for each candidate."""
    rows = [
        [
            f"{result['model']}{_shape_text(result)}",
            str(result["threads"]),
            timing["label"],
            milliseconds(timing["median_cpu_ms"]),
            milliseconds(timing["median_ms"]),
            milliseconds(timing["min_ms"]),
            _ratio(timing["ratio"]),
            _ratio(timing["of_default"]),
            _ratio(_of_floor(result, timing)),
            str(timing["runs"]),
        ]
        for result in results
        for timing in result["candidates"]
    ]
    titles = ("processor ms", "median ms", "min ms", "/ int8 allowed", "/ default", "/ floor", "runs")
    return Table(("model", "threads", "candidate", *titles), rows, texts=3)


def _shape_text(result: Mapping[str, Any]) -> str:
    parts = [f"{result['batch']} pictures"] if (result["batch"] or 1) > 1 else []
    parts += [] if result["size"] is None else [f"{result['size']} x {result['size']}"]
    return f" ({', '.join(parts)})" if parts else ""


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _of_floor(result: Mapping[str, Any], timing: Mapping[str, Any]) -> float | None:
    """Return a candidate's processor time as a multiple of what the products of the int8 model take."""
    floor, mine = result["floor_ms"], timing["median_cpu_ms"]
    return mine / floor if floor and mine is not None and timing["name"].startswith(QDQNP) else None


def report(facts: Mapping[str, str], table: Table, results: Sequence[Mapping[str, Any]]) -> str:
    """Return the table with all that belongs to it, as Markdown."""
    notes = {
        f"{timing['label']}: {result['model']}: {timing['note']}": None
        for result in results
        for timing in result["candidates"]
        if timing["note"]
    }
    equal = sum(result["equal_elements"] for result in results)
    lines = [*remarks(facts), *notes]
    if equal:
        equality = f"all {equal} output elements of qdqnp and ONNX Runtime, int8 allowed, were equal bit for bit"
        lines.append(f"Before timing, {equality}.")
    return table.markdown() + "\n" + "".join(f"- {line}\n" for line in lines)


def publish(
    table: Table,
    results: Sequence[Mapping[str, Any]],
    load_before: str,
    json_path: Path | None,
    markdown_path: Path | None,
) -> None:
    """Show the table and what belongs to it, and write the files that were asked for."""
    facts = host_facts(load_before)
    markdown = report(facts, table, results)
    table.show()
    click.echo(markdown.removeprefix(table.markdown()).lstrip())
    write_results({"host": facts, "results": list(results)}, markdown, json_path, markdown_path)


def variants(models: Sequence[Path], given: Sequence[Path], option: str) -> Sequence[Path | None]:
    """Return the variant of each model: as many as there are models, in their order, or none."""
    if given and len(given) != len(models):
        raise click.UsageError(f"{option}: expected one for each of the {len(models)} models, got {len(given)}.")
    return given or [None] * len(models)


_MODEL = click.Path(exists=True, dir_okay=False, path_type=Path)
_RESULT = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("models", metavar="MODEL...", nargs=-1, required=True, type=_MODEL)
@click.option("--repeats", type=click.IntRange(1), default=10, show_default=True, help="Timed runs of each candidate.")
@click.option("--threads", type=click.IntRange(1), multiple=True, default=(1, 2), show_default=True)
@click.option("--uint8", "uint8s", multiple=True, type=_MODEL, help="The same model with uint8 activations.")
@click.option("--float", "floats", multiple=True, type=_MODEL, help="The float model that it was quantized from.")
@click.option("--profile", "profiles", multiple=True, help="Time another profile of qdqnp too.")
@click.option("--batch", "batches", type=click.IntRange(1), multiple=True, help="Pictures of a run.")
@click.option("--size", "sizes", type=click.IntRange(1), multiple=True, help="Height and width of the pictures.")
@click.option("--steps", is_flag=True, help="Time the run without a schedule too.")
@click.option("--trace", is_flag=True, help="Time `trace` too.")
@click.option("--floor", is_flag=True, help="Measure what the products alone take.")
@click.option("--skip", multiple=True, type=click.Choice([ORT_DEFAULT, REFERENCE]), help="Leave a candidate out.")
@click.option("--json", "json_path", type=_RESULT, help="Write the results as JSON.")
@click.option("--markdown", "markdown_path", type=_RESULT, help="Write the table and its notes as Markdown.")
@click.option("--child", is_flag=True, hidden=True, help="Measure in this process and print JSON.")
def main(
    models: tuple[Path, ...],
    repeats: int,
    threads: tuple[int, ...],
    uint8s: tuple[Path, ...],
    floats: tuple[Path, ...],
    profiles: tuple[str, ...],
    batches: tuple[int, ...],
    sizes: tuple[int, ...],
    steps: bool,
    trace: bool,
    floor: bool,
    skip: tuple[str, ...],
    json_path: Path | None,
    markdown_path: Path | None,
    child: bool,
) -> None:
    """Time each MODEL in qdqnp and in ONNX Runtime. --uint8 and --float may be given once for each MODEL, in order."""
    cases = [
        Case(model, count, repeats, uint8, real, frozenset(skip), profiles, batch, size, steps, trace, floor)
        for model, uint8, real in zip(
            models, variants(models, uint8s, "--uint8"), variants(models, floats, "--float"), strict=True
        )
        for size in sizes or (None,)
        for batch in batches or (None,)
        for count in threads
    ]
    if child:
        answer(cases[0])
        return
    load_before = load_average()
    try:
        results = [measure_apart(case) for case in cases]
        publish(results_table(results), results, load_before, json_path, markdown_path)
    except QdqnpError as error:
        raise click.ClickException(str(error)) from error


def answer(case: Case) -> None:
    """Run in the child process: write the result to standard output, or the error."""
    try:
        click.echo(json.dumps(measure(case)))
    except QdqnpError as error:
        click.echo(json.dumps({"error": str(error)}))
        sys.exit(1)


if __name__ == "__main__":
    main()
