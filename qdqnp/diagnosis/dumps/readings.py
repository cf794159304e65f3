"""Readings: the ways in which an entry of a dump may be read as a tensor of the model, and reading a case of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qdqnp.diagnosis.dump import DumpEntry
from qdqnp.diagnosis.dumps.storage import CODES, REAL, Storage, axes_of, dtype_of, layout_name
from qdqnp.diagnosis.targets import DumpTarget
from qdqnp.element_types import PACKED, from_plain, is_float, is_integer, plain_dtype
from qdqnp.errors import Problem
from qdqnp.quant import EIGHT_BIT, Array, Quant

# A real value this far from a code's, in LSB, is off the grid. A device's own float32 arithmetic stays far below.
GRID_LSB = 2.0**-10


@dataclass(frozen=True)
class Reading:
    """One way to read an entry as a tensor."""

    #: The element type of what is stored.
    dtype: np.dtype[Any]
    #: How many cases the entry holds.
    cases: int
    #: Stored axis i is axis axes[i] of the tensor.
    axes: tuple[int, ...]
    #: What was added to each code.
    offset: int = 0
    #: Whether the values are real ones of a tensor of codes.
    real: bool = False
    #: Whether the shape of the entry is one of this order of axes; else only the number of elements fits.
    shaped: bool = True

    @property
    def layout(self) -> str:
        """Return the stored order of axes in letters."""
        return layout_name(self.axes)

    def as_json(self) -> dict[str, Any]:
        """Return what it says for a report."""
        return {
            "layout": self.layout,
            "dtype": str(self.dtype),
            "offset": self.offset,
            "values": REAL if self.real else CODES,
            "cases": self.cases,
        }


@dataclass(frozen=True, eq=False)
class Case:
    """One case of a tensor, read."""

    #: The codes in the tensor's shape, or real values where it has none; int64 where they leave the dtype's range.
    codes: Array
    #: Number of elements that do not stand for a code.
    off_grid: int = 0
    #: Number of elements that stand for a code outside the dtype.
    off_range: int = 0


class ValuesError(ValueError):
    """Values that the tensor cannot have."""

    def __init__(self, expected: str, got: str) -> None:
        self.expected, self.got = expected, got
        super().__init__(f"expected {expected}, got {got}")

    def problem(self, where: str) -> Problem:
        return Problem(where, self.expected, self.got)


# -- which readings there are ------------------------------------------------------------------------------------------
def readings(target: DumpTarget, entry: DumpEntry, form: Storage, most: int, channel_last: bool) -> list[Reading]:
    """Return the ways in which an entry may be read, the most likely first; of none its size is not the tensor's.

        target: the tensor.
        entry: the entry.
        form: what is said of it.
        most: how many cases there may be.
        channel_last: whether the format of the dump has the channels last.

    Raises ValuesError for an entry of another kind of numbers.
    """
    found: dict[tuple[Any, ...], Reading] = {}
    for dtype in _dtypes(target, entry, form):
        size = entry.stored.nbytes // dtype.itemsize
        count = size // target.elements if target.elements else 0
        if not 1 <= count <= most or count * target.elements * dtype.itemsize != entry.stored.nbytes:
            continue
        for offset, real in _meanings(target, entry, dtype, form):
            for axes, shaped in _orders(target, entry, count, form, channel_last):
                made = Reading(dtype, count, axes, offset, real, shaped)
                found.setdefault((dtype, offset, real, _moves(axes, target.shape, count)), made)
    return list(found.values())


def _dtypes(target: DumpTarget, entry: DumpEntry, form: Storage) -> Iterator[np.dtype[Any]]:
    """Yield the element types that the entry's bytes may have."""
    said, stored = dtype_of(form), entry.stored.dtype
    if not entry.raw:
        bytes_only = stored in EIGHT_BIT and entry.stored.nbytes != target.elements
        yield said if said is not None and (said.itemsize == stored.itemsize or bytes_only) else stored
        return
    if said is not None:
        yield said
        return
    own = plain_dtype(target.dtype) if is_integer(target.dtype) else target.dtype
    yield from dict.fromkeys(d for d in (dtype_of(target.stored), own) if d is not None)


def _meanings(target: DumpTarget, entry: DumpEntry, dtype: np.dtype[Any], form: Storage) -> list[tuple[int, bool]]:
    """Return what the elements may stand for: what was added to each code, and whether they are real values."""
    real = target.quant is not None and (form.values == REAL or (form.values is None and dtype.kind == "f"))
    if real or target.quant is None:
        return [(0, real)]
    if form.offset is not None:
        return [(form.offset, False)]
    other = dtype.kind in "iu" and dtype in EIGHT_BIT and dtype != target.dtype and target.dtype in EIGHT_BIT
    moved = 128 if target.dtype == np.int8 else -128
    if other and entry.role and not entry.raw:  # tools that change the dtype of codes move the zero point with them
        return [(moved, False)]
    return [(0, False), (moved, False)] if other else [(0, False)]


