"""The options of labelled inputs and of how they are evaluated, which the commands share that count what is right."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from qdqnp.cli.engine import engine_options
from qdqnp.cli.options import PATH, threads_option
from qdqnp.evaluation.evaluate import BATCH
from qdqnp.inspection.outputs import read_labels

Command = Callable[..., None]

labels_option = click.option(
    "--labels", type=PATH, metavar="FILE", help="The class of each picture: lines of name and class."
)
class_names_option = click.option("--class-names", type=PATH, metavar="FILE", help="Class names, one a line.")
class_offset_option = click.option(
    "--class-offset",
    type=click.IntRange(min=0),
    metavar="N",
    help="The class of the scores that is class 0 of the labels: 1 where class 0 is a background.",
)


def evaluation_options(command: Command) -> Command:
    """Give a command the options of `qdqnp eval` that say what the classes are and where it is computed, as one
    argument `how`: keyword arguments of qdqnp.evaluation.evaluate."""

    @wraps(command)
    def wrapped(
        *,
        labels: Path | None,
        class_names: Path | None,
        class_offset: int | None,
        scores: str | None,
        batch: int,
        threads: int,
        skip_bad: bool,
        where: dict[str, Any],
        **others: Any,
    ) -> None:
        how = {
            "labels": labels,
            "class_names": None if class_names is None else read_labels(class_names),
            "class_offset": class_offset,
            "scores": scores,
            "batch": batch,
            "threads": threads,
            "skip_bad": skip_bad,
            **where,
        }
        command(how=how, **others)

    made: Command = wrapped
    for option in reversed(
        (
            labels_option,
            class_names_option,
            class_offset_option,
            click.option(
                "--scores",
                metavar="NAME",
                help="The output that holds the scores.  [default: the only one (N, classes)]",
            ),
            click.option(
                "--batch",
                type=click.IntRange(min=1),
                default=BATCH,
                show_default=True,
                metavar="N",
                help="Inputs that are computed together where a model takes any number.",
            ),
            threads_option,
            engine_options(),
            click.option(
                "--skip-bad", is_flag=True, help="Accept a result without the inputs that cannot be evaluated."
            ),
        )
    ):
        made = option(made)
    return made
