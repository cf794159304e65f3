"""`qdqnp quality`: show which layer of an int8 network loses the accuracy of the float network."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from qdqnp.api.labelled import labelled_runs
from qdqnp.cli.engine import engine_options
from qdqnp.cli.inputs import Inputs, input_options
from qdqnp.cli.labelled import class_names_option, class_offset_option, labels_option
from qdqnp.cli.options import PATH, force_option, json_option, node_data_option, profile_option
from qdqnp.diagnosis.mapping import read_mapping
from qdqnp.engine import Workplace
from qdqnp.files.atomic import target, write_text
from qdqnp.inputs.runs import AllFeeds
from qdqnp.inspection.outputs import read_labels
from qdqnp.layer_quality import quality
from qdqnp.layer_quality.findings import percent
from qdqnp.layer_quality.job import UNFUSED
from qdqnp.layer_quality.quality import MOST_GREEDY
from qdqnp.layer_quality.report import QualityReport, QualityRow
from qdqnp.model import load
from qdqnp.numerics.profile_toml import profile_from
from qdqnp.render.console import CONSOLE, name, print_json, print_sentence, progress, table
from qdqnp.render.node_data import quality_notes, write_node_data
from qdqnp.render.quality import quality_page

#: Rows that are shown without --all, and findings, unmatched tensors and gains that are listed.
SHOWN, LISTED = 12, 5
HELP = (
    "Inputs like those that the network is for: .npy or .npz files (with labels as y), pictures, folders of them (with "
    "a folder for each class, or a label file), a golden set. Random numbers say nothing of a trained network, and are "
    "not offered."
)


@click.command("quality")
@click.argument("float_model", type=PATH, metavar="FLOAT.onnx")
@click.argument("int8_model", type=PATH, metavar="INT8.onnx")
@input_options(HELP, required=True, option=("--data", "--input"))
@labels_option
@class_names_option
@class_offset_option
@profile_option("The arithmetic of the int8 network: a name, or a .toml file.")
@click.option("--mapping", type=PATH, metavar="FILE", help="Which tensor stands for which, .toml or .json.")
@click.option("--what-if", is_flag=True, help="Make each layer float by itself: what do the outputs regain?")
@click.option(
    "--greedy", type=click.IntRange(1, MOST_GREEDY), metavar="K", help="The best K layers in float, one after another."
)
@click.option("--all", "show_all", is_flag=True, help="Show every layer, not the worst only.")
@engine_options(workers=1)
@json_option
@click.option("--html", "html_file", type=PATH, metavar="FILE", help="Write a page with bars for each layer.")
@node_data_option
@force_option("a file of --html or --node-data")
def quality_command(
    float_model: Path,
    int8_model: Path,
    inputs: Inputs,
    labels: Path | None,
    class_names: Path | None,
    class_offset: int | None,
    profile: str,
    mapping: Path | None,
    what_if: bool,
    greedy: int | None,
    show_all: bool,
    where: Workplace,
    as_json: bool,
    html_file: Path | None,
    node_data: Path | None,
    force: bool,
) -> None:
    """Measure what quantization costs, layer by layer: INT8.onnx against FLOAT.onnx, on data of your own.

    Three SQNRs, in dB, higher is better. entire: the int8 network's own run, with the errors of earlier layers in it.
    single: the layer on the float network's tensors, quantized. own: the same, against the float layer on the same
    quantized tensors, so that weights, bias and the scale of the result are all that is left.

    The verdict comes first. The worst layers are those that are quantized badly, by what that costs (docs/quality.md
    says when), then by their own noise. --what-if runs the network once more for each layer, from that layer on;
    --greedy does so K times.

    A mapping file has a table 'tensors': "int8 tensor or layer" = "float tensor or layer".

    Exit code 0: done, whatever it says. 2: bad usage, models that do not fit each other, bad data, or nothing to
    compare.
    """
    html_out = target(html_file, "the report", force) if html_file is not None else None
    nodes_out = target(node_data, "the node data", force) if node_data is not None else None
    arithmetic = profile_from(profile)
    chosen = {} if mapping is None else {key: mapped.entry for key, mapped in read_mapping(mapping).items()}
    real, coded = load(float_model), load(int8_model)
    names = None if class_names is None else read_labels(class_names)
    with progress(disable=as_json) as shown:
        reading = shown.add_task("reading", total=None)
        found = labelled_runs(
            real.program(UNFUSED),
            inputs,
            labels,
            names,
            class_offset,
            lambda done, total: shown.update(reading, completed=done, total=total),
        )
        shown.remove_task(reading)
        task = shown.add_task("measuring", total=None)
        report = quality(
            real,
            coded,
            AllFeeds(found.runs),
            labels=found.labels,
            profile=arithmetic,
            mapping=chosen,
            what_if=what_if,
            greedy=greedy or 0,
            advance=lambda done, total: shown.update(task, completed=done, total=total or None),
            **where,
        )
    if html_out is not None:
        write_text(html_out, quality_page(report, f"{int8_model.name} against {float_model.name}"))
    if nodes_out is not None:
        title, program = f"noise of {int8_model.name}", coded.program(arithmetic)
        write_node_data(nodes_out, title, quality_notes(report), coded.graph, program, int8_model)
    if as_json:
        print_json({"float": float_model.name, "int8": int8_model.name, **report.as_json()})
    else:
        print_quality(report, show_all)
    sys.exit(0 if report.rows else 2)


def print_quality(report: QualityReport, show_all: bool) -> None:
    """Print the verdict, what is wrong with which layer, the worst layers as a table, and what was not measured."""
    print_sentence(report.verdict(), style="bold red" if report.bad else "bold")
    for row in report.bad[1 : LISTED + 1]:
        print_sentence(f"'{row.label}': {row.why}")
    _print_not_measured(report)
    CONSOLE.print(_outputs(report))
    CONSOLE.print()
    gains = report.unfused is not None
    columns = ("entire", "single", "own", "max", "sat", "range", "weights", *(["in float"] if gains else []))
    rows = table("layer", *columns, right=columns)
    for row in report.rows if show_all else report.rows[:SHOWN]:
        rows.add_row(name(row.label, 24), *_cells(row), *([_gain(report, row)] if gains else []))
    CONSOLE.print(rows)
    if not show_all and len(report.rows) > SHOWN:
        CONSOLE.print(f"and {len(report.rows) - SHOWN} more layers, which --all shows")
    CONSOLE.print(
        "entire, single, own, weights: SQNR in dB; sat: codes beyond their range; range: how much of it is used"
    )
    _print_what_if(report)


def _outputs(report: QualityReport) -> str:
    found = report.outputs
    parts = [f"{report.inputs} input{'s' if report.inputs != 1 else ''} under '{name(report.profile)}'"]
    parts.append(f"outputs {found.error.sqnr:.2f} dB, cosine {found.error.cosine:.6f}")
    if found.rows:
        parts.append(f"same class {found.agreeing} of {found.rows}")
    if report.float_correct is not None:
        parts.append(f"right: float {report.float_correct}, int8 {found.correct} of {found.labelled}")
    return "; ".join(parts)


def _print_not_measured(report: QualityReport) -> None:
    for tensor, why in list(report.unmatched.items())[:LISTED]:
        print_sentence(f"not measured: '{name(tensor)}': {why}")
    more = len(report.unmatched) - LISTED
    if more > 0:
        print_sentence(f"not measured: {more} more, which --json lists")
    if report.unmatched_float:
        listed = ", ".join(f"'{name(tensor)}'" for tensor in report.unmatched_float[:LISTED])
        print_sentence(f"{len(report.unmatched_float)} layers of the float network have no partner: {listed}")


def _cells(row: QualityRow) -> list[str]:
    sums = row.sums
    levels = [f"{errors.sqnr:.1f}" if errors.noise else "exact" for errors in (sums.entire, sums.single, sums.own)]
    saturated = "?" if row.saturated is None else percent(row.saturated)
    used = "" if row.use is None else f"{100 * row.use.used:.0f} %"
    weights = "" if row.weights is None else f"{row.weights.sums.sqnr:.1f}"
    return [*levels, f"{sums.entire.largest:.3g}", saturated, used, weights]


def _gain(report: QualityReport, row: QualityRow) -> str:
    return "" if row.gain is None else f"{report.gain(row):+.2f}"


def _print_what_if(report: QualityReport) -> None:
    if report.no_what_if:
        print_sentence(report.no_what_if)
    if report.unfused is None:
        return
    CONSOLE.print()
    CONSOLE.print(
        f"In float by itself (each {report.what_if_runs / max(1, len(report.by_gain)):.2f} of a run, "
        f"{report.what_if_runs:.1f} in all, for each input), against {report.unfused.error.sqnr:.2f} dB with none:"
    )
    right = bool(report.unfused.labelled)
    rows = table("layer", "outputs", "gain", *(["right"] if right else []), right=("outputs", "gain", "right"))
    for row in report.by_gain[:LISTED]:
        assert row.gain is not None
        level = f"{row.gain.error.sqnr:.2f}"
        rows.add_row(name(row.label, 40), level, _gain(report, row), *([str(row.gain.correct)] if right else []))
    CONSOLE.print(rows)
    if report.greedy:
        labels = {row.tensor: row.label for row in report.rows}
        steps = [f"'{name(labels[s.tensor], 40)}' {s.outputs.error.sqnr:.2f} dB" for s in report.greedy]
        print_sentence(f"One after the other: {', then '.join(steps)}")
