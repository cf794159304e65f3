"""Labels that come with data: the class of each input, as an array of an .npz."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from qdqnp.errors import InputError, Problem
from qdqnp.files.npy import Arrays
from qdqnp.inputs.arrays import input_arrays
from qdqnp.inputs.runs import Run
from qdqnp.quant import Array

#: The names that an array of labels has.
NAMES = ("y", "label", "labels")


def labels_of(paths: Iterable[Path], runs: Sequence[Run]) -> list[Array] | None:
    """Return the labels of each run, where every file is an .npz with an array of integers named y, label or labels.

        paths: the files of the inputs.
        runs: what they became, in order.

    Returns None where a file has no labels. Raises InputError where there are not as many as inputs.
    """
    found: list[Array] = []
    for path in paths:
        labels = _labels_in(path) if path.suffix == ".npz" else None
        if labels is None:
            return None
        found.append(labels)
    every = np.concatenate(found) if found else np.zeros(0, np.int64)
    rows = [len(run.names) for run in runs]
    if every.size != sum(rows):
        problem = Problem("labels", f"{sum(rows)}, one for each input", str(every.size))
        raise InputError("the labels do not fit the inputs", [problem])
    return np.split(every, np.cumsum(rows)[:-1]) if rows else []


def _labels_in(path: Path) -> Array | None:
    with input_arrays(path) as arrays:
        name = labels_name(arrays)
        return None if name is None else arrays.read(name)


def labels_name(arrays: Arrays) -> str | None:
    """Return the name of the array of labels: the first of NAMES that holds integers (N,); None where none does."""
    for name in NAMES:
        if name in arrays.names:
            header = arrays.header(name)
            if len(header.shape) == 1 and header.dtype.kind in "iu":
                return name
    return None
