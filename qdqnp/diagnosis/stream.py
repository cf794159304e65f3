"""Read a stream of frames that a board wrote into a file: a tensor for each frame, in as many runs as there were.

The stream is read twice, a frame at a time: once to find the frames, and then those that are asked for. It may be
larger than memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from qdqnp.diagnosis.dumps.stored import InFrame, Stacked, Stored
from qdqnp.errors import Problems, QdqnpError
from qdqnp.files.regular import open_regular
from qdqnp.limits import MAX_MEMBERS
from qdqnp.peers.devices.frames import DONE, ERROR, MAGIC, MAX_NOISE, TENSOR, Frame, decode

#: Runs of one stream.
MAX_RUNS = 10_000
#: Bytes in which the next frame is looked for at once.
CHUNK = 2**20

Run = dict[str, Stored]


def is_stream(path: Path) -> bool:
    """Tell whether a file holds frames; a board may print lines before the first. Raises OSError."""
    with open_regular(path) as file:
        return MAGIC in file.read(MAX_NOISE)


def tensors_of(path: Path, problems: Problems) -> dict[str, Stored]:
    """Return the tensors by name, those of several runs stacked along a new first axis. A 'done' frame ends a run.

    problems: takes every frame that cannot be read, names that come twice in a run, and tensors that some runs have and
        others do not, or in another shape; these are left out.

    Raises OSError.
    """
    where = f"file {path}"
    runs = _runs(path, where, problems)
    found: dict[str, Stored] = {}
    for name in dict.fromkeys(name for run in runs for name in run):
        arrays = [run[name] for run in runs if name in run]
        if len(arrays) != len(runs):
            problems.add(f"{where}, tensor '{name}'", f"one in each of {len(runs)} runs", f"{len(arrays)}")
        elif len({(array.shape, array.dtype) for array in arrays}) > 1:
            shapes = ", ".join(dict.fromkeys(f"{array.dtype}{list(array.shape)}" for array in arrays))
            problems.add(f"{where}, tensor '{name}'", "one dtype and shape in all runs", shapes)
        else:
            found[name] = arrays[0] if len(arrays) == 1 else Stacked(arrays)
    return found


def _runs(path: Path, where: str, problems: Problems) -> Sequence[Run]:
    runs: list[Run] = [{}]
    with open_regular(path) as file:
        for number, at in enumerate(_places(file)):
            place = f"{where}, frame {number} (byte {at})"
            if number > MAX_RUNS * MAX_MEMBERS or len(runs) > MAX_RUNS:
                problems.add(place, f"at most {MAX_RUNS} runs of {MAX_MEMBERS} tensors", "more")
                break
            try:
                frame = decode(file)
            except QdqnpError as error:
                for problem in error.within(place).problems:
                    problems.note(problem.where, problem.expected, problem.got, problem.hint)
                file.seek(at + 1)
                continue
            _take(frame, path, at, runs, place, problems)
    return [run for run in runs if run]


def _places(file: BinaryIO) -> Iterator[int]:
    """Yield where the next frame begins, from where the file was left, and leave the file there."""
    at, data = 0, b""
    while True:
        at, data = file.tell(), b""
        while (found := data.find(MAGIC)) < 0:
            at, data = at + max(len(data) - len(MAGIC) + 1, 0), data[-len(MAGIC) + 1 :]
            more = file.read(CHUNK)
            if not more:
                return
            data += more
        file.seek(at + found)
        yield at + found


def _take(frame: Frame, path: Path, at: int, runs: list[Run], place: str, problems: Problems) -> None:
    if frame.kind == DONE:
        runs.append({})
    elif frame.kind == ERROR:
        problems.add(place, "a tensor", f"an error of the device: {frame.text}")
    elif frame.kind == TENSOR and frame.array is not None:
        if frame.name in runs[-1]:
            problems.add(place, "each tensor once in a run", f"'{frame.name}' again", "Is a 'done' frame missing?")
        runs[-1].setdefault(frame.name, InFrame(path, at, frame.array))
