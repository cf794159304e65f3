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
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from qdqnp.errors import Problem, QdqnpError
from tools.bench.candidates import ORT_DEFAULT, QDQNP, REFERENCE, BenchError, Case, measure, threads_text, why_slow
from tools.bench.tables import Table, load_average, milliseconds, publish

THREAD_VARIABLES = (
    "OPENBLAS_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def command(case: Case) -> list[str]:
    """Return the command line of the process that measures a case."""
    options = ["--child", "--threads", str(case.threads), "--repeats", str(case.repeats)]
    for name, path in (("--uint8", case.uint8), ("--float", case.float)):
        options += [name, str(path)] if path else []
    for name in sorted(case.skip):
        options += ["--skip", name]
    for name in case.profiles:
        options += ["--profile", name]
    for name, number in (("--batch", case.batch), ("--size", case.size)):
        options += [] if number is None else [name, str(number)]
    options += [f"--{name}" for name, on in (("steps", case.steps), ("trace", case.trace), ("floor", case.floor)) if on]
    return [sys.executable, "-m", "tools.bench.bench", str(case.model), *options]


def measure_apart(case: Case) -> dict[str, Any]:
    """Run `measure` in a process of its own, which imports NumPy with the threads of the case."""
    # Standard error stays the terminal's: the child draws its progress there.
    done = subprocess.run(command(case), env=environment(case.threads), stdout=subprocess.PIPE, text=True, check=False)
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
        publish(results_table(results), results, load_before, json_path, markdown_path, why_slow())
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
