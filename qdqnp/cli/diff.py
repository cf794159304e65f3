"""`qdqnp diff`: show where and how far the arithmetics of two or more devices differ on a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import click

from qdqnp.cli.engine import engine_options, given
from qdqnp.cli.inputs import Inputs, input_options
from qdqnp.cli.options import (
    ModelFile,
    host_float_option,
    json_option,
    model_argument,
    profiles_of,
    profiles_option,
    shape_option,
    shapes_of,
)
from qdqnp.cli.options import listed as texts
from qdqnp.diagnosis.diff import ENTIRE, SINGLE, Cell, DiffReport, DiffRow, diff
from qdqnp.diagnosis.proof.prove import prove as proven
from qdqnp.diagnosis.tally import Tally
from qdqnp.engine import Workplace
from qdqnp.model import Model, load
from qdqnp.numerics.profile import Profile
from qdqnp.render.console import CONSOLE, dims, name, print_json, progress, table
from qdqnp.render.proof import INFERRED_MARK, print_proof

HOST_MARK = "^"


@click.command("diff")
@model_argument
@input_options()
@click.option(
    "--prove", is_flag=True, help="Run nothing: prove how far each layer can be apart, over all inputs that there are."
)
@shape_option
@profiles_option("Two or more: names, or paths that end in .toml; the first is the reference.", required=True)
@host_float_option
@engine_options(workers=1)
@json_option
def diff_command(
    model: ModelFile,
    inputs: Inputs,
    prove: bool,
    shapes: tuple[str, ...],
    listed: tuple[str, ...],
    host_float: bool,
    where: Workplace,
    as_json: bool,
) -> None:
    """Run MODEL under several arithmetic profiles, and compare every layer with the first profile's.

    Two columns for each profile. entire: the profile computes the whole network, so differences accumulate. single:
    each layer is fed the first profile's tensors, so that only what it does by itself differs. Each says the share
    of differing elements and, in brackets, the largest difference in LSB.

    With --prove nothing is sampled. Of each layer it is proven that no input makes it differ, or the largest difference
    is given, with the share of all reachable sums (or pairs of codes, or codes) that differ and an input that makes it,
    which has been run; or it says why neither is known. 'carried' bounds how far the tensor can be apart where each
    profile computes the whole network. --shape gives sizes that the model leaves open.

    Exit code 0: done, whether anything differs or not, because different arithmetics are expected to. 2: bad usage,
    a bad model, or a profile that does not define one of the model's layers.
    """
    pairs = _profiles(listed, host_float)
    if shapes and not prove:
        raise click.UsageError("--shape goes with --prove; without it the inputs have shapes")
    if prove and inputs.given:
        raise click.UsageError("--prove is about all inputs: --input, --random and --seed do not go with it")
    if prove and any(given(name) for name in ("workers", "scheduler", "results")):
        raise click.UsageError("--prove runs nothing: --workers, --scheduler and --results do not go with it")
    loaded = load(model)
    if prove:
        _prove(model.name, loaded, pairs, shapes_of(shapes, loaded.program(pairs[0][1]).inputs), as_json)
        return
    runs, total = inputs.feeds(loaded.program(pairs[0][1]))
    with progress(disable=as_json) as shown:
        task = shown.add_task("comparing", total=total)
        report = diff(loaded, pairs, runs, progress=lambda: shown.advance(task), **where)
    if as_json:
        print_json({"model": model.name, **report.as_json()})
    else:
        print_report(report)


def _prove(
    name: str,
    loaded: Model,
    pairs: Sequence[tuple[str, Profile]],
    shapes: Mapping[str, tuple[int, ...]],
    as_json: bool,
) -> None:
    """Prove and print."""
    steps = len(loaded.program(pairs[0][1]).steps) * (len(pairs) - 1)
    with progress(disable=as_json) as shown:
        task = shown.add_task("proving", total=steps)
        report = proven(loaded, pairs, shapes, lambda: shown.advance(task))
    if as_json:
        print_json({"model": name, **report.as_json()})
    else:
        print_proof(report)


def _profiles(listed: Sequence[str], host_float: bool) -> list[tuple[str, Profile]]:
    """Return the profiles, each with the text that named it."""
    if len(texts(listed)) < 2:
        raise click.UsageError("--profiles: expected two or more, such as ort,tflite; the first is the reference")
    return profiles_of(listed, host_float)


def print_report(report: DiffReport) -> None:
    """Print a row for each layer, then the totals by operator type, then what the marks mean."""
    others = report.profiles[1:]
    columns = [f"{name(other)}, {way}" for other in others for way in (ENTIRE, SINGLE)]
    rows = table("layer", "operator", "tensor", "shape", "elements", *columns, right=("elements", *columns))
    for row in report.rows:
        elements = str(row.cells[0].entire.elements)
        rows.add_row(name(row.label), row.op, name(row.name), dims(row.shape), elements, *_texts(row))
    CONSOLE.print(rows)
    CONSOLE.print()
    totals = table("operator", "elements", *columns, right=("elements", *columns))
    for row in report.totals():
        totals.add_row(row.op, str(row.cells[0].entire.elements), *_texts(row))
    CONSOLE.print(totals)
    first, inputs = report.profiles[0], f"{report.inputs} input{'s' if report.inputs != 1 else ''}"
    CONSOLE.print(
        f"share of elements that differ from '{name(first)}' (largest difference, in LSB of codes), over {inputs}",
    )
    if any(cell.status == "inferred" for row in report.rows for cell in row.cells):
        CONSOLE.print(f"{INFERRED_MARK} the profile's rule for this operator is inferred, not established")
    if any(cell.host_float for row in report.rows for cell in row.cells):
        CONSOLE.print(f"{HOST_MARK} a host computes it in float32: not promised, as all that is made of it")


def _texts(row: DiffRow) -> list[str]:
    return [_text(cell, count) for cell in row.cells[1:] for count in (cell.entire, cell.single)]


def _text(cell: Cell, count: Tally) -> str:
    """Format a cell as '1.25 % (3)'; a share that is not zero is never shown as zero."""
    mark = (INFERRED_MARK if cell.status == "inferred" else "") + (HOST_MARK if cell.host_float else "")
    if count.note:
        return name(count.note) + mark
    if not count.differing:
        return f"0{mark}"
    return f"{100 * count.share:.3g} % ({count.largest:g}){mark}"
