"""The inputs that a model runs on: arrays, files, pictures and golden sets, or seeded random ones."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, groupby
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from qdqnp import golden_sets
from qdqnp.api.arguments import AnyPath
from qdqnp.api.progress import LOG
from qdqnp.element_types import from_plain
from qdqnp.errors import InputError, Problem
from qdqnp.files.paths import FILE, FOLDER, kind_of
from qdqnp.golden_sets.manifest import MANIFEST
from qdqnp.inputs.arrays import input_arrays
from qdqnp.inputs.files import Feeds, split_batches
from qdqnp.inputs.pictures import Preprocessing, preprocessing_from, read_preprocessing
from qdqnp.inputs.random_inputs import random_feeds
from qdqnp.inputs.runs import Run, runs_of
from qdqnp.program import Program
from qdqnp.quant import Array

#: The archive of one case of a golden set in format npz.
CASE_NAME = re.compile(r"case_\d{5}\.npz")
UNSCALED = "pictures are passed as 0 to 255, unscaled: scale, mean and std of the preprocessing change that"
#: One input of a model: an array for a model with one input, arrays by name, or a file.
OneInput: TypeAlias = "AnyPath | Array | Mapping[str, Array]"
#: What is done to pictures: a TOML file, its values by name, or a Preprocessing.
AnyPreprocessing: TypeAlias = "AnyPath | Mapping[str, Any] | Preprocessing"


@dataclass(frozen=True)
class Inputs:
    """The inputs that a call, or a command's `--input`, `--random` and `--seed`, ask for."""

    #: Files, folders of pictures, golden sets.
    files: tuple[Path, ...] = ()
    #: Number of random inputs; None where it was not given.
    count: int | None = None
    #: Seed of the random inputs.
    seed: int = 0
    #: What is done to pictures; None where nothing is said of it.
    pictures: Preprocessing | None = None
    #: What stands on the command line without an option.
    loose: tuple[Path, ...] = ()
    #: Arrays, and files between them, in the place of `files`.
    arrays: Sequence[OneInput] = ()
    #: Told what is odd of pictures.
    note: Callable[[str], None] = LOG.warning

    @property
    def random(self) -> int:
        """Return the number of random inputs: one where neither inputs nor a number is given."""
        return self.count or (0 if self.files or self.arrays else 1)

    @property
    def given(self) -> bool:
        """Tell whether inputs, a number of random ones or their seed was asked for."""
        return bool(self.files or self.arrays) or self.count is not None or self.seed != 0

    @property
    def drawn(self) -> int | None:
        """Return the seed where some inputs are random, else None."""
        return self.seed if self.random else None

    def runs(self, program: Program) -> list[Run]:
        """Return the runs of what was given, without the random ones. Raises InputError and GoldenError."""
        found = runs_of_files(program, self.files, self.pictures, self.note)
        for one in self.arrays:
            found += _runs_of_one(program, one, self.pictures, self.note)
        return found

    def feeds(self, program: Program) -> tuple[Iterator[Feeds], int]:
        """Return all inputs and how many there are: those that were given, then the random ones.

        Those of files are read one after the other, random ones are made when they are needed. Raises InputError, and
        GoldenError for a damaged set.
        """
        read = self.runs(program)
        made = random_feeds(program, self.random, self.seed)
        return chain((run.feeds() for run in read), made), len(read) + self.random


#: What the functions take as inputs.
AnyInputs: TypeAlias = "Inputs | OneInput | Iterable[OneInput] | None"


def inputs_of(inputs: AnyInputs, random: int | None, seed: int, preprocess: AnyPreprocessing | None) -> Inputs:
    """Return the inputs that a call asks for.

        inputs: arrays, arrays by name or files, one or several; None for random inputs alone.
        random: number of seeded random inputs; None for one where `inputs` is None.
        seed: their seed.
        preprocess: what is done to pictures.

    Raises InputError for what is neither array nor file, and for preprocessing that is not valid.
    """
    if isinstance(inputs, Inputs):
        return inputs
    if random is not None and random < 1:
        raise InputError("no inputs", [Problem("random", "at least 1", str(random))])
    found: list[Any]
    if inputs is None:
        found = []
    elif isinstance(inputs, str | os.PathLike | np.ndarray | Mapping):
        found = [inputs]
    else:
        found = list(inputs)
    for at, one in enumerate(found):
        if not isinstance(one, str | os.PathLike | np.ndarray | Mapping):
            problem = Problem(f"inputs[{at}]", "an array, arrays by name, or a file", type(one).__name__)
            raise InputError("no inputs of a model", [problem])
    if inputs is not None and not found:
        raise InputError("no inputs", [Problem("inputs", "at least one", "none")])
    pictures = preprocessing_of(preprocess)
    if all(isinstance(one, str | os.PathLike) for one in found):
        return Inputs(tuple(Path(one) for one in found), random, seed, pictures)
    return Inputs((), random, seed, pictures, arrays=tuple(found))


def preprocessing_of(given: AnyPreprocessing | None) -> Preprocessing | None:
    """Return what is done to pictures; None where nothing is said. Raises InputError for what is not valid."""
    if given is None or isinstance(given, Preprocessing):
        return given
    if isinstance(given, Mapping):
        values = {
            key: list(value) if isinstance(value, tuple) and key in ("mean", "std") else value
            for key, value in given.items()
        }
        return preprocessing_from(values, "preprocess")
    return read_preprocessing(Path(given))


def _runs_of_one(
    program: Program, one: OneInput, pictures: Preprocessing | None, note: Callable[[str], None]
) -> list[Run]:
    """Return the runs of arrays, split along the batch as those of a file are, or of a file."""
    if isinstance(one, str | os.PathLike):
        return runs_of_files(program, [Path(one)], pictures, note)
    if not isinstance(one, Mapping):
        if len(program.inputs) != 1:
            names = ", ".join(f"'{name}'" for name in program.inputs[:20])
            problem = Problem("inputs", f"arrays by name: {names}", "one array without a name")
            raise InputError("the model has not exactly one input", [problem])
        one = {program.inputs[0]: one}
    arrays = {name: np.asarray(array) for name, array in one.items()}
    known = arrays.keys() <= program.tensors.keys()  # else the run says which is unknown
    split = list(split_batches(arrays, program)) if known and arrays else [arrays]
    return [Run([f"input {number}"], partial(dict, feeds)) for number, feeds in enumerate(split)]


def runs_of_files(
    program: Program,
    paths: Iterable[Path],
    pictures: Preprocessing | None,
    note: Callable[[str], None] = LOG.warning,
) -> list[Run]:
    """Return the runs of files, in their order: of arrays, of pictures, and of golden sets, which are the inputs that
    they were made of.

        program: the model.
        paths: the files.
        pictures: what is done to pictures.
        note: told what is odd of pictures.

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
        note(UNSCALED)
    return found


def _is_plain(paths: tuple[Path, ...]) -> bool:
    """Tell whether a file, or a folder, is neither one of several inputs nor a golden set, nor a case of one."""
    return len(paths) == 1 and not is_golden_set(paths[0])


def is_golden_set(path: Path) -> bool:
    """Tell whether a path is a golden set, or a case of one."""
    return _set_of(path) is not None


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
