"""Shifts: the right values at another place, by elements, bytes, rows or columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np

from qdqnp.diagnosis.faults.suspect import Finding, Suspect
from qdqnp.diagnosis.orders import LAST, MemoryOrder, orders
from qdqnp.quant import Array

ELEMENTS = "shifted by elements or bytes"
ROWS = "row shifted"
# How far in memory a shift is looked for.
REACH = 4096
# Rows or columns.
NEAR = 4
# At most one in so many elements has no source: of a half that holds the other half's values nothing was shifted.
MOVED_IN = 4


def rows(suspect: Suspect) -> Iterator[Finding]:
    """Every plane, or some of its rows, moved along rows or columns; what moves in from outside may be anything."""
    if suspect.want[0].ndim < 3 or not suspect.bears(4 * NEAR):
        return
    for axis, what in ((-2, "row"), (-1, "element along the row")):
        for by in (1, -1, *range(2, NEAR + 1), *range(-2, -NEAR - 1, -1)):
            if abs(by) <= suspect.want[0].shape[axis] // 2 and _moved(suspect, axis, by):
                many = f"{abs(by)} {what}{'s' if abs(by) > 1 and what == 'row' else ''}"
                yield Finding(ROWS, f"{many} {'later' if by > 0 else 'earlier'}")
                return


def _moved(suspect: Suspect, axis: int, by: int) -> bool:
    """Whether wherever the device differs it holds the value that stands `by` places before, if there is one."""
    seen = 0
    for case in suspect.bad_cases:
        want, got, bad = suspect.want[case], suspect.got[case], suspect.differs[case]
        size = want.shape[axis]
        source = np.arange(size) - by
        inside = (source >= 0) & (source < size)
        moved = np.take(want, np.clip(source, 0, size - 1), axis=axis)
        shape = [1] * want.ndim
        shape[axis] = size
        free = ~inside.reshape(shape)
        touched = _lines(bad, axis)  # planes or rows that were moved, as a whole
        wrong = touched & ~free & (moved != got)
        if wrong.any():
            return False
        seen += int(np.count_nonzero(bad & np.broadcast_to(~free, bad.shape)))
    return seen >= 2


def _lines(bad: Array, axis: int) -> Array:
    """True on every whole plane (for rows) or whole row (for columns) in which something differs."""
    axes = (-2, -1) if axis == -2 else (-1,)
    return np.broadcast_to(bad.any(axis=axes, keepdims=True), bad.shape)


def elements(suspect: Suspect) -> Iterator[Finding]:
    """The whole tensor moved in memory by some elements or, for wider codes, bytes: the shortest way in any order."""
    width = suspect.target.dtype.itemsize
    if suspect.got[0].dtype != suspect.target.dtype or not suspect.bears(4 * REACH):
        return
    moves = [
        (by, order)
        for order in orders(suspect.target.shape, blocks=False)
        for by in islice(_shifts(*suspect.in_memory(order)), 1)
    ]
    if not moves:
        return
    by, order = min(moves, key=lambda move: abs(move[0]))
    unit, size = next(found for found in _units(suspect.target.shape, order, width) if by % found[1] == 0)
    count = abs(by) // size
    text = f"{count} {unit}{'s' if count > 1 else ''} {'later' if by > 0 else 'earlier'}"
    yield Finding(ROWS if unit == "row" else ELEMENTS, f"{text}, {order.text}" if order.text == LAST else text)


def _units(shape: Sequence[int], order: MemoryOrder, width: int) -> Iterator[tuple[str, int]]:
    """What lies together in memory, and how many bytes it has, the largest first."""
    if order.text == LAST:
        yield "row", shape[1] * shape[3] * width
        yield "pixel", shape[1] * width
    elif len(shape) > 2 and shape[-1] > 1:
        yield "row", shape[-1] * width
    yield "element", width
    yield "byte", 1


def _shifts(wants: Sequence[Array], gots: Sequence[Array]) -> Iterator[int]:
    """Byte shifts that explain every element which has a source, most of the tensor."""
    pairs = [(_bytes(want), _bytes(got)) for want, got in zip(wants, gots, strict=True)]
    reach = min(REACH, *(len(want) // MOVED_IN for want, _ in pairs))
    for distance in range(1, reach + 1):
        for by in (distance, -distance):
            if all(_shifted(want, got, by) for want, got in pairs):
                yield by


def _shifted(want: Array, got: Array, by: int) -> bool:
    moved, seen = (want[:-by], got[by:]) if by > 0 else (want[-by:], got[:by])
    # a few bytes tell most shifts apart
    return bool(np.array_equal(moved[:64], seen[:64]) and np.array_equal(moved, seen) and seen.min() != seen.max())


def _bytes(array: Array) -> Array:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)
