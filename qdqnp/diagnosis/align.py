"""Align: pair dump entries with the model's tensors, and read their values as codes in the model's layout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from qdqnp.diagnosis.dump import Dump, DumpEntry
from qdqnp.diagnosis.pairing import pair, without_ones
from qdqnp.diagnosis.targets import DumpTarget
from qdqnp.element_types import PACKED, from_plain, is_float, is_integer, plain_dtype
from qdqnp.errors import InputError, Problems
from qdqnp.quant import Array, Quant, shifted

# A real value this far from a code's, in LSB, is off the grid. A device's own float32 arithmetic stays far below.
GRID_LSB = 2.0**-10


@dataclass(frozen=True, eq=False)
class DumpedTensor:
    """A tensor of the model that was found in a dump."""

    #: The tensor of the model.
    target: DumpTarget
    #: The name of the dump entry.
    entry: str
    #: For each case its codes in the target's shape, or its real values where the target does not have codes. Codes of
    #: a float dump may lie outside the dtype's range and are int64 then.
    cases: tuple[Array, ...]
    #: What was assumed to read the entry.
    notes: tuple[str, ...] = ()
    #: Number of elements of a float dump that do not stand for a code.
    off_grid: int = 0
    #: Number of elements of a float dump that stand for a code outside the dtype.
    off_range: int = 0
    #: Whether the dump has real values where the tensor has codes.
    real: bool = False


@dataclass(frozen=True, eq=False)
class Misfit:
    """An entry whose size is not the tensor's. The fault recognizers may still explain it."""

    target: DumpTarget
    entry: DumpEntry
    #: The expected size in words.
    expected: str
    #: The entry's size in words.
    got: str


@dataclass
class Aligned:
    """The entries of a dump, sorted by whether they could be read as a tensor of the model."""

    #: The tensors that were read, by ONNX name.
    tensors: dict[str, DumpedTensor] = field(default_factory=dict)
    #: Entries that belong to a tensor but have another size.
    misfits: list[Misfit] = field(default_factory=list)
    #: Names of entries that do not belong to any tensor.
    unused: list[str] = field(default_factory=list)
    #: Files of the dump that were not read.
    unread: tuple[str, ...] = ()
    #: Whether the pairs are a guess: no name told them, only the entries' order and shapes.
    by_order: bool = False


def align(dump: Dump, targets: Sequence[DumpTarget], cases: int, mapping: Mapping[str, str] | None = None) -> Aligned:
    """Pair the entries with the targets and read them.

        dump: the entries.
        targets: the tensors of the model that may be in the dump.
        cases: how many network inputs the dump may hold, one after the other.
        mapping: ONNX name -> entry name. If given, entries are paired by it alone. Without it they are paired by name
            or alias, then by the letters and digits of the name; if that pairs nothing, by order and shape.

    Raises InputError that lists every entry that cannot be read as its tensor, and InputError for a dump of which
    nothing fits.
    """
    pairing = pair(dump, targets, cases, mapping)
    problems = Problems()
    found = Aligned(unused=pairing.unused, unread=dump.unread, by_order=pairing.by_order)
    for target, entry in pairing.pairs:
        made = _read(target, entry, dump.channel_last, cases, problems)
        if isinstance(made, Misfit):
            found.misfits.append(made)
        elif made is not None:
            found.tensors[target.name] = made
    if not pairing.pairs:
        listed = ", ".join(f"'{entry.name}'" for entry in dump.entries[:5])
        problems.add(f"dump {dump.path}", "tensors of the model", listed, "Write a mapping with --write-mapping.")
    counts = {len(tensor.cases) for tensor in found.tensors.values()}
    if len(counts) > 1:
        listed = ", ".join(f"'{t.entry}' {len(t.cases)}" for t in list(found.tensors.values())[:5])
        problems.add(f"dump {dump.path}", "the same number of cases in every tensor", listed)
    problems.raise_if_any("the dump does not fit the model", InputError)
    return found


