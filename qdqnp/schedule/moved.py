"""Steps that only move elements: parts of the channels, which stay where they are, and rows and columns that are taken.

What a step moves is not read from its attributes: it is asked what it makes of an image of numbers, all different. So
it is with steps that only give codes another shape.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qdqnp.executor.plan import BoundStep
from qdqnp.graph import Sizes
from qdqnp.ops.movement.resize import Resize
from qdqnp.quant import Array
from qdqnp.schedule.form import Call, Form, bands
from qdqnp.schedule.image import Image, PlacedImage
from qdqnp.schedule.pointwise import TILE


@dataclass(frozen=True, eq=False)
class Move:
    """An output of a step that moves: output[c, y, x] = image[first + c, rows[y], columns[x]]."""

    output: Image
    first: int
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]

    def is_part(self, x: Image) -> bool:
        """Tell whether all rows and columns stay where they are, so that the output is a view of the image."""
        return np.array_equal(self.rows, np.arange(x.height)) and np.array_equal(self.columns, np.arange(x.width))


def moves(bound: BoundStep, x: Image) -> list[Move] | None:
    """Return what a step moves, for each of its outputs; None where it computes, or moves otherwise."""
    step, operator = bound.step, bound.operator
    nearest = isinstance(operator, Resize) and operator.only_moves(step)
    others = [None if operand is None else bound.consts.get(operand.name) for operand in step.inputs[1:]]
    if not (operator.arranges or nearest) or any(
        operand is not None and other is None for operand, other in zip(step.inputs[1:], others, strict=True)
    ):
        return None
    numbers = np.arange(x.size).reshape(1, x.channels, x.height, x.width)
    made, again = (operator.compute(bound.binding, given, *others) for given in (numbers, numbers + x.size))
    found = [_move(name, x, *pair) for name, *pair in zip(step.output_names, made, again, strict=True)]
    return None if None in found else [move for move in found if move is not None]


def reshapes(bound: BoundStep, shape: Sizes) -> Sizes | None:
    """Return the shape that a step gives its only input; None where elements do not stay in their order, or are none.

    shape: of the input.
    """
    step, operator = bound.step, bound.operator
    if not operator.arranges or len(step.inputs) != 1 or len(step.outputs) != 1 or 0 in shape:
        return None
    numbers = np.arange(math.prod(shape))
    (made,) = operator.compute(bound.binding, numbers.reshape(shape))
    return made.shape if np.array_equal(made.reshape(-1), numbers) else None


def _move(name: str, x: Image, numbers: Array, again: Array) -> Move | None:
    """Return the move that makes an output.

    numbers: the output for the numbers of all elements; `again` for these and the count of all, which tells them from
    constants.
    """
    if numbers.ndim != 4 or not numbers.size or len(numbers) != 1 or not np.array_equal(numbers + x.size, again):
        return None
    _, channels, height, width = numbers.shape
    first = int(numbers[0, 0, 0, 0]) // (x.height * x.width)
    rows = numbers[0, 0, :, 0] // x.width % x.height
    columns = numbers[0, 0, 0] % x.width
    wanted = ((first + np.arange(channels)[:, None, None]) * x.height + rows[:, None]) * x.width + columns
    if not np.array_equal(numbers[0], wanted):
        return None
    return Move(Image(name, height, width, channels, x.dtype, x.zero_point), first, rows, columns)


class Taken(Form):
    """Rows and columns of some channels, as Resize takes them to the nearest pixel, or Slice."""

    kind = "rows and columns taken"
    proof = "codes are moved"

    def __init__(self, label: str, x: Image, move: Move) -> None:
        self.label, self.reads, self.output, self._move = label, (x,), move.output, move
        y = move.output
        self._bands = bands(y.height, TILE // max(1, y.width * y.channels))

    def bind(self, placed: Mapping[str, PlacedImage], work: Sequence[Array]) -> Sequence[Call]:
        move, y = self._move, self.output
        values = placed[self.inputs[0]].inside[:, :, move.first : move.first + y.channels]
        out = placed[y.name]
        return [
            _taken(values, move.rows[first : first + count, None], move.columns, out.rows(first, first + count))
            for first, count in self._bands
        ]


def _taken(values: Array, rows: NDArray[np.int64], columns: NDArray[np.int64], out: Array) -> Call:
    def call(_: Mapping[str, Array]) -> None:
        np.copyto(out, values[rows, columns])

    return call
