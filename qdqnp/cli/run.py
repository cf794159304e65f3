"""`qdqnp run`: what a model computes for arrays or pictures."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import click
import numpy as np

from qdqnp.errors import InputError, Problem
from qdqnp.files.atomic import check_target
from qdqnp.files.npy import write_npz
from qdqnp.inputs.files import Feeds, read_feeds
from qdqnp.inputs.pictures import (
    COLORS,
    LAYOUTS,
    METHODS,
    Picture,
    Preprocessing,
    batches,
    is_picture,
    list_pictures,
    picture_feeds,
    preprocessing_from,
    read_preprocessing,
    resolved,
)
from qdqnp.model import Model, code_outputs, load
from qdqnp.numerics.profile import Profile
from qdqnp.numerics.profile_toml import profile_from
from qdqnp.program import Program
from qdqnp.quant import Array
from qdqnp.render.console import CONSOLE, ERROR_CONSOLE, dims, name, print_json, table, tracked

Outputs = dict[str, Array]
# Rows of a table on the terminal; --json and --output leave nothing out.
MAX_SHOWN = 50


@dataclass(frozen=True)
class Run:
    """One run of the model. names: of its inputs along the batch axis; feeds: reads them."""

    names: Sequence[str]
    feeds: Callable[[], Feeds]


@click.command("run")
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--input",
    "inputs",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE...",
    help=".npy or .npz arrays, pictures, or folders of pictures.",
)
@click.argument("more", nargs=-1, type=click.Path(path_type=Path), metavar="")
@click.option(
    "--preprocess",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="TOML file with the settings below; options given beside it replace its values.",
)
@click.option("--resize", metavar="N|HxW", help="Resize pictures: the shorter side, or height x width.")
@click.option("--method", type=click.Choice(METHODS), help="How to resize.  [default: bilinear]")
@click.option("--crop", metavar="N|HxW", help="Then crop pictures from the centre.")
@click.option(
    "--color",
    type=click.Choice(tuple(COLORS), case_sensitive=False),
    help="Order of the channels.  [default: RGB, or gray for one channel]",
)
@click.option("--layout", type=click.Choice(LAYOUTS, case_sensitive=False), help="[default: as the model's input]")
@click.option("--scale", metavar="S|A/B", help="Multiply pixels (0 to 255) by S, or by A and divide by B: 1/255.")
@click.option("--mean", metavar="R,G,B", help="Then subtract; one number, or one for each channel.")
@click.option("--std", metavar="R,G,B", help="Then divide; one number, or one for each channel.")
@click.option("--uint8", is_flag=True, help="Pass pixels as uint8, unscaled.")
@click.option("--labels", type=click.Path(path_type=Path), metavar="FILE", help="Class names, one a line.")
@click.option(
    "--top",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    metavar="K",
    help="Classes to show of an output [N, classes].",
)
@click.option("--codes", is_flag=True, help="Integer codes of the outputs instead of float values.")
@click.option("--output", type=click.Path(path_type=Path), metavar="OUT.npz", help="Write the outputs to a file.")
@click.option("--force", is_flag=True, help="Replace the file of --output where it exists.")
@click.option(
    "--profile",
    default="ort",
    show_default=True,
    help="The arithmetic to run the model under: a name, or a .toml file.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
def run_command(
    model: Path,
    inputs: tuple[Path, ...],
    more: tuple[Path, ...],
    preprocess: Path | None,
    labels: Path | None,
    top: int,
    codes: bool,
    output: Path | None,
    force: bool,
    profile: str,
    as_json: bool,
    **options: Any,
) -> None:
    """Run MODEL on arrays or pictures; show the best classes, or a summary of each output.

    Pixels become ((value * scale) - mean) / std in float32. With such options, uint8 arrays [N, height, width, 3] in
    .npy and .npz files are pictures too. Several inputs are stacked along the batch axis. Integer codes are accepted
    in place of the float input that a quantizer reads.

    Exit code 0: done. 2: bad usage, bad model or bad input; then no file is written.
    """
    if more and len(inputs) > 1:
        raise click.UsageError("several files go after one --input, or each after its own")
    if output is not None:
        check_output(output, force)
    settings = _settings(preprocess, options)
    known = read_labels(labels) if labels is not None else None
    loaded = load(model)
    arithmetic = profile_from(profile)
    runs = _runs(loaded.program(arithmetic), (*inputs, *more), settings)
    made = _stacked(runs, tracked(_results(loaded, runs, arithmetic, codes), len(runs), "running", not as_json))
    names = [one for run in runs for one in run.names]
    best = {key: _best(array, top, known) for key, array in made.items() if _classifies(array)}
    if known is not None:
        _check_labels(known, made)
    if output is not None:
        write_npz(output, made, "the outputs")
    summaries = {key: _summary(array) for key, array in made.items()}
    if codes:
        _add_quants(summaries, loaded.program(arithmetic))
    if as_json:
        _print_json(model, arithmetic.name, names, summaries, best)
    else:
        _print(names, made, summaries, best)
        if output is not None:
            CONSOLE.print(f"wrote {name(output.name)}: {', '.join(name(key) for key in made)}", highlight=False)


def _settings(file: Path | None, options: Mapping[str, Any]) -> Preprocessing | None:
    """The preprocessing that file and options ask for together; None where neither is given."""
    texts = {key: value for key, value in options.items() if value not in (None, False)}
    values: dict[str, object] = {key: texts[key] for key in ("method", "color", "layout") if key in texts}
    values |= {key: _size(texts[key]) for key in ("resize", "crop") if key in texts}
    values |= {key: _numbers(texts[key]) for key in ("mean", "std") if key in texts}
    if "scale" in texts:
        values |= _ratio(texts["scale"])
    if "uint8" in texts:
        values["dtype"] = "uint8"
    if file is None and not values:
        return None
    base = asdict(read_preprocessing(file)) if file is not None else {}
    return preprocessing_from({**base, **values}, "the options" if values else str(file))


# A text that is no number stays a text: then the check of all settings lists it with the others.


def _size(text: str) -> object:
    found = re.fullmatch(r"([0-9]{1,9})(?:x([0-9]{1,9}))?", text)
    if found is None:
        return text
    return int(found[1]) if found[2] is None else (int(found[1]), int(found[2]))


def _numbers(text: str) -> object:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        return text


def _ratio(text: str) -> dict[str, object]:
    above, _, below = text.partition("/")
    try:
        return {"scale": float(above), "divisor": float(below) if below else 1.0}
    except ValueError:
        return {"scale": text}


def _runs(program: Program, paths: Iterable[Path], settings: Preprocessing | None) -> list[Run]:
    """The runs in the order of the paths; neighbouring pictures share batches."""
    runs: list[Run] = []
    for pictured, group in groupby(paths, lambda path: settings is not None or is_picture(path)):
        if pictured:
            pictures = [picture for path in group for picture in list_pictures(path)]
            runs += _picture_runs(program, pictures, settings)
        else:
            runs += [run for path in group for run in _array_runs(program, path)]
    return runs


def _picture_runs(program: Program, pictures: Sequence[Picture], settings: Preprocessing | None) -> list[Run]:
    chosen = resolved(settings or Preprocessing(), program)
    if chosen.dtype == "float32" and not chosen.scales:
        ERROR_CONSOLE.print(
            "note: pictures are passed as 0 to 255, unscaled; see --scale, --mean and --std", highlight=False
        )
    return [
        Run([picture.name for picture in batch], partial(picture_feeds, batch, chosen, program))
        for batch in batches(pictures, program)
    ]


def _array_runs(program: Program, path: Path) -> list[Run]:
    found = list(read_feeds(path, program))
    sizes = [next((len(array) for array in feeds.values() if array.ndim), 1) for feeds in found]
    if sizes == [1]:
        return [Run([path.name], lambda: found[0])]
    starts = [sum(sizes[:index]) for index in range(len(sizes))]
    return [
        Run([f"{path.name}[{row}]" for row in range(start, start + size)], partial(dict, feeds))
        for feeds, start, size in zip(found, starts, sizes, strict=True)
    ]


def _results(model: Model, runs: Iterable[Run], profile: Profile, codes: bool) -> Iterable[Outputs]:
    return (model.run(run.feeds(), profile=profile, codes=codes) for run in runs)


def _stacked(runs: Sequence[Run], results: Iterable[Outputs]) -> Outputs:
    """The outputs of all runs along the first axis; outputs without axes get one.

    Raises InputError where shapes differ.
    """
    parts: dict[str, list[Array]] = {}
    for run, outputs in zip(runs, results, strict=True):
        for key, array in outputs.items():
            kept = parts.setdefault(key, [])
            kept.append(array if array.ndim or len(runs) == 1 else array[np.newaxis])
            if kept[0].shape[1:] != kept[-1].shape[1:]:
                problem = Problem(
                    f"output '{key}' for {run.names[0]}",
                    f"shape [N, {dims(kept[0].shape[1:])}]",
                    f"[N, {dims(kept[-1].shape[1:])}]",
                    "Run these inputs one at a time.",
                )
                raise InputError("the outputs of several inputs cannot be stacked", [problem])
    return {key: arrays[0] if len(arrays) == 1 else np.concatenate(arrays) for key, arrays in parts.items()}


def _classifies(array: Array) -> bool:
    return array.ndim == 2 and array.shape[1] > 1 and array.dtype.kind in "iuf"


def _best(array: Array, count: int, labels: Sequence[str] | None) -> list[list[dict[str, Any]]]:
    """For each row the `count` largest values with their classes; of equal values, the lower class first."""
    known = labels if labels is not None and len(labels) == array.shape[1] else None
    wide = array.astype(np.float64)  # so that the smallest integer codes can be negated
    order = np.argsort(-wide, axis=1, kind="stable")[:, :count]
    return [
        [{"class": int(c), "label": known[c] if known is not None else None, "value": row[c].item()} for c in best]
        for row, best in zip(array, order, strict=True)
    ]


def read_labels(path: Path) -> list[str]:
    """The lines of a text file, without empty ones at its end. Raises InputError."""
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8-sig").rstrip().splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        problem = Problem(f"file {path}", "a readable text file in UTF-8", str(error))
        raise InputError("cannot read the labels", [problem]) from error


def _check_labels(labels: Sequence[str], outputs: Outputs) -> None:
    sizes = [array.shape[1] for array in outputs.values() if _classifies(array)]
    if len(labels) not in sizes:
        wanted = " or ".join(map(str, sizes)) or "none: no output has the shape [N, classes]"
        raise InputError("the labels do not fit the model", [Problem("lines of the labels", wanted, str(len(labels)))])


def _summary(array: Array) -> dict[str, Any]:
    found: dict[str, Any] = {
        "shape": list(array.shape),
        "dtype": str(array.dtype),
        "min": None,
        "max": None,
        "mean": None,
    }
    if array.size and array.dtype.kind in "biuf":
        found |= {"min": array.min().item(), "max": array.max().item(), "mean": float(array.mean(dtype=np.float64))}
    return found


def _add_quants(summaries: dict[str, dict[str, Any]], program: Program) -> None:
    """How to read the codes of each output, where they are read with one scale."""
    for key, kept in code_outputs(program).items():
        quant = program.tensors[kept].quant
        if quant is not None and quant.per_tensor:
            summaries[key] |= {"scale": quant.scale.item(), "zero_point": quant.zero_point.item()}


def _print_json(
    model: Path,
    profile: str,
    names: Sequence[str],
    summaries: dict[str, dict[str, Any]],
    best: dict[str, list[list[dict[str, Any]]]],
) -> None:
    print_json(_finite({"model": model.name, "profile": profile, "inputs": names, "outputs": summaries, "top": best}))


def _finite(value: Any) -> Any:
    """The same with None for what JSON has no number for."""
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
            CONSOLE.print(f"{name(key)}: {found['dtype']} codes, {reading}", highlight=False)


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


def check_output(path: Path, force: bool) -> None:
    """Raises InputError where the outputs could not or must not be written: asked before anything is computed."""
    if path.suffix != ".npz":
        raise InputError("cannot write the outputs", [Problem(f"file {path}", "a name that ends in .npz", path.name)])
    check_target(path, "the outputs", force)
