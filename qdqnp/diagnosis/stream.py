"""Read a stream of frames that a board wrote into a file: a tensor for each frame, in as many runs as there were."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np

from qdqnp.errors import InputError, Problems, QdqnpError
from qdqnp.limits import MAX_MEMBERS
from qdqnp.peers.devices.frames import DONE, ERROR, MAGIC, TENSOR, Frame, decode
from qdqnp.quant import Array

#: Runs of one stream.
MAX_RUNS = 10_000


def is_stream(start: bytes) -> bool:
    """Tell whether a file with these first bytes holds frames; a board may print lines before the first."""
    return MAGIC in start


def tensors_of(data: bytes, where: str) -> dict[str, Array]:
    """Return the tensors by name, those of several runs stacked along a new first axis. A 'done' frame ends a run.

    where: what the bytes are, for messages.

    Raises InputError that lists every frame that cannot be read, names that come twice in a run, and tensors that some
    runs have and others do not.
    """
    problems = Problems()
    runs = _runs(data, where, problems)
    found: dict[str, Array] = {}
    for name in dict.fromkeys(name for run in runs for name in run):
        arrays = [run[name] for run in runs if name in run]
        if len(arrays) != len(runs):
            problems.add(f"{where}, tensor '{name}'", f"one in each of {len(runs)} runs", f"{len(arrays)}")
        elif len({(array.shape, array.dtype) for array in arrays}) > 1:
            shapes = ", ".join(dict.fromkeys(f"{array.dtype}{list(array.shape)}" for array in arrays))
            problems.add(f"{where}, tensor '{name}'", "one dtype and shape in all runs", shapes)
        else:
            found[name] = arrays[0] if len(arrays) == 1 else np.stack(arrays)
    problems.raise_if_any("cannot read the stream", InputError)
    return found


def _runs(data: bytes, where: str, problems: Problems) -> Sequence[dict[str, Array]]:
    runs: list[dict[str, Array]] = [{}]
    at, number = data.find(MAGIC), 0
    while at >= 0:
        file = io.BytesIO(data)
        file.seek(at)
        place = f"{where}, frame {number} (byte {at})"
        number += 1
        try:
            frame = decode(file)
        except QdqnpError as error:
            for problem in error.within(place).problems:
                problems.note(problem.where, problem.expected, problem.got, problem.hint)
            at = data.find(MAGIC, at + 1)
            continue
        _take(frame, runs, place, problems)
        if number > MAX_RUNS * MAX_MEMBERS or len(runs) > MAX_RUNS:
            problems.add(place, f"at most {MAX_RUNS} runs of {MAX_MEMBERS} tensors", "more")
            break
        at = data.find(MAGIC, file.tell())
    return [run for run in runs if run]


def _take(frame: Frame, runs: list[dict[str, Array]], place: str, problems: Problems) -> None:
    if frame.kind == DONE:
        runs.append({})
    elif frame.kind == ERROR:
        problems.add(place, "a tensor", f"an error of the device: {frame.text}")
    elif frame.kind == TENSOR and frame.array is not None:
        if frame.name in runs[-1]:
            problems.add(place, "each tensor once in a run", f"'{frame.name}' again", "Is a 'done' frame missing?")
        runs[-1].setdefault(frame.name, frame.array)
