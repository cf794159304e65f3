"""Show in one table where the profiles differ: differing elements per operator and top-1, for every complete profile.

    python -m tools.verify.profile_table --pictures cifar10_test.npz --markdown profiles.md [MODEL...]

Differences are against the first profile and teacher-forced: each layer is fed the first profile's tensors, so that
only its own arithmetic counts. Top-1 is of each profile's whole network. Without models, the shipped ones run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import onnx

from qdqnp import load
from qdqnp.diagnosis.diff import Cell, DiffReport, DiffRow, diff
from qdqnp.errors import QdqnpError
from qdqnp.inputs.pictures import Picture
from qdqnp.inputs.shipped import model_names, shipped_model
from qdqnp.model import Model
from qdqnp.numerics.profile_toml import profile_from
from qdqnp.numerics.status import INFERRED
from qdqnp.quant import Array
from qdqnp.render.console import tracked
from tools.bench.tables import Table, write_results
from tools.models.calibration import preparation
from tools.verify.labelled import Labelled, read_labelled

COMPLETE = ("ort", "exact", "tflite", "tflite-single", "cmsis-nn", "cmsis-nn-single", "neural-art")
TRACED = 10  # pictures at a time where every tensor of two runs is kept


@dataclass(frozen=True)
class Options:
    """How much to measure."""

    #: Number of pictures for the differences.
    compared: int
    #: Pictures at a time for top-1.
    batch: int


@dataclass(frozen=True)
class Result:
    """The measurements of one network."""

    #: The network's name.
    network: str
    #: Differences against the first profile.
    differences: DiffReport
    #: Number of pictures for top-1.
    pictures: int
    #: Correct pictures, by profile.
    right: Mapping[str, int]


def measure(network: str, model: Model, profiles: Sequence[str], pictures: Labelled, options: Options) -> Result:
    """Measure both for one network, whose batch is open."""
    chosen = [(text, profile_from(text)) for text in profiles]
    few = Labelled(pictures.x[: options.compared], pictures.y[: options.compared])
    name = model.program().inputs[0]
    feeds = ({name: x} for x, _ in batches(few, model, TRACED, f"{network}, differences"))
    differences = diff(model, chosen, feeds)
    right = {}
    for text, profile in chosen:
        rounds = batches(pictures, model, options.batch, f"{network}, {text}")
        right[text] = sum(correct(next(iter(model.run(x, profile=profile).values())), y) for x, y in rounds)
    return Result(network, differences, len(pictures.x), right)


def batches(pictures: Labelled, model: Model, size: int, what: str) -> Iterator[tuple[Array, Array]]:
    """Yield network inputs and classes, `size` pictures at a time, resized where the network's input has another
    size."""
    program = model.program()
    height, width = program.tensors[program.inputs[0]].shape[2:]
    prepare = preparation()
    if isinstance(height, int) and isinstance(width, int) and pictures.x.shape[1:3] != (height, width):
        prepare = preparation(resize=max(height, width), crop=(height, width))
    starts = range(0, len(pictures.x), size)
    for start in tracked(starts, len(starts), what):
        part = slice(start, start + size)
        yield np.concatenate([prepare(Picture("a picture", pixels)) for pixels in pictures.x[part]]), pictures.y[part]


def dynamic_batch(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy of the model whose first axis, of all inputs and outputs, is open."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    constants = {tensor.name for tensor in copy.graph.initializer}
    inputs = [value for value in copy.graph.input if value.name not in constants]
    for value in (*inputs, *copy.graph.output):
        # Assigning the name takes the number away: the two share one field.
        value.type.tensor_type.shape.dim[0].dim_param = "N"
    del copy.graph.value_info[:]  # they repeat the old size
    return copy


def correct(scores: Array, y: Array) -> int:
    return int(np.count_nonzero(scores.argmax(axis=1) == y))


def results_table(results: Sequence[Result]) -> Table:
    """Make a row for each network and profile, and a column for each operator type that computes anything."""
    operators = list(dict.fromkeys(row.op for result in results for row in _computing(result.differences)))
    rows = [_row(result, index, operators) for result in results for index in range(len(result.differences.profiles))]
    return Table(("network", "profile", *operators, "top-1, %"), rows, texts=2)


def _computing(report: DiffReport) -> list[DiffRow]:
    """Keep the operator types that have an arithmetic; the others copy codes."""
    return [row for row in report.totals() if any(cell.status for cell in row.cells)]


def _row(result: Result, index: int, operators: Sequence[str]) -> list[str]:
    report = result.differences
    name = report.profiles[index]
    cells = {row.op: _cell(row.cells[index], index == 0) for row in _computing(report)}
    top1 = f"{100 * result.right[name] / result.pictures:.1f}"
    return [result.network, name, *(cells.get(op, "") for op in operators), top1]


def _cell(cell: Cell, reference: bool) -> str:
    """Show how many elements differ, and the largest difference where it is not one; a star where the rule is inferred.
    The row of the reference shows how many elements there are."""
    count = cell.single
    if reference:
        return f"of {count.elements:,}"
    mark = " *" if cell.status == INFERRED else ""
    if not count.differing:
        return f"0{mark}"
    largest = f", up to {count.largest:g} LSB" if count.largest != 1 else ""
    return f"{count.differing:,} ({100 * count.share:.2g} %{largest}){mark}"


def as_json(result: Result) -> dict[str, object]:
    totals = result.differences.as_json()["totals"]
    return {"network": result.network, "pictures": result.pictures, "right": dict(result.right), "totals": totals}


def networks(models: Sequence[Path]) -> dict[str, Path]:
    """Return the given models by name, or the shipped int8 ones."""
    if models:
        return {path.stem: path for path in models}
    return {name: shipped_model(name) for name in model_names() if name.endswith("_int8")}


@click.command()
@click.argument("models", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--pictures",
    "source",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="An .npz with x (uint8 NHWC) and y.",
)
@click.option("--limit", type=click.IntRange(1), default=1000, show_default=True, help="Pictures for top-1.")
@click.option("--compared", type=click.IntRange(1), default=20, show_default=True, help="Pictures for differences.")
@click.option("--batch", type=click.IntRange(1), default=50, show_default=True, help="Pictures at a time.")
@click.option(
    "--profile",
    "profiles",
    multiple=True,
    default=COMPLETE,
    show_default=True,
    help="A name or a .toml path; the first is the reference.",
)
@click.option("--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="Write JSON.")
@click.option("--markdown", "markdown_path", type=click.Path(dir_okay=False, path_type=Path), help="Write Markdown.")
def main(
    models: tuple[Path, ...],
    source: Path,
    limit: int,
    compared: int,
    batch: int,
    profiles: tuple[str, ...],
    json_path: Path | None,
    markdown_path: Path | None,
) -> None:
    """Differing elements per operator type, teacher-forced against the first profile, and top-1 of each profile."""
    try:
        pictures = read_labelled(source, limit)
        results = []
        for name, path in networks(models).items():
            model = load(dynamic_batch(onnx.load(path)))
            results.append(measure(name, model, profiles, pictures, Options(compared, batch)))
    except QdqnpError as error:
        raise click.ClickException(str(error)) from error
    table = results_table(results)
    table.show()
    write_results({"results": [as_json(result) for result in results]}, table.markdown(), json_path, markdown_path)


if __name__ == "__main__":
    main()
