"""`qdqnp compare`: compare a device's tensors with a golden set, and say which layer is wrong, by how far, and why."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click
from rich.table import Table

from qdqnp.api.compare import compare, pairing
from qdqnp.cli.options import (
    PATH,
    case_option,
    force_option,
    form_options,
    host_float_option,
    json_option,
    mapping_option,
    node_data_option,
    operators_option,
    profile_option,
)
from qdqnp.cli.python_files import comparators_of, operators_in
from qdqnp.diagnosis.compare.checksums import ChecksumReport, crc_log_of
from qdqnp.diagnosis.compare.report import NAMED, CompareReport, CompareRow
from qdqnp.diagnosis.compare.status import EQUAL, FAILING, INHERITED
from qdqnp.diagnosis.mapping import as_text
from qdqnp.diagnosis.tally import METRICS, Tally
from qdqnp.files.atomic import Target, target, write_bytes, write_text
from qdqnp.render.console import CONSOLE, ERROR_CONSOLE, dims, name, print_json, print_sentence, reason, table
from qdqnp.render.html import html
from qdqnp.render.junit import junit
from qdqnp.render.node_data import compare_notes, write_node_data

# Layers that are shown without --all.
MOST_SHOWN = 8


@click.command("compare")
@click.argument("golden", type=PATH)
@click.argument("dump", type=PATH)
@profile_option("Another arithmetic than the golden set's: a name, or a .toml file.", default=None)
@host_float_option
@operators_option
@case_option
@mapping_option
@form_options
@click.option(
    "--runner",
    default="",
    metavar="NAME",
    help="Which runner of Polygraphy's RunResults, by what its name begins with.  [default: the only one]",
)
@click.option(
    "--write-mapping",
    type=PATH,
    metavar="FILE",
    help="Write the pairing by name, or by order, for you to correct; compare nothing.",
)
@click.option(
    "--tolerance",
    "tolerances",
    multiple=True,
    metavar="LSB",
    help="What a layer's own error may be: 1, QLinearAdd=1, layer:LABEL=0. Repeatable.",
)
@click.option(
    "--envelope",
    "use_envelope",
    is_flag=True,
    help="Accept what the unknown parameters of the profile (neural-art) explain.",
)
@click.option(
    "--partial",
    is_flag=True,
    help="Accept what was not compared: entries that are no tensor of the model, layers and inputs without a tensor.",
)
@click.option(
    "--comparator",
    "comparators",
    multiple=True,
    metavar="NAME",
    help="A measure of yours: an installed one, or FILE.py, which is run, with functions in COMPARATORS.",
)
@click.option("--all", "show_all", is_flag=True, help="Show every layer, in a table with all columns.")
@json_option
@click.option("--junit", "junit_file", type=PATH, metavar="FILE", help="Write JUnit XML.")
@click.option(
    "--html",
    "html_file",
    type=PATH,
    metavar="FILE",
    help="Write a report to send to a colleague: one file.",
)
@node_data_option
@force_option("a file of --html, --junit, --node-data or --write-mapping")
def compare_command(
    golden: Path,
    dump: Path,
    profile: str | None,
    host_float: bool,
    operator_files: tuple[Path, ...],
    first: int,
    mapping: Path | None,
    layout: str | None,
    dtype: str | None,
    offset: int | None,
    values: str | None,
    runner: str,
    write_mapping: Path | None,
    tolerances: tuple[str, ...],
    use_envelope: bool,
    partial: bool,
    comparators: tuple[str, ...],
    show_all: bool,
    as_json: bool,
    junit_file: Path | None,
    html_file: Path | None,
    node_data: Path | None,
    force: bool,
) -> None:
    """Compare DUMP, the tensors of a device, with the golden set in the folder GOLDEN.

    DUMP is a folder of .npy, .bin, .npz, .hex or .c files or one of them, the *_val_io.npz of ST Edge AI's validate, a
    stream of frames, or another golden set. How it is stored is said by --layout, --dtype, --offset and --values, the
    mapping, or a manifest.json in its folder; else its shapes and values tell, and where they do not, it is read as the
    golden set is stored. The checksums of the format c-crc that a board printed are a DUMP too: then the first wrong
    layer is known, and nothing else.

    Two columns: entire is against the golden values, with the errors of earlier layers in it; single is the layer fed
    the device's own tensors, so that the error is its own.

    The verdict comes first, then what was not compared, then the layers that err by themselves. A layer counts as
    compared if its tensor was dumped, or one that is computed from it: the network's outputs alone tell of every layer.

    Exit code 0: every layer computes what it should (within --tolerance, or inside the --envelope). 1: some do not.
    2: bad usage, golden set or dump; or nothing differs, but an entry of the dump is no tensor of the model, or a layer
    or an input of the set was not compared (--partial accepts these); or nothing was compared that a layer computes.
    """
    mapping_out = target(write_mapping, "the mapping", force) if write_mapping is not None else None
    junit_out = target(junit_file, "the report", force) if junit_file is not None else None
    html_out = target(html_file, "the report", force) if html_file is not None else None
    nodes_out = target(node_data, "the node data", force) if node_data is not None else None
    operators = operators_in(operator_files)
    if mapping_out is not None and crc_log_of(golden, dump) is None:
        _write_mapping(golden, dump, first, operators, runner, mapping_out)
        return
    found = compare(
        golden,
        dump,
        profile=profile,
        host_float=host_float,
        operators=operators,
        case=first,
        mapping=mapping,
        layout=layout,
        dtype=dtype,
        offset=offset,
        values=values,
        runner=runner,
        tolerance=tolerances,
        envelope=use_envelope,
        partial=partial,
        comparator=comparators_of(comparators),
    )
    report = found.report
    title = f"{found.dump} against {found.golden}"
    if isinstance(report, ChecksumReport) and (html_out or junit_out or mapping_out or nodes_out):
        raise click.UsageError(
            "checksums have no values: --html, --junit, --node-data and --write-mapping do not go with them"
        )
    if isinstance(report, CompareReport) and junit_out is not None:
        write_bytes(junit_out, junit(report, title))
    if isinstance(report, CompareReport) and html_out is not None:
        write_text(html_out, html(report, title))
    reference = found.reference
    if isinstance(report, CompareReport) and nodes_out is not None and reference is not None:
        assert reference.golden is not None
        data = reference.golden.model() or b""
        write_node_data(nodes_out, title, compare_notes(report), reference.model.graph, reference.plan.program, data)
    if as_json:
        print_json(found.document())
    elif isinstance(report, ChecksumReport):
        print_checksums(report)
    else:
        print_report(report, show_all)
    sys.exit(found.exit_code)


def _write_mapping(golden: Path, dump: Path, case: int, operators: Sequence[type], runner: str, out: Target) -> None:
    found, unused = pairing(golden, dump, case=case, operators=operators, runner=runner)
    write_text(out, as_text(found, unused, out.path.suffix == ".json"))
    ERROR_CONSOLE.print(
        f"{len(found)} tensors mapped, {len(unused)} entries of the dump left over; correct the file, "
        "then use --mapping",
    )


def print_checksums(report: ChecksumReport) -> None:
    """Print the verdict, what was not checked, then the tensors that differ."""
    for line in report.verdict():
        print_sentence(line, style="bold red" if report.exit_code else "bold green")
    for line in report.not_compared():
        print_sentence(line, style="yellow")
    if report.wrong:
        rows = table("layer", "operator", "cases", "why", right=("cases",))
        for row in report.wrong:
            rows.add_row(name(row.label or row.name, 32), row.op, str(len(row.wrong)), row.status, style="red")
        CONSOLE.print(rows)


def print_report(report: CompareReport, show_all: bool) -> None:
    """Print the verdict, what was not compared, then the layers that err by themselves; or a table of all layers."""
    for line in report.verdict():
        print_sentence(line, style="bold green" if report.equal else "bold red")
    for line in report.not_compared():
        print_sentence(line, style="yellow")
    failing = [row for row in report.rows if row.status in FAILING]
    odd = [row for row in report.rows if row not in failing and (row.off_grid or row.off_range)]
    shown = report.rows if show_all else [*failing, *odd][:MOST_SHOWN]
    if shown:
        CONSOLE.print(_whole_table(shown) if show_all else _short_table(shown))
    if not show_all:
        print_sentence(_left_out(report, shown))
    _print_measures(report, show_all)


def _print_measures(report: CompareReport, show_all: bool) -> None:
    """Print what the user's comparators say, a column for each."""
    names = list(dict.fromkeys(key for row in report.rows for key in row.metrics if key not in METRICS))
    if not names:
        return
    rows = report.rows if show_all else report.rows[:MOST_SHOWN]
    made = table("tensor", "layer", *names, right=names)
    for row in rows:
        values = (f"{row.metrics[key]:.6g}" if key in row.metrics else "" for key in names)
        made.add_row(name(row.name, 40), name(row.label, 32), *values)
    CONSOLE.print(made)
    if len(rows) < len(report.rows):
        print_sentence(f"{len(report.rows) - len(rows)} tensors more (--all shows them)")


