"""The inputs that commands run a model on: those of files, or seeded random ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import click

from qdqnp.inputs.files import Feeds, read_feeds
from qdqnp.inputs.random_inputs import random_feeds
from qdqnp.program import Program


def feeds_of(program: Program, files: Sequence[Path], count: int | None, seed: int) -> tuple[Iterator[Feeds], int]:
    """All inputs and how many there are: the files', then `count` random ones, which is one where nothing is given.

    Those of files are views of them, random ones are made when needed. Raises InputError.
    """
    read = [feeds for path in files for feeds in read_feeds(path, program)]
    drawn = count or (0 if files else 1)
    return chain(read, random_feeds(program, drawn, seed)), len(read) + drawn


def files_of(inputs: tuple[Path, ...], more: tuple[Path, ...]) -> tuple[Path, ...]:
    """The files of `--input A B C` (click hands all but the first over as arguments) or of `--input A --input B`."""
    if more and len(inputs) > 1:
        raise click.UsageError("several files go after one --input, or each after its own")
    if more and not inputs:
        raise click.UsageError("input files go after --input")
    return (*inputs, *more)
