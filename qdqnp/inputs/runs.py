"""Split files and pictures into runs of a model: neighbouring pictures share batches, arrays are split by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path

from qdqnp.inputs.files import Feeds, read_feeds
from qdqnp.inputs.pictures import (
    Picture,
    Preprocessing,
    batches,
    is_picture,
    list_pictures,
    picture_feeds,
    resolved,
)
from qdqnp.program import Program


@dataclass(frozen=True)
class Run:
    """One run of a model."""

    #: Names of the run's inputs along the batch axis: files, or rows of a file.
    names: Sequence[str]
    #: Reads the arrays.
    feeds: Callable[[], Feeds]
    #: Whether the inputs are pictures that are passed as 0 to 255.
    unscaled: bool = False


@dataclass(frozen=True)
class AllFeeds:
    """The arrays of several runs, which are read again each time somebody goes through them."""

    runs: Sequence[Run]

    def __iter__(self) -> Iterator[Feeds]:
        return (run.feeds() for run in self.runs)

    def __len__(self) -> int:
        return len(self.runs)


def runs_of(program: Program, paths: Iterable[Path], settings: Preprocessing | None) -> list[Run]:
    """List the runs in the order of the paths; neighbouring pictures share batches.

        program: the model.
        paths: array files, pictures, or folders of pictures.
        settings: preprocessing of pictures; where it is given, array files hold pictures too.

    Raises InputError for what cannot be read or does not fit.
    """
    runs: list[Run] = []
    for pictured, group in groupby(paths, lambda path: settings is not None or is_picture(path)):
        if pictured:
            pictures = [picture for path in group for picture in list_pictures(path)]
            runs += picture_runs(program, pictures, settings)
        else:
            runs += [run for path in group for run in _array_runs(program, path)]
    return runs


def picture_runs(program: Program, pictures: Sequence[Picture], settings: Preprocessing | None) -> list[Run]:
    """Return the runs of pictures, as many in each as the model's batch has. Raises InputError for pictures that do not
    fill the last one, and for preprocessing that does not fit the model."""
    chosen = resolved(settings or Preprocessing(), program)
    unscaled = chosen.dtype == "float32" and not chosen.scales
    return [
        Run([picture.name for picture in batch], partial(picture_feeds, batch, chosen, program), unscaled)
        for batch in batches(pictures, program)
    ]


def _array_runs(program: Program, path: Path) -> list[Run]:
    found = list(read_feeds(path, program))
    sizes = [next((len(array) for array in feeds.values() if array.ndim), 1) for feeds in found]
    if sizes == [1]:
        return [Run([path.name], lambda: found[0])]
    starts = [sum(sizes[:index]) for index in range(len(sizes))]
    return [
        Run([f"{path.name}[{row}]" for row in range(start, start + size)], partial(dict, feeds))
        for feeds, start, size in zip(found, starts, sizes, strict=True)
    ]
