"""Define the options that say which inputs a command runs a model on; `qdqnp.api.inputs` reads them."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from qdqnp.api.inputs import Inputs as Inputs
from qdqnp.api.inputs import runs_of_files as runs_of_files
from qdqnp.cli.options import PATH, seed_option
from qdqnp.cli.pictures import PICTURE_KEYS, picture_options, settings_of
from qdqnp.render.console import ERROR_CONSOLE

Command = Callable[..., None]


def note(text: str) -> None:
    """Print what is odd of the inputs."""
    ERROR_CONSOLE.print(f"note: {text}")


def input_options(
    help: str = ".npy or .npz files, a .npy file for each of several inputs under its name, Polygraphy's .json, "
    "pictures, folders of them, a golden set, or one of its cases.  [default: one random input]",
    *,
    required: bool = False,
    several: bool = True,
    loose: bool = False,
    pictures: bool = True,
    option: tuple[str, ...] = ("--input",),
) -> Callable[[Command], Command]:
    """Give a command `--input FILE...`, `--random`, `--seed` and what is done to pictures as one argument `inputs`, an
    Inputs.

    help: the help text of `--input`.
    required: whether files must be given; random inputs are not offered then.
    several: whether to offer `--random`.
    loose: whether something else may stand on the command line without an option: it is no file of `--input` then.
    pictures: whether to offer the options for pictures.
    option: the names of `--input`.
    """

    def decorate(command: Command) -> Command:
        @wraps(command)
        def wrapped(
            *, files: tuple[Path, ...], more: tuple[Path, ...], count: int | None = None, seed: int = 0, **others: Any
        ) -> None:
            said = {key: others.pop(key) for key in PICTURE_KEYS if key in others} if pictures else {}
            settings = settings_of(said.pop("preprocess", None), said)
            beside = more if loose and not files else ()
            named = files if beside else _all_files(files, more)
            command(inputs=Inputs(named, count, seed, settings, beside, note=note), **others)

        made: Command = picture_options(wrapped) if pictures else wrapped
        if not required:
            made = seed_option(made)
            if several:
                number = click.IntRange(min=1)
                made = click.option("--random", "count", type=number, metavar="N", help="Seeded random inputs.")(made)
        made = click.argument("more", nargs=-1, type=PATH, metavar="[DUMP]" if loose else "")(made)
        files = {"multiple": True, "required": required, "type": PATH, "metavar": "FILE...", "help": help}
        return click.option(*option, "files", **files)(made)  # type: ignore[arg-type]

    return decorate


def _all_files(files: tuple[Path, ...], more: tuple[Path, ...]) -> tuple[Path, ...]:
    """Return the files of `--input A B C` (click passes all but the first as arguments) or of `--input A --input B`."""
    if more and len(files) > 1:
        raise click.UsageError("several files go after one --input, or each after its own")
    if more and not files:
        raise click.UsageError("input files go after --input")
    return (*files, *more)