def _orders(
    target: DumpTarget, entry: DumpEntry, count: int, form: Storage, channel_last: bool
) -> list[tuple[tuple[int, ...], bool]]:
    """Return the orders of axes that the entry may have, and whether its shape is one of theirs: those that are said,
    else those that its shape allows."""
    rank = len(target.shape)
    plain, last = tuple(range(rank)), axes_of("NHWC", rank)
    if form.layout is not None:
        axes = axes_of(form.layout, rank)
        others = [other for other in (plain, last) if _is_shape(entry, other, target.shape, count)]
        if entry.raw or not others or _is_shape(entry, axes, target.shape, count):
            return [(axes, True)]
        return [(others[0], True)]  # the shape is more certain than what is said of all entries
    own = axes_of(target.stored.layout, rank) if target.stored.layout else plain
    ranks = rank == 4 and len(entry.stored.shape) in (3, 4)
    if channel_last and ranks and not entry.raw and _is_shape(entry, last, target.shape, count):
        return [(last, True)]
    likely = list(dict.fromkeys((own, plain, last)))
    shaped = [axes for axes in likely if entry.raw or _is_shape(entry, axes, target.shape, count)]
    return [(axes, True) for axes in shaped] or [(axes, False) for axes in likely]


def _is_shape(entry: DumpEntry, axes: tuple[int, ...], shape: tuple[int, ...], count: int) -> bool:
    """Tell whether the entry's shape groups the axes of a tensor that is stored in an order of axes."""
    stored = _stored_shape(axes, shape, count)
    return _ends(entry.stored.shape) <= _ends(stored) if count * math.prod(shape) == entry.stored.size else True


def _stored_shape(axes: tuple[int, ...], shape: tuple[int, ...], count: int) -> tuple[int, ...]:
    """Return the shape of all cases as they are stored: where N is not the first axis, they are along N."""
    if count == 1 or not axes or axes[0] == 0:
        return (count, *(shape[axis] for axis in axes))
    return tuple(shape[axis] * (count if axis == 0 else 1) for axis in axes)


def _ends(shape: Sequence[int]) -> set[int]:
    """Return after how many elements an axis ends: of an array and of the same one with axes joined, a part."""
    found, step = {1}, 1
    for size in reversed(shape):
        step *= size
        found.add(step)
    return found


def _moves(axes: tuple[int, ...], shape: tuple[int, ...], count: int) -> tuple[int, ...]:
    """Return the axes of more than one element, in order: of two orders with the same ones, the elements are in the
    same order."""
    sizes = [size * (count if axis == 0 else 1) for axis, size in enumerate(shape)]
    return tuple(axis for axis in axes if sizes[axis] != 1)


# -- reading -----------------------------------------------------------------------------------------------------------
def read_case(target: DumpTarget, entry: DumpEntry, reading: Reading, case: int) -> Case:
    """Return one case of an entry.

    Raises ValuesError for values that the tensor cannot have, OSError and ValueError for what cannot be read.
    """
    flat = _flat(entry, reading, case, target)
    shape = tuple(target.shape[axis] for axis in reading.axes)
    stored = flat.reshape(shape)
    array = np.transpose(stored, np.argsort(reading.axes)) if reading.axes else stored
    array = np.ascontiguousarray(array).reshape(target.shape)
    if reading.real and target.quant is not None:
        return _from_real(target, target.quant, array)
    return Case(_typed(target, array, reading))


def _flat(entry: DumpEntry, reading: Reading, case: int, target: DumpTarget) -> Array:
    """Return the elements of one case in their stored order."""
    elements, stored = target.elements, entry.stored
    if reading.cases > 1 and reading.axes and reading.axes[0] != 0:
        whole = _elements(entry, reading.dtype, 0, reading.cases * elements)
        grid = whole.reshape(_stored_shape(reading.axes, target.shape, reading.cases))
        at, own = reading.axes.index(0), target.shape[0]
        taken: Array = np.take(grid, range(case * own, (case + 1) * own), at)
        return taken.reshape(-1)
    if stored.dtype.itemsize == reading.dtype.itemsize:
        part = stored.part(case * elements, elements)
        native = part.astype(part.dtype.newbyteorder("="), copy=False)
        return from_plain(native, target.dtype) if native.dtype == reading.dtype else native.view(reading.dtype)
    return _elements(entry, reading.dtype, case * elements, elements)


