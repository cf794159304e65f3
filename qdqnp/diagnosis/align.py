"""Align: find which dump entry is which tensor of the model, and read its values as codes in the model's layout."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from qdqnp.diagnosis.dump import Dump, DumpEntry
from qdqnp.diagnosis.targets import DumpTarget
from qdqnp.element_types import PACKED, from_plain, is_float, is_integer, plain_dtype
from qdqnp.errors import InputError, Problems
from qdqnp.quant import Array, Quant

# A real value this far from a code's, in LSB, is off the grid. A device's own float32 arithmetic stays far below.
GRID_LSB = 2.0**-10
T = TypeVar("T")


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


# -- which is which -------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Pairing:
    """Which entry is which tensor."""

    #: In the order of the targets.
    pairs: list[tuple[DumpTarget, DumpEntry]]
    #: Names of the entries that are left over.
    unused: list[str]
    #: Whether only the entries' order and shapes told the pairs.
    by_order: bool = False


def pair(dump: Dump, targets: Sequence[DumpTarget], cases: int, mapping: Mapping[str, str] | None = None) -> Pairing:
    """Pair the entries with the targets, as `align` says."""
    if mapping is not None:
        return _by_mapping(dump, targets, mapping)
    left = list(dump.entries)
    found: dict[str, DumpEntry] = {}
    for of_target, of_entry in ((_name, _name), (_alias, _name), (_plain, _plain)):
        names = _unique((of_target(target), target) for target in targets if target.name not in found)
        entries = _unique((of_entry(entry), entry) for entry in left)
        for text, target in names.items():
            if text in entries:
                found[target.name] = entries[text]
        left = [entry for entry in left if entry not in found.values()]
    by_order = not found
    if by_order:  # names tell nothing: the order does
        found = max((_by_order(left, targets, count) for count in range(1, cases + 1)), key=len)
        left = [entry for entry in left if entry not in found.values()]
    pairs = [(target, found[target.name]) for target in targets if target.name in found]
    guessed = by_order and any(not entry.role for _, entry in pairs)
    return Pairing(pairs, [entry.name for entry in left], guessed)


def _name(item: DumpTarget | DumpEntry) -> str:
    return item.name


def _alias(target: DumpTarget) -> str:
    return target.alias


def _plain(item: DumpTarget | DumpEntry) -> str:
    """Return only the letters and digits of a name: the part that survives in a file name or a C identifier."""
    return re.sub(r"[^0-9a-z]+", "_", item.name.lower()).strip("_")


def _unique(pairs: Iterable[tuple[str, T]]) -> dict[str, T]:
    """Keep the pairs whose key occurs once."""
    found: dict[str, list[T]] = {}
    for key, value in pairs:
        found.setdefault(key, []).append(value)
    return {key: values[0] for key, values in found.items() if len(values) == 1}


def _by_order(entries: Sequence[DumpEntry], targets: Sequence[DumpTarget], count: int) -> dict[str, DumpEntry]:
    """Assign each entry of `count` cases to the next target that it fits, in the order of the numbers in the entries'
    names. An entry whose role is known goes only to tensors of that role."""
    found: dict[str, DumpEntry] = {}
    roles = [entry for entry in entries if entry.role]
    for entry in roles:
        same = [target for target in targets if target.role == entry.role]
        if entry.number < len(same):
            found[same[entry.number].name] = entry
    position = 0
    for entry in sorted((e for e in entries if not e.role), key=lambda e: _natural(e.name)):
        for index in range(position, len(targets)):
            if _could_be(targets[index], entry, count):
                found[targets[index].name] = entry
                position = index + 1
                break
    return found


def _natural(text: str) -> list[tuple[int, str]]:
    """Return a sort key that puts 'layer10' after 'layer9'."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"([0-9]+)", text) if part]


def _could_be(target: DumpTarget, entry: DumpEntry, count: int) -> bool:
    """Compare the sizes and, where the entry has a shape, also the axes in any order."""
    if entry.raw:
        return entry.array.size == count * target.elements * target.dtype.itemsize
    if entry.array.dtype.kind not in "fV" and is_float(target.dtype) and target.quant is None:
        return False
    if entry.array.ndim <= 1:
        return entry.array.size == count * target.elements
    first, *rest = target.shape or (1,)
    shapes = ((count, first, *rest), (count * first, *rest))  # stacked, or one after the other
    return sorted(_without_ones(entry.array.shape)) in [sorted(_without_ones(shape)) for shape in shapes]


def _by_mapping(dump: Dump, targets: Sequence[DumpTarget], mapping: Mapping[str, str]) -> Pairing:
    problems = Problems()
    by_name = {entry.name: entry for entry in dump.entries}
    known = {target.name: target for target in targets}
    for name, entry in mapping.items():
        if name not in known:
            problems.add(f"mapping of '{name}'", "a tensor of the model", "another name")
        if entry not in by_name:
            problems.add(f"mapping of '{name}'", "a tensor of the dump", f"'{entry}'")
    problems.raise_if_any("the mapping does not fit", InputError)
    used = set(mapping.values())
    pairs = [(target, by_name[mapping[target.name]]) for target in targets if target.name in mapping]
    return Pairing(pairs, [entry.name for entry in dump.entries if entry.name not in used])


# -- values ---------------------------------------------------------------------------------------------
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
    if part.ndim > 1 and _without_ones(got) != _without_ones(want):
        notes.append(f"shape {list(got)} read as {list(want)}")
    return part.reshape(want)


def _without_ones(shape: tuple[int, ...]) -> list[int]:
    """Drop axes of size 1, which do not affect the order of the elements."""
    return [size for size in shape if size != 1]


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
