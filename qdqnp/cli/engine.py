"""The options of where many inputs are computed, which the commands share that have many."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from qdqnp.cli.options import PATH
from qdqnp.engine import Workplace

Command = Callable[..., None]


def engine_options(workers: int | None = None) -> Callable[[Command], Command]:
    """Give a command `--workers`, `--scheduler` and `--results` as one argument `where`: keyword arguments of
    qdqnp.engine.run_shards, and of what passes them on to it.

    workers: the number of processes where `--workers` is not given; None for one for each processor.
    """
    default = "one for each processor" if workers is None else str(workers)

    def decorate(command: Command) -> Command:
        @wraps(command)
        def wrapped(*, workers: int | None, scheduler: str | None, results: Any, **others: Any) -> None:
            if scheduler is not None and workers is not None and given("workers"):
                raise click.UsageError("--workers is the number of processes on this machine: not with --scheduler")
            command(where=Workplace(workers=workers, scheduler=scheduler, results=results), **others)

        made: Command = wrapped
        for option in reversed(
            (
                click.option(
                    "--workers",
                    type=click.IntRange(min=1),
                    default=workers,
                    metavar="N",
                    help=f"Processes that compute; 1 is this one. No result depends on it.  [default: {default}]",
                ),
                click.option(
                    "--scheduler",
                    metavar="ADDRESS",
                    help="Compute on this Dask cluster instead, such as tcp://host:8786.",
                ),
                click.option(
                    "--results",
                    type=PATH,
                    metavar="DIR",
                    help="Keep what is finished in this folder: a run that was interrupted goes on from there.",
                ),
            )
        ):
            made = option(made)
        return made

    return decorate


def given(option: str) -> bool:
    """Tell whether an option stands on the command line."""
    source = click.get_current_context().get_parameter_source(option)
    return source is not click.core.ParameterSource.DEFAULT