def _left_out(report: CompareReport, shown: Sequence[CompareRow]) -> str:
    """Say how many rows are not shown, by what is said of them."""
    counts = Counter(row.status for row in report.rows if row not in shown)
    told = {EQUAL: ("is equal", "are equal"), INHERITED: ("inherits its errors", "inherit their errors")}
    words = []
    for status in sorted(counts, key=lambda status: (status != EQUAL, status)):
        one, many = told.get(status, (f"more: {status}", f"more: {status}"))
        words.append(f"1 layer {one}" if counts[status] == 1 else f"{counts[status]} layers {many}")
    return f"{', '.join(words)} (--all shows {'them' if sum(counts.values()) > 1 else 'it'})" if words else ""


def _short_table(rows: Sequence[CompareRow]) -> Table:
    """The layers in few columns, for 80 characters."""
    made = table("layer", "entire", "single", "max", "why", right=("entire", "single", "max"))
    for row in rows:
        kinds = " or ".join(dict.fromkeys(finding.kind for finding in row.findings[:NAMED]))
        why = "; ".join(text for text in (kinds or row.explanation, *_off(row)) if text)
        cells = (name(row.label or row.name, 32), _percent(row.entire), _percent(row.single), str(row.own.largest), why)
        made.add_row(*cells, style="red" if row.status in FAILING else None)
    return made


