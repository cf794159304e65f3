"""`qdqnp probe`: write small models that make a board tell its arithmetic, and print what `identify` makes of the
answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from qdqnp.cli.options import out_option
from qdqnp.diagnosis.probe.answers import Answer
from qdqnp.diagnosis.probe.catalog import probes
from qdqnp.diagnosis.probe.folder import write_probes
from qdqnp.render.console import CONSOLE, name, table

SHOWN = 4


@click.command("probe")
@out_option
def probe_command(out: Path) -> None:
    """Write small quantized models, their inputs and a page of instructions to a new folder. Run on a board, they tell
    how it rounds halves in the first and the last stage, how Add rounds the operand that it shifts, which generation of
    ST's compiler it has, where its accumulator ends (past 2^23 and 2^31), what one unit of a chain hands to the next,
    whether it splits a large kernel, how it averages 49 elements, and how a Sigmoid's table is filled.

    `qdqnp identify DIR ANSWERS --fit device.toml` reads what the board gave.

    Exit code 0: done. 2: the folder cannot be written.
    """
    made = probes()
    write_probes(out, made)
    rows = table("probe", "question")
    for probe in made:
        rows.add_row(probe.name, probe.question)
    CONSOLE.print(rows)
    CONSOLE.print(
        f"wrote {len(made)} probes; what to do with them is in {name(str(out / 'README.md'), 200)}",
        soft_wrap=True,
    )


def print_answers(answers: Sequence[Answer]) -> None:
    """Print what each probe's answer leaves of its hypotheses."""
    for answer in answers:
        CONSOLE.print(f"{answer.probe.name}: {answer.probe.question}", style="bold")
        if not answer.remaining:
            text, count = answer.nearest
            missed = f"misses {count} of {answer.codes.size}: {text}"
            CONSOLE.print(f"  no hypothesis gives every code; the nearest {missed}", style="yellow")
        for text in answer.remaining[:SHOWN]:
            CONSOLE.print(f"  {text}", style="green")
        if len(answer.remaining) > SHOWN:
            CONSOLE.print(f"  and {len(answer.remaining) - SHOWN} more; --json lists all")
