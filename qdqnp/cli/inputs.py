"""Provide the inputs that commands run a model on: those of files, pictures and golden sets, or seeded random ones."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial, wraps
from itertools import chain, groupby
from pathlib import Path
from typing import Any

import click

from qdqnp import golden_sets
from qdqnp.cli.options import PATH, seed_option
from qdqnp.cli.pictures import PICTURE_KEYS, picture_options, settings_of
from qdqnp.element_types import from_plain
from qdqnp.files.paths import FILE, FOLDER, kind_of
from qdqnp.golden_sets.manifest import MANIFEST
from qdqnp.inputs.arrays import input_arrays
from qdqnp.inputs.files import Feeds, split_batches
from qdqnp.inputs.pictures import Preprocessing
from qdqnp.inputs.random_inputs import random_feeds
from qdqnp.inputs.runs import Run, runs_of
from qdqnp.program import Program
from qdqnp.render.console import ERROR_CONSOLE

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
    #: What is done to pictures; None where nothing is said of it.
    pictures: Preprocessing | None = None
    #: What stands on the command line without an option.
    loose: tuple[Path, ...] = ()

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

        Those of files are read one after the other, random ones are made when they are needed. Raises InputError, and
        GoldenError for a damaged set.
        """
        read = runs_of_files(program, self.files, self.pictures)
        made = random_feeds(program, self.random, self.seed)
        return chain((run.feeds() for run in read), made), len(read) + self.random


def runs_of_files(program: Program, paths: Iterable[Path], pictures: Preprocessing | None) -> list[Run]:
    """Return the runs of files, in their order: of arrays, of pictures, and of golden sets, which are the inputs that
    they were made of.

    Raises InputError for what cannot be read or does not fit, GoldenError for a damaged set.
    """
    found: list[Run] = []
    for plain, group in groupby(_together(tuple(paths), program), _is_plain):
        same = list(group)
        if plain:
            found += runs_of(program, [path for (path,) in same], pictures)
        else:
            found += [run for files in same for run in _read(files, program)]
    if any(run.unscaled for run in found):
        ERROR_CONSOLE.print("note: pictures are passed as 0 to 255, unscaled; see --scale, --mean and --std")
    return found


def _is_plain(paths: tuple[Path, ...]) -> bool:
    """Tell whether a file, or a folder, is neither one of several inputs nor a golden set, nor a case of one."""
    return len(paths) == 1 and _set_of(paths[0]) is None


def _set_of(path: Path) -> Path | None:
    """Return the folder of the golden set that a path is, or is a case of; None for others."""
    folder = path if kind_of(path) == FOLDER else path.parent.parent
    if kind_of(folder / MANIFEST) != FILE or (folder != path and not CASE_NAME.fullmatch(path.name)):
        return None
    return folder


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


def _read(paths: tuple[Path, ...], program: Program) -> Iterator[Run]:
    """Yield the runs of the .npy files of several inputs, of a golden set, or of one case of it."""
    if len(paths) > 1:
        arrays = {}
        for path in paths:
            with input_arrays(path) as held:
                name = path.name.removesuffix(".npy")
                arrays[name] = from_plain(held.read(held.names[0]), program.tensors[name].dtype)
        names = ", ".join(path.name for path in paths)
        for number, feeds in enumerate(split_batches(arrays, program)):
            yield Run([f"{names}[{number}]"], partial(dict, feeds))
        return
    (path,) = paths
    folder = _set_of(path)
    assert folder is not None
    given, known = golden_sets.read(folder), program.tensors

    def of_case(case: int) -> Feeds:
        arrays = given.feeds(case)
        return {n: from_plain(array, known[n].dtype) if n in known else array for n, array in arrays.items()}

    for case in range(given.inputs) if folder == path else [int(path.stem.rpartition("_")[2])]:
        yield Run([f"{folder.name}[{case}]"], partial(of_case, case))


def input_options(
    help: str = ".npy or .npz files, a .npy file for each of several inputs under its name, pictures, folders of them, "
    "a golden set, or one of its cases.  [default: one random input]",
    *,
    required: bool = False,
    several: bool = True,
    loose: bool = False,
    pictures: bool = True,
) -> Callable[[Command], Command]:
    """Give a command `--input FILE...`, `--random`, `--seed` and what is done to pictures as one argument `inputs`, an
    Inputs.

    help: the help text of `--input`.
    required: whether files must be given; random inputs are not offered then.
    several: whether to offer `--random`.
    loose: whether something else may stand on the command line without an option: it is no file of `--input` then.
    pictures: whether to offer the options for pictures.
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
            command(inputs=Inputs(named, count, seed, settings, beside), **others)

        made: Command = picture_options(wrapped) if pictures else wrapped
        if not required:
            made = seed_option(made)
            if several:
                number = click.IntRange(min=1)
                made = click.option("--random", "count", type=number, metavar="N", help="Seeded random inputs.")(made)
        made = click.argument("more", nargs=-1, type=PATH, metavar="[DUMP]" if loose else "")(made)
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