def _elements(entry: DumpEntry, dtype: np.dtype[Any], start: int, count: int) -> Array:
    """Return elements of a type that the entry's own elements are bytes of."""
    stored = entry.stored
    if stored.dtype.itemsize == dtype.itemsize:
        return stored.part(start, count).view(dtype)
    data = np.ascontiguousarray(stored.part(start * dtype.itemsize, count * dtype.itemsize))
    return data.view(dtype.newbyteorder("<")).astype(dtype)


def _from_real(target: DumpTarget, quant: Quant, array: Array) -> Case:
    bad = array.size - int(np.count_nonzero(np.isfinite(array)))
    if bad:
        raise ValuesError("finite values", f"{bad} of {array.size} are NaN or infinite")
    codes, off_grid = to_codes(array.astype(np.float64), quant)
    low, high = target.limits
    off_range = int(np.count_nonzero((codes < low) | (codes > high)))
    return Case(codes if off_range else codes.astype(target.dtype), off_grid, off_range)


def _typed(target: DumpTarget, array: Array, reading: Reading) -> Array:
    """Return values in the tensor's dtype."""
    array = from_plain(array, target.dtype)
    if array.dtype == target.dtype != plain_dtype(target.dtype):
        return array
    if array.dtype.kind == "f":
        if is_float(target.dtype):
            return array
        bad = array.size - int(np.count_nonzero(np.isfinite(array)))
        if bad:
            raise ValuesError("finite values", f"{bad} of {array.size} are NaN or infinite")
        if target.quant is None or (array != np.rint(array)).any():
            raise ValuesError(str(target.dtype), str(array.dtype))
        array = np.clip(array, -(2.0**40), 2.0**40).astype(np.int64)
    if is_float(target.dtype) or array.dtype.kind not in ("iub" if target.dtype.kind == "b" else "iu"):
        raise ValuesError(f"{target.dtype} values or codes", str(array.dtype))
    if target.dtype.kind == "b":
        if not bool(np.isin(array, (0, 1)).all()):
            raise ValuesError("bool values 0 or 1", f"{array.dtype} in [{array.min()}, {array.max()}]")
        return array.astype(target.dtype)
    if reading.offset:
        array = array.astype(np.int64) - reading.offset
    if array.dtype == target.dtype:
        return array
    if array.dtype.itemsize == target.dtype.itemsize and target.dtype not in PACKED:
        return array.view(target.dtype)
    low, high = target.limits
    if int(array.min()) >= low and int(array.max()) <= high:
        return array.astype(target.dtype)
    expected = f"{target.dtype}, or wider integers within its range"
    if reading.offset:
        expected = f"{reading.dtype} codes that are {reading.offset} more than those of {target.dtype}"
    raise ValuesError(expected, f"{reading.dtype} in [{array.min()}, {array.max()}]")


def notes_of(target: DumpTarget, entry: DumpEntry, reading: Reading) -> list[str]:
    """Return what was assumed to read the entry, in words."""
    notes = []
    dtype = reading.dtype
    if reading.real:
        notes.append("real values mapped to codes")
    elif reading.offset:
        notes.append(
            f"{dtype} codes read as {target.dtype}, {abs(reading.offset)} {'lower' if reading.offset > 0 else 'higher'}"
        )
    elif dtype.kind in "iu" and is_integer(target.dtype) and dtype != target.dtype and target.dtype not in PACKED:
        wider = dtype.itemsize > target.dtype.itemsize
        notes.append(f"{dtype} narrowed to {target.dtype}" if wider else f"{dtype} bytes read as {target.dtype}")
    elif dtype.kind == "f" and not is_float(target.dtype):
        notes.append(f"{dtype} codes read as {target.dtype}")
    own = tuple(range(len(target.shape)))
    if _moves(reading.axes, target.shape, reading.cases) != _moves(own, target.shape, reading.cases):
        last = reading.axes == axes_of("NHWC", len(own))
        notes.append(
            "channel-last transposed to channel-first" if last else f"{reading.layout} transposed to ONNX's order"
        )
    if not reading.shaped:
        shape = list(entry.stored.shape)
        whole = math.prod(shape) == target.elements
        one = shape if whole or len(shape) < 2 else shape[1:]
        notes.append(f"shape {one} read as {list(target.shape)}")
    return notes


def to_codes(values: Array, quant: Quant) -> tuple[Array, int]:
    """Return the int64 codes nearest to real values, not clipped, and how many values lie off the grid.

    values: real values of any shape.
    quant: per tensor, or with one scale for each slice of its axis.
    """
    whole = quant.aligned(values.shape)
    scale, zero = whole.scale.astype(np.float64), whole.zero_point.astype(np.int64)
    position = np.clip(values.astype(np.float64) / scale, -(2.0**40), 2.0**40)
    nearest = np.rint(position)
    off = np.abs(position - nearest) > GRID_LSB
    return nearest.astype(np.int64) + zero, int(np.count_nonzero(off))
