"""`qdqnp stimulate`: make inputs worth testing with, and say what they cover."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import click
from rich.table import Table

from qdqnp.api.stimulate import stimulate
from qdqnp.api.storage import StorageOptions
from qdqnp.cli.engine import engine_options
from qdqnp.cli.options import (
    ModelFile,
    force_option,
    format_option,
    host_float_option,
    json_option,
    layer_option,
    model_argument,
    out_option,
    profile_option,
    seed_option,
    shape_option,
)
from qdqnp.cli.storage import storage_options
from qdqnp.engine import Workplace
from qdqnp.quant import Array
from qdqnp.render.console import CONSOLE, bar, name, print_json, table
from qdqnp.stimuli.coverage import Coverage
from qdqnp.stimuli.goals import REACHED, Verdict
from qdqnp.stimuli.result import Stimulus, StimulusSet, by_layer


@click.command("stimulate")
@model_argument
@out_option
@layer_option()
@profile_option()
@host_float_option
@click.option("--discriminate", default="", metavar="A,B", help="Also inputs on which these two profiles differ.")
@click.option(
    "--count",
    type=click.IntRange(min=0),
    default=4,
    show_default=True,
    metavar="N",
    help="Random inputs; for a network also inputs to search for.",
)
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    default=30,
    show_default=True,
    metavar="N",
    help="Inputs to try for each that is searched for.",
)
@seed_option
@shape_option
@click.option(
    "--exhaustive",
    is_flag=True,
    help="Try everything, however long it takes. Without it, less is tried where a small model has huge tensors.",
)
@format_option
@storage_options
@engine_options(workers=1)
@force_option("a golden set")
@json_option
def stimulate_command(
    model: ModelFile,
    out: Path,
    layer: str | None,
    profile: str,
    host_float: bool,
    discriminate: str,
    count: int,
    steps: int,
    seed: int,
    shapes: tuple[str, ...],
    exhaustive: bool,
    formats: tuple[str, ...],
    stored: StorageOptions,
    where: Workplace,
    force: bool,
    as_json: bool,
) -> None:
    """Make inputs for MODEL that drive its arithmetic to where implementations differ, and write them as a golden set.

    With --layer, one layer alone, by construction: accumulators at both ends of their range, exact ties of both signs,
    inputs on which two profiles differ, every pair of codes; what cannot be reached is said with the reason. The set
    then holds the layer as a model of its own. Without it, the best inputs of a seeded search.

    Exit code 0: done. 2: bad usage, a bad model, or no such layer; then nothing is written.
    """
    with bar("searching" if layer is None else "constructing", not as_json) as progress:
        found = stimulate(
            model,
            out=out,
            layer=layer,
            profile=profile,
            host_float=host_float,
            discriminate=discriminate,
            count=count,
            steps=steps,
            seed=seed,
            shape=shapes,
            exhaustive=exhaustive,
            format=formats,
            force=force,
            progress=progress,
            **where,
            **stored,
        )
    if as_json:
        print_json(found.document())
    else:
        print_set(found.found)
        CONSOLE.print(f"wrote {len(found.found.stimuli)} inputs to {name(str(out))}")


# -- what is printed ---------------------------------------------------------------------------------------------------
def print_set(found: StimulusSet) -> None:
    if found.label:
        _print_layer(found)
    else:
        _print_network(found)


def _print_layer(found: StimulusSet) -> None:
    """Print a row for each kind of stimulus, the total, and the verdicts."""
    rows = _coverage_table("stimulus", "method", "inputs", differing=bool(found.against))
    for kind, group in groupby(found.stimuli, lambda one: one.kind):
        _add_group(rows, kind, list(group), method=True)
    _add_group(rows, "all together", found.stimuli)
    CONSOLE.print(rows)
    CONSOLE.print(f"layer {name(found.label)}, {found.op}, profile {name(found.profile)}")
    if found.ties_of:
        CONSOLE.print(f"ties and saturations are those of {found.ties_of}")
    if found.bound is not None:
        CONSOLE.print(f"accumulators are proven to lie in [{found.bound[0]}, {found.bound[1]}]")
    _print_verdicts(found.verdicts)


def _add_group(rows: Table, kind: str, stimuli: Sequence[Stimulus], method: bool = False) -> None:
    (coverage,) = by_layer(stimuli).values()
    rows.add_row(kind, stimuli[0].method if method else "", str(len(stimuli)), *_cells(coverage), *_differing(stimuli))


def _print_network(found: StimulusSet) -> None:
    """Print a row for each layer over all stimuli, and one for each stimulus over all layers."""
    rows = _coverage_table("layer")
    for label, coverage in by_layer(found.stimuli).items():
        rows.add_row(name(label), *_cells(coverage))
    CONSOLE.print(rows)
    CONSOLE.print()
    columns = ("ties -", "ties +", "clipped low", "clipped high", "channels reached", "codes seen, mean")
    more = ("differing",) if found.against else ()
    each = table("input", "stimulus", "method", *columns, *more, right=("input", *columns, *more))
    for number, stimulus in enumerate(found.stimuli):
        each.add_row(str(number), stimulus.kind, stimulus.method, *_sums(stimulus), *_differing([stimulus]))
    CONSOLE.print(each)
    _print_verdicts(found.verdicts)
    if found.on_host:
        labels = ", ".join(name(label) for label in found.on_host)
        CONSOLE.print(f"on the host in float32, not promised, as all that is made of them: {labels}")
    CONSOLE.print("search: the best that was found; what no input met is not proven to be unreachable")


def _coverage_table(*first: str, differing: bool = False) -> Table:
    columns = [
        "ties -",
        "ties +",
        "clipped low",
        "clipped high",
        "inner",
        "codes seen",
        "channels reached",
        "accumulators",
        *(["differing"] if differing else []),
    ]
    return table(*first, *columns, right=("inputs", *columns))


def _cells(coverage: Coverage) -> list[str]:
    numbers = (
        coverage.ties_negative,
        coverage.ties_positive,
        coverage.saturated_low,
        coverage.saturated_high,
        coverage.inner_saturated,
    )
    span = "" if coverage.accumulator_min is None else f"{coverage.accumulator_min} .. {coverage.accumulator_max}"
    return [
        *("" if number is None else f"{number:,}" for number in numbers),
        _share(coverage.seen),
        _share(coverage.reached),
        span,
    ]


def _share(mask: Array) -> str:
    return f"{int(mask.sum())} of {mask.size}" if mask.size else ""


def _differing(stimuli: Sequence[Stimulus]) -> list[str]:
    known = [stimulus.differing for stimulus in stimuli if stimulus.differing is not None]
    return [f"{sum(known):,}"] if known else []


def _sums(stimulus: Stimulus) -> list[str]:
    parts = list(stimulus.coverage.values())
    totals = [
        sum(getattr(part, field) or 0 for part in parts)
        for field in ("ties_negative", "ties_positive", "saturated_low", "saturated_high")
    ]
    reached, channels = sum(int(part.reached.sum()) for part in parts), sum(part.reached.size for part in parts)
    seen = [float(part.seen.mean()) for part in parts if part.seen.size]
    mean = f"{100 * sum(seen) / len(seen):.1f} %" if seen else ""
    return [*(f"{total:,}" for total in totals), f"{reached} of {channels}", mean]


def _print_verdicts(verdicts: Sequence[Verdict]) -> None:
    """Print for each goal how many channels reached it, and one of the other channels with its reason."""
    for goal in dict.fromkeys(verdict.goal for verdict in verdicts):
        those = [verdict for verdict in verdicts if verdict.goal == goal]
        reached = sum(verdict.verdict == REACHED for verdict in those)
        if those[0].channel is None:
            CONSOLE.print(f"{goal}: {those[0].verdict}: {those[0].reason}")
            continue
        CONSOLE.print(f"{goal}: reached in {reached} of {len(those)} channels")
        for kind in dict.fromkeys(verdict.verdict for verdict in those if verdict.verdict != REACHED):
            found = [verdict for verdict in those if verdict.verdict == kind]
            CONSOLE.print(f"  {kind} in {len(found)}, such as channel {found[0].channel}: {found[0].reason}")
