"""`qdqnp diff`: show where and how far the arithmetics of two or more devices differ on a model."""

from __future__ import annotations

import click

from qdqnp.api.diff import diff
from qdqnp.cli.engine import engine_options, given
from qdqnp.cli.inputs import Inputs, input_options
from qdqnp.cli.options import (
    ModelFile,
    host_float_option,
    json_option,
    model_argument,
    profiles_option,
    shape_option,
)
from qdqnp.diagnosis.diff import ENTIRE, SINGLE, Cell, DiffReport, DiffRow
from qdqnp.diagnosis.proof.report import ProofReport
from qdqnp.diagnosis.tally import Tally
from qdqnp.engine import Workplace
from qdqnp.render.console import CONSOLE, bar, dims, name, print_json, table
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
    if prove and any(given(name) for name in ("workers", "scheduler", "results")):
        raise click.UsageError("--prove runs nothing: --workers, --scheduler and --results do not go with it")
    with bar("proving" if prove else "comparing", not as_json) as progress:
        found = diff(
            model,
            listed,
            inputs,
            prove=prove,
            shape=shapes,
            host_float=host_float,
            progress=progress,
            **where,
        )
    if as_json:
        print_json(found.document())
    elif isinstance(found.report, ProofReport):
        print_proof(found.report)
    else:
        print_report(found.report)


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
