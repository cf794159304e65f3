"""Provide the inputs that commands run a model on: those of files, or seeded random ones."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import wraps
from itertools import chain
from pathlib import Path
from typing import Any

import click

from qdqnp import golden
from qdqnp.cli.options import PATH, seed_option
from qdqnp.element_types import from_plain
from qdqnp.files.paths import FILE, FOLDER, kind_of
from qdqnp.golden.manifest import MANIFEST
from qdqnp.inputs.arrays import input_arrays
from qdqnp.inputs.files import Feeds, read_feeds, split_batches
from qdqnp.inputs.random_inputs import random_feeds
from qdqnp.program import Program

#: The archive of one case of a golden set in format npz.
CASE_NAME = re.compile(r"case_\d{5}\.npz")
Command = Callable[..., None]


@dataclass(frozen=True)
class Inputs:
    """The inputs that `--input`, `--random` and `--seed` ask for."""

    #: The files of `--input`.
    files: tuple[Path, ...]
    #: Number of random inputs; None where the option was not given.
    count: int | None = None
    #: Seed of the random inputs.
    seed: int = 0

    @property
    def random(self) -> int:
        """Return the number of random inputs: one where neither files nor a number is given."""
        return self.count or (0 if self.files else 1)

    @property
    def given(self) -> bool:
        """Tell whether files, a number of random inputs or their seed was asked for."""
        return bool(self.files) or self.count is not None or self.seed != 0

    def feeds(self, program: Program) -> tuple[Iterator[Feeds], int]:
        """Return all inputs and how many there are: the files' inputs, then the random ones.

        Inputs of files are views of the files' arrays; random ones are made when they are needed. Raises InputError.
        """
        read = [feeds for paths in _together(self.files, program) for feeds in _read(paths, program)]
        return chain(read, random_feeds(program, self.random, self.seed)), len(read) + self.random


def _together(files: tuple[Path, ...], program: Program) -> Iterator[tuple[Path, ...]]:
    """Yield the files that make inputs together: each by itself, but for .npy files with the names of a model's several
    inputs, one of each."""
    wanted = {f"{name}.npy" for name in program.inputs}
    size = len(wanted)
    at = 0
    while at < len(files):
        group = files[at : at + size]
        named = size > 1 and {path.name for path in group} == wanted
        yield group if named else files[at : at + 1]
        at += size if named else 1


def _read(paths: tuple[Path, ...], program: Program) -> Iterator[Feeds]:
    """Yield the inputs of one file, of the .npy files of several inputs, of a golden set, or of one case of it."""
    if len(paths) > 1:
        arrays = {}
        for path in paths:
            with input_arrays(path) as held:
                name = path.name.removesuffix(".npy")
                arrays[name] = from_plain(held.read(held.names[0]), program.tensors[name].dtype)
        yield from split_batches(arrays, program)
        return
    (path,) = paths
    folder = path if kind_of(path) == FOLDER else path.parent.parent
    if kind_of(folder / MANIFEST) != FILE or (folder != path and not CASE_NAME.fullmatch(path.name)):
        yield from read_feeds(path, program)
        return
    found = golden.read(folder)
    cases = range(found.inputs) if folder == path else [int(path.stem.rpartition("_")[2])]
    for case in cases:
        yield found.feeds(case)


def input_options(
    help: str = ".npy or .npz files of inputs, a .npy file for each of several inputs under its name, a golden set, or "
    "one of its cases.  [default: one random input]",
    *,
    required: bool = False,
    several: bool = True,
) -> Callable[[Command], Command]:
    """Give a command `--input FILE...`, `--random` and `--seed` as one argument `inputs`, an Inputs.

    help: the help text of `--input`.
    required: whether files must be given; random inputs are not offered then.
    several: whether to offer `--random`.
    """

    def decorate(command: Command) -> Command:
        @wraps(command)
        def wrapped(
            *, files: tuple[Path, ...], more: tuple[Path, ...], count: int | None = None, seed: int = 0, **others: Any
        ) -> None:
            command(inputs=Inputs(_all_files(files, more), count, seed), **others)

        made: Command = wrapped
        if not required:
            made = seed_option(made)
            if several:
                number = click.IntRange(min=1)
                made = click.option("--random", "count", type=number, metavar="N", help="Seeded random inputs.")(made)
        made = click.argument("more", nargs=-1, type=PATH, metavar="")(made)
        files = {"multiple": True, "required": required, "type": PATH, "metavar": "FILE...", "help": help}
        return click.option("--input", "files", **files)(made)  # type: ignore[arg-type]

    return decorate


def _all_files(files: tuple[Path, ...], more: tuple[Path, ...]) -> tuple[Path, ...]:
    """Return the files of `--input A B C` (click passes all but the first as arguments) or of `--input A --input B`."""
    if more and len(files) > 1:
        raise click.UsageError("several files go after one --input, or each after its own")
    if more and not files:
        raise click.UsageError("input files go after --input")
    return (*files, *more)
