"""`qdqnp conformance`: make cases of every integer operator, and score a runtime on them."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from qdqnp.cli import completing
from qdqnp.cli.options import PATH, force_option, json_option, listed, out_option, profile_with
from qdqnp.conformance.make import PackReport, make
from qdqnp.conformance.scoring import TIMEOUT, VERDICTS, Score, score
from qdqnp.conformance.verdict import RIGHT, WRONG
from qdqnp.files.atomic import target, write_bytes
from qdqnp.peers.runtimes.names import RUNTIMES
from qdqnp.render.conformance import score_junit
from qdqnp.render.console import CONSOLE, ERROR_CONSOLE, name, print_json, print_sentence, progress, table

#: Cases that are shown without --all.
MOST_SHOWN = 10

operator_option = click.option(
    "--operator",
    "operators",
    multiple=True,
    metavar="NAME,NAME...",
    shell_complete=completing.conformance_operators,
    help="These integer operators alone.",
)
limit_option = click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most N cases, evenly spread.")


@click.group("conformance")
def conformance_command() -> None:
    """Make cases of every integer operator, and score a runtime on them.

    Exit code 0: done; of a score: every answer is right. 1: an answer is wrong, or there is none. 2: bad usage or
    input.
    """


@conformance_command.command("make", short_help="Write a pack: models of one layer, inputs, expected outputs.")
@out_option
@click.option(
    "--profile",
    "--profiles",
    "profiles",
    multiple=True,
    default=("ort",),
    show_default="ort",
    metavar="NAMES",
    shell_complete=completing.profiles,
    help="The arithmetics whose outputs are expected, separated by commas.",
)
@operator_option
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    metavar="N",
    help="At most N cases for each operator and profile, evenly spread.",
)
@json_option
def make_command(
    out: Path, profiles: tuple[str, ...], operators: tuple[str, ...], limit: int | None, as_json: bool
) -> None:
    """Write a conformance pack: for each integer operator, models of one layer with inputs and expected outputs.

    The inputs drive each rule to where implementations differ: exact ties of both signs, saturation of each stage,
    accumulators at their bounds, zero points at both ends. Each case's desc.json says what was measured, and what no
    input can reach and why. The same command gives the same bytes.

    Exit code 0: done. 2: bad usage, or a folder that cannot be written; then nothing is written.
    """
    named = [profile_with(text, host_float=False) for text in listed(profiles)]
    with ERROR_CONSOLE.status("making cases") as status:
        made = make(out, named, listed(operators), limit, lambda op: status.update(f"making cases of {op}"))
    if as_json:
        print_json(made.as_json())
    else:
        print_made(made)


@conformance_command.command("run", short_help="Score a runtime on a pack.")
@click.argument("pack", metavar="DIR", type=PATH)
@click.option(
    "--runtime",
    required=True,
    metavar="NAME|COMMAND",
    shell_complete=completing.runtimes,
    help=f"One of {', '.join(RUNTIMES)}; or a command, which gets MODEL, a folder of inputs and one for outputs.",
)
@click.option(
    "--profile",
    default="",
    metavar="NAME",
    shell_complete=completing.profile,
    help="The arithmetic to hold it against.  [default: the only]",
)
@operator_option
@limit_option
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=TIMEOUT,
    show_default=True,
    metavar="S",
    help="Seconds that a case may take.",
)
@click.option("--all", "show_all", is_flag=True, help="Show every case that is not right.")
@json_option
@click.option("--junit", "junit_file", type=PATH, metavar="FILE", help="Write JUnit XML.")
@force_option("a file of --junit")
def run_command(
    pack: Path,
    runtime: str,
    profile: str,
    operators: tuple[str, ...],
    limit: int | None,
    timeout: float,
    show_all: bool,
    as_json: bool,
    junit_file: Path | None,
    force: bool,
) -> None:
    """Score a runtime on the conformance pack in the folder DIR.

    Each case runs by itself, for at most --timeout seconds, outside this process. A runtime that says it does not take
    a model refuses it, which is counted apart from a wrong answer; one that crashes, or takes too long, fails.

    A command gets three more arguments: the model, a folder with NAME.npy for each input, and an empty folder in which
    it leaves NAME.npy for each output. Its exit code is 0 where it did, 77 where it does not take the model.

    Exit code 0: there are answers, and all are right. 1: one is wrong, none was given, or a case failed. 2: bad usage,
    no pack, a pack that has changed, or a runtime that is not installed.
    """
    junit_out = target(junit_file, "the report", force) if junit_file is not None else None
    with progress(disable=as_json) as bar:
        task = bar.add_task("scoring", total=None)
        found = score(
            pack,
            runtime,
            profile,
            listed(operators),
            limit,
            timeout,
            lambda done, total: bar.update(task, completed=done, total=total),
        )
    if junit_out is not None:
        write_bytes(junit_out, score_junit(found))
    if as_json:
        print_json(found.as_json())
    else:
        print_score(found, show_all)
    sys.exit(found.exit_code)


# -- what is printed ---------------------------------------------------------------------------------------------------
def print_made(made: PackReport) -> None:
    """Print a row for each operator, what was left out, and how much there is."""
    operators = list(dict.fromkeys(op for those in made.cases.values() for op in those))
    rows = table("operator", *map(name, made.cases), right=tuple(map(name, made.cases)))
    for op in operators:
        rows.add_row(op, *(f"{those.get(op, 0):,}" for those in made.cases.values()))
    CONSOLE.print(rows)
    for left_out in made.left_out:
        what = f"{left_out.layers} layers of {left_out.operator}" if left_out.layers else left_out.operator
        under = f" under {left_out.profile}" if left_out.profile else ""
        print_sentence(f"no cases of {what}{under}: {left_out.reason}")
    CONSOLE.print(f"wrote {made.count:,} cases, {made.bytes:,} bytes, to {name(str(made.out))}")


def print_score(found: Score, show_all: bool) -> None:
    """Print the verdict, a row for each operator, and cases that are not right."""
    counts = found.counts()
    told = ", ".join(f"{counts[verdict]:,} {verdict}" for verdict in VERDICTS)
    print_sentence(f"{found.runtime} under {found.profile}: {told}", "bold red" if found.exit_code else "bold green")
    print_sentence(found.version)
    rows = table("operator", *VERDICTS, "wrong in", right=VERDICTS)
    for op in found.operators:
        own, classes = found.counts(op), found.classes(op)
        kinds = ", ".join(f"{kind} {count}" for kind, count in classes.items())
        rows.add_row(op, *(f"{own[verdict]:,}" for verdict in VERDICTS), kinds, style="red" if own[WRONG] else None)
    CONSOLE.print(rows)
    others = [one for one in found.cases if one.judged.verdict not in (RIGHT, *(() if show_all else ("refused",)))]
    for one in others if show_all else others[:MOST_SHOWN]:
        as_profile = f", as {one.judged.as_profile}" if one.judged.as_profile else ""
        kind = f" ({one.judged.kind}{as_profile})" if one.judged.kind else ""
        print_sentence(f"{one.judged.verdict}{kind}: {one.path}: {one.judged.told}")
    if len(others) > MOST_SHOWN and not show_all:
        print_sentence(f"... and {len(others) - MOST_SHOWN:,} more (--all shows them, and what was refused)")
