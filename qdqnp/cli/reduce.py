"""`qdqnp reduce`: the smallest model for which a command still fails."""

from __future__ import annotations

from pathlib import Path

import click

from qdqnp.cli.options import PATH, ModelFile, force_option, json_option, model_argument
from qdqnp.files.atomic import target, write_bytes
from qdqnp.reduction.reduce import TIMEOUT, Reduced, reduce
from qdqnp.render.console import CONSOLE, name, print_json, print_sentence, progress, table


@click.command("reduce")
@model_argument
@click.option("--while", "command", required=True, metavar="CMD", help="The command; {model} is the candidate's path.")
@click.option("--out", required=True, type=PATH, metavar="FILE", help="The smallest model.")
@click.option("--code", type=int, metavar="N", help="The exit code that counts.  [default: that on MODEL, not 0]")
@click.option("--says", default="", metavar="TEXT", help="What the command's output must have, too.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=TIMEOUT,
    show_default=True,
    metavar="S",
    help="Seconds that the command may take for one candidate.",
)
@click.option("--results", type=PATH, metavar="DIR", help="Keep what was tried, to go on after an interruption.")
@force_option("a file of --out")
@json_option
def reduce_command(
    model: ModelFile,
    command: str,
    out: Path,
    code: int | None,
    says: str,
    timeout: float,
    results: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Find the smallest model for which CMD still fails as it does on MODEL, for a ticket that somebody will read.

    A candidate counts where CMD has the exit code that it has on MODEL, and says --says. That code must not be 0: for a
    command that succeeds where the fault is, give --code 0. No shell runs CMD; without {model} the path is its last
    argument. Nodes go first, then sizes, the values of constants, and names. The same command gives the same model.

    A candidate for which CMD takes longer than --timeout does not count, and neither does one that onnx refuses, unless
    it refuses MODEL itself.

    Exit code 0: done. 2: bad usage or a bad model, or CMD does not fail on MODEL; then nothing is written.
    """
    place = target(out, "the model", force)
    with progress(disable=as_json) as bar:
        task = bar.add_task("reducing", total=None)
        made = reduce(
            model,
            command,
            timeout=timeout,
            code=code,
            says=says,
            results=results,
            notify=lambda runs, nodes, counts: bar.update(task, completed=runs, description=f"{nodes} nodes"),
        )
    write_bytes(place, made.model)
    if as_json:
        print_json(made.as_json())
    else:
        print_reduced(made)
        CONSOLE.print(f"wrote {name(str(out))}")


def print_reduced(made: Reduced) -> None:
    """Print what the model was and what is left of it."""
    rows = table("", "before", "after", right=("before", "after"))
    for key in made.before:
        rows.add_row(key, f"{made.before[key]:,}", f"{made.after[key]:,}")
    CONSOLE.print(rows)
    print_sentence(f"exit code {made.code}, {made.runs} candidates run, {made.kept} known, {made.seconds:.0f} s")
