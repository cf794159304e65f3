"""The output of a model that holds the scores of the classes, and what a row of it says."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qdqnp.errors import InputError, Problem
from qdqnp.graph import Shape
from qdqnp.program import Program
from qdqnp.quant import Array

#: The class of a row of scores that has none, because a score is not a number.
NO_CLASS_FOUND = None


@dataclass(frozen=True)
class Scores:
    """The output that holds the scores."""

    #: Its name.
    name: str
    #: How many classes it has.
    classes: int

    def rows(self, array: Array, count: int) -> Array:
        """Return scores (count, classes) of the output; of a batch that was filled up, the first ones."""
        return array.reshape(len(array), -1)[:count]


def scores_of(program: Program, name: str | None = None) -> Scores:
    """Return the output that holds the scores: (N, classes), or with axes of size 1 behind it.

        program: the model.
        name: the output's name; None where there is one alone that may be it.

    Raises InputError where it is not clear, or its number of classes is not known.
    """
    found = {output: size for output in program.outputs if (size := _classes(program.tensors[output].shape))}
    if name is not None and name in found:
        return Scores(name, found[name])
    if name is None and len(found) == 1:
        return Scores(*next(iter(found.items())))
    listed = ", ".join(f"'{output}' {list(program.tensors[output].shape)}" for output in program.outputs[:20])
    hint = "" if name is not None or not found else f"Name it: --scores {next(iter(found))}"
    expected = f"an output '{name}' (N, classes)" if name is not None else "one output (N, classes)"
    raise InputError("the scores are not clear", [Problem("outputs", expected, listed, hint)])


def _classes(shape: Shape) -> int:
    """Return the number of classes of scores of this shape; 0 where it is none of scores."""
    sizes = shape[1:]
    if not sizes or not all(isinstance(size, int) for size in sizes):
        return 0
    count = math.prod(size for size in sizes if isinstance(size, int))
    return count if count == sizes[0] and count > 1 else 0


def best(scores: Array) -> list[int | None]:
    """Return the class with the largest score of each row, the first among equal ones; NO_CLASS_FOUND for a row with a
    score that is not a number.

    >>> best(np.float32([[1, 3, 3], [0, np.nan, 1]]))
    [1, None]
    """
    found: list[int | None] = scores.argmax(axis=1).tolist()
    if scores.dtype.kind != "f":
        return found
    odd = [bool(row.any()) for row in np.isnan(scores)]
    return [NO_CLASS_FOUND if bad else number for number, bad in zip(found, odd, strict=True)]


def ranks(scores: Array, classes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each row how many classes come before the given one: those with larger scores, and of equal ones the
    lower. A row with a score that is not a number has the given class behind all others.

        scores: (N, classes).
        classes: (N,), each a class of the scores.

    >>> ranks(np.float32([[1, 3, 3], [5, 3, 3]]), np.array([2, 2])).tolist()
    [1, 2]
    """
    wanted = scores[np.arange(len(scores)), classes][:, np.newaxis]
    lower = np.arange(scores.shape[1]) < classes[:, np.newaxis]
    before: NDArray[np.int64] = ((scores > wanted) | ((scores == wanted) & lower)).sum(axis=1)
    if scores.dtype.kind == "f":
        before[np.isnan(scores).any(axis=1)] = scores.shape[1]
    return before