def _whole_table(rows: Sequence[CompareRow]) -> Table:
    columns = ("layer", "operator", "tensor", "shape", "entire", "single", "max", "mean", "sat", "cos", "why")
    made = table(*columns, right=("entire", "single", "max", "mean", "sat", "cos"))
    for row in rows:
        made.add_row(*_cells(row), style="red" if row.status in FAILING else None)
    return made


def _cells(row: CompareRow) -> list[str]:
    return [
        name(row.label),
        row.op,
        name(row.name),
        dims(row.shape),
        _share(row.entire),
        _share(row.single),
        str(row.own.largest),
        f"{row.own.mean:.3g}",
        f"{100 * row.saturation:.3g} %",
        f"{row.metrics.get('cos', 1.0):.6f}",
        reason("; ".join(text for text in (row.explanation, *row.notes, *_off(row)) if text)),
    ]


def _percent(tally: Tally) -> str:
    return f"{100 * tally.share:.3g} %" if tally.differing else "0"


def _off(row: CompareRow) -> list[str]:
    texts = (f"{row.off_grid} values off the grid", f"{row.off_range} codes out of range")
    return [text for text, count in zip(texts, (row.off_grid, row.off_range), strict=True) if count]


def _share(tally: Tally) -> str:
    """Show a share; one that is not zero is never shown as zero."""
    return f"{100 * tally.share:.3g} % ({tally.differing})" if tally.differing else "0"
