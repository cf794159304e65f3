"""`qdqnp run`: compute a model's outputs for arrays or pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from qdqnp.api.inputs import Inputs, runs_of_files
from qdqnp.cli.inputs import input_options, note
from qdqnp.cli.options import (
    PATH,
    ModelFile,
    force_option,
    host_float_option,
    json_option,
    model_argument,
    profile_option,
    profile_with,
    threads_option,
)
from qdqnp.cli.pictures import picture_options, settings_of
from qdqnp.errors import InputError, Problem
from qdqnp.files.atomic import Target, target, write_bytes
from qdqnp.files.npy import write_npz
from qdqnp.files.run_results import run_results_bytes
from qdqnp.inspection.outputs import (
    Outputs,
    best_classes,
    check_labels,
    classifies,
    code_summaries,
    read_labels,
    stacked,
    summary,
)
from qdqnp.model import load
from qdqnp.render.console import CONSOLE, dims, name, print_json, table, tracked

# Rows of a table on the terminal; --json and --output contain all of them.
MAX_SHOWN = 50


@click.command("run")
@model_argument
@input_options(".npy or .npz arrays, pictures, folders of pictures, golden sets.", required=True, pictures=False)
@picture_options
@click.option("--labels", type=PATH, metavar="FILE", help="Class names, one a line.")
@click.option(
    "--top",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    metavar="K",
    help="Classes to show of an output [N, classes].",
)
@click.option("--codes", is_flag=True, help="Integer codes of the outputs instead of float values.")
@click.option(
    "--output", type=PATH, metavar="OUT.npz", help="Write the outputs to a file: .npz, or .json for Polygraphy."
)
@force_option("the file of --output")
@profile_option()
@host_float_option
@threads_option
@json_option
def run_command(
    model: ModelFile,
    inputs: Inputs,
    preprocess: Path | None,
    labels: Path | None,
    top: int,
    codes: bool,
    output: Path | None,
    force: bool,
    profile: str,
    host_float: bool,
    threads: int,
    as_json: bool,
    **options: Any,
) -> None:
    """Run MODEL on arrays or pictures; show the best classes, or a summary of each output.

    Pixels become ((value * scale) - mean) / std in float32. With such options, uint8 arrays [N, height, width, 3] in
    .npy and .npz files are pictures too. Several inputs are stacked along the batch axis. Integer codes are accepted
    in place of the float input that a quantizer reads.

    Exit code 0: done. 2: bad usage, bad model or bad input; then no file is written.
    """
    outputs = outputs_target(output, force) if output is not None else None
    settings = settings_of(preprocess, options)
    known = read_labels(labels) if labels is not None else None
    loaded = load(model)
    arithmetic = profile_with(profile, host_float)
    program = loaded.program(arithmetic)
    runs = runs_of_files(program, inputs.files, settings, note)
    results = (loaded.run(run.feeds(), profile=arithmetic, codes=codes, threads=threads) for run in runs)
    made = stacked(runs, tracked(results, len(runs), "running", not as_json))
    names = [one for run in runs for one in run.names]
    best = {key: best_classes(array, top, known) for key, array in made.items() if classifies(array)}
    if known is not None:
        check_labels(known, made)
    if outputs is not None and outputs.path.suffix == ".json":
        write_bytes(outputs, run_results_bytes("qdqnp", [made]))
    elif outputs is not None:
        write_npz(outputs, made)
    summaries = code_summaries(made, program) if codes else {key: summary(array) for key, array in made.items()}
    if as_json:
        _print_json(model, arithmetic.name, names, summaries, best)
    else:
        _print(names, made, summaries, best)
        if output is not None:
            CONSOLE.print(f"wrote {name(output.name)}: {', '.join(name(key) for key in made)}")


def _print_json(
    model: ModelFile,
    profile: str,
    names: Sequence[str],
    summaries: dict[str, dict[str, Any]],
    best: dict[str, list[list[dict[str, Any]]]],
) -> None:
    print_json(_finite({"model": model.name, "profile": profile, "inputs": names, "outputs": summaries, "top": best}))


def _finite(value: Any) -> Any:
    """Replace numbers that JSON does not have by None."""
    if isinstance(value, Mapping):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _print(
    names: Sequence[str],
    made: Outputs,
    summaries: dict[str, dict[str, Any]],
    best: dict[str, list[list[dict[str, Any]]]],
) -> None:
    for key, rows in best.items():
        _print_best(key, rows, names if len(names) == len(rows) else [f"row {index}" for index in range(len(rows))])
    if len(best) < len(made):
        others = table("output", "shape", "dtype", "min", "max", "mean", right=("min", "max", "mean"))
        for key in (key for key in made if key not in best):
            found = summaries[key]
            numbers = ("" if found[part] is None else f"{found[part]:.6g}" for part in ("min", "max", "mean"))
            others.add_row(name(key), dims(found["shape"]), found["dtype"], *numbers)
        CONSOLE.print(others)
    for key, found in summaries.items():
        if "scale" in found:
            reading = f"scale {found['scale']:.9g}, zero point {found['zero_point']}"
            CONSOLE.print(f"{name(key)}: {found['dtype']} codes, {reading}")


def _print_best(key: str, rows: Sequence[Sequence[dict[str, Any]]], names: Sequence[str]) -> None:
    shown = table("input", "class", "label", name(key), right=("class", name(key)))
    for one, best in list(zip(names, rows, strict=True))[:MAX_SHOWN]:
        for index, found in enumerate(best):
            shown.add_row(
                name(one) if index == 0 else "",
                str(found["class"]),
                name(found["label"] or ""),
                f"{found['value']:.6g}",
            )
    CONSOLE.print(shown)
    if len(rows) > MAX_SHOWN:
        CONSOLE.print(f"... and {len(rows) - MAX_SHOWN} more; --json prints all, --output OUT.npz keeps all")


def outputs_target(path: Path, force: bool) -> Target:
    """Return where the outputs go. Raises InputError, before anything is computed, where they must not."""
    if path.suffix not in (".npz", ".json"):
        problem = Problem(f"file {path}", "a name that ends in .npz, or .json", path.name)
        raise InputError("cannot write the outputs", [problem])
    return target(path, "the outputs", force)