def _read(
    target: DumpTarget, entry: DumpEntry, channel_last: bool, cases: int, problems: Problems
) -> DumpedTensor | Misfit | None:
    notes: list[str] = []
    array = _typed(target, entry, notes, problems)
    if array is None:
        return None
    count = array.size // target.elements if target.elements else 0
    if not 1 <= count <= cases or count * target.elements != array.size:
        shape = f"{array.dtype}{list(array.shape)}" if not entry.raw else f"{entry.array.size} bytes"
        many = f", once to {cases} times" if cases > 1 else ""
        return Misfit(target, entry, f"{target.dtype}{list(target.shape)}{many}", shape)
    parts = array.reshape(count, *_case_shape(array, count, len(target.shape)))
    shaped = tuple(_shaped(target, part, channel_last, notes) for part in parts)
    off_grid = off_range = 0
    real = array.dtype.kind == "f" and target.quant is not None
    if real and target.quant is not None:
        results = [to_codes(part, target.quant) for part in shaped]
        shaped = tuple(codes for codes, _ in results)
        off_grid = sum(off for _, off in results)
        low, high = target.limits
        off_range = sum(int(np.count_nonzero((codes < low) | (codes > high))) for codes in shaped)
        notes.append("real values mapped to codes")
    if not off_range and target.dtype.kind in "iu":
        shaped = tuple(part.astype(target.dtype) for part in shaped)
    return DumpedTensor(target, entry.name, shaped, tuple(dict.fromkeys(notes)), off_grid, off_range, real)


def _typed(target: DumpTarget, entry: DumpEntry, notes: list[str], problems: Problems) -> Array | None:
    """Return the entry in the target's dtype, or as float64 where it holds real values; None where neither is
    possible."""
    array, where = entry.array, f"dump entry '{entry.name}' for '{target.name}'"
    if entry.raw:
        bytewise = plain_dtype(target.dtype) if is_integer(target.dtype) else target.dtype
        array = array[: array.size - array.size % bytewise.itemsize].view(bytewise.newbyteorder("<"))
        if bytewise == target.dtype:
            return array
    array = from_plain(array, target.dtype)
    if array.dtype == target.dtype != plain_dtype(target.dtype):
        return array
    if array.dtype.kind == "f":
        bad = array.size - int(np.count_nonzero(np.isfinite(array)))
        if bad and (target.quant is not None or not is_float(target.dtype)):
            problems.add(where, "finite values", f"{bad} of {array.size} are NaN or infinite")
            return None
        if target.dtype.kind in "iu" and target.quant is None:
            problems.add(where, str(target.dtype), array.dtype)
            return None
        return array if target.quant is None else array.astype(np.float64)
    if is_float(target.dtype) or array.dtype.kind not in ("iub" if target.dtype.kind == "b" else "iu"):
        problems.add(where, f"{target.dtype} values or codes", array.dtype)
        return None
    if target.dtype.kind == "b" and not bool(np.isin(array, (0, 1)).all()):
        problems.add(where, "bool values 0 or 1", f"{array.dtype} in [{array.min()}, {array.max()}]")
        return None
    if array.dtype.itemsize == target.dtype.itemsize and target.dtype not in PACKED:
        if array.dtype != target.dtype:
            if entry.role and not entry.raw:  # tools that change the dtype of codes move the zero point with them
                notes.append(f"{array.dtype} codes read as {target.dtype}, 128 {_way(target)}")
                return shifted(array, target.dtype)
            notes.append(f"{array.dtype} bytes read as {target.dtype}")
        return array.astype(array.dtype.newbyteorder("=")).view(target.dtype)
    low, high = target.limits
    if array.dtype.itemsize > target.dtype.itemsize and int(array.min()) >= low and int(array.max()) <= high:
        notes.append(f"{array.dtype} narrowed to {target.dtype}")
        return array.astype(target.dtype)
    problems.add(
        where, f"{target.dtype}, or wider integers within its range", f"{array.dtype} in [{array.min()}, {array.max()}]"
    )
    return None


def _way(target: DumpTarget) -> str:
    return "lower" if target.dtype == np.int8 else "higher"


def _case_shape(array: Array, count: int, rank: int) -> tuple[int, ...]:
    """Return the shape of one case of an array that holds `count` cases. The cases lie one after the other along the
    first axis, or are stacked along one axis more than a tensor of this rank has."""
    if count == 1:
        return tuple(array.shape)
    if array.ndim <= 1 or array.shape[0] % count:
        return (array.size // count,)
    if array.ndim > rank and array.shape[0] == count:
        return tuple(array.shape[1:])
    return (array.shape[0] // count, *array.shape[1:])


def _shaped(target: DumpTarget, part: Array, channel_last: bool, notes: list[str]) -> Array:
    """Bring one case into the target's shape."""
    want, got = target.shape, part.shape
    if len(want) == 4 and part.ndim in (3, 4):
        moved = (want[0], *want[2:], want[1])
        same = got == want or (part.ndim == 3 and want[0] == 1 and got == want[1:])
        last = got == moved or (part.ndim == 3 and want[0] == 1 and got == moved[1:])
        if last and (channel_last or not same):
            notes.append("channel-last transposed to channel-first")
            return np.moveaxis(part.reshape(moved), -1, 1)
    if part.ndim > 1 and without_ones(got) != without_ones(want):
        notes.append(f"shape {list(got)} read as {list(want)}")
    return part.reshape(want)


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
