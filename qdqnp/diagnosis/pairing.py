"""Pair: find which dump entry is which tensor of the model, by role, name, order or a mapping."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from qdqnp.diagnosis.dump import Dump, DumpEntry
from qdqnp.diagnosis.targets import DumpTarget
from qdqnp.element_types import is_float
from qdqnp.errors import InputError, Problems
from qdqnp.quant import EIGHT_BIT

T = TypeVar("T")


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
    """Pair the entries with the targets, as `align` says, and those of ST Edge AI's files by their role first."""
    if mapping is not None:
        return _by_mapping(dump, targets, mapping)
    found = _by_role(dump.entries, targets)
    left = [entry for entry in dump.entries if entry not in found.values()]
    named: dict[str, DumpEntry] = {}
    for of_target, of_entry in ((_name, _name), (_alias, _name), (_plain, _plain)):
        names = _unique((of_target(target), target) for target in targets if target.name not in (*found, *named))
        entries = _unique((of_entry(entry), entry) for entry in left)
        for text, target in names.items():
            if text in entries:
                named[target.name] = entries[text]
        left = [entry for entry in left if entry not in named.values()]
    guessed = not named and bool(left)
    if guessed:  # names tell nothing: the order does
        free = [target for target in targets if target.name not in found]
        named = max((_by_order(left, free, count) for count in range(1, cases + 1)), key=len)
        left = [entry for entry in left if entry not in named.values()]
    found |= named
    pairs = [(target, found[target.name]) for target in targets if target.name in found]
    return Pairing(pairs, [entry.name for entry in left], guessed and bool(named))


def _by_role(entries: Sequence[DumpEntry], targets: Sequence[DumpTarget]) -> dict[str, DumpEntry]:
    """Pair the entries whose role is known: codes with the codes that are made of an input of real values."""
    roles = {(target.role, target.number): target for target in targets if target.role}
    known = {target.name for target in targets}
    found: dict[str, DumpEntry] = {}
    for entry in entries:
        target = roles.get((entry.role, entry.number)) if entry.role else None
        if target is not None:
            codes = entry.array.dtype in EIGHT_BIT and target.quantized in known
            found[target.quantized if codes else target.name] = entry
    return found


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
    names. An entry whose role is known fits no other tensor."""
    found: dict[str, DumpEntry] = {}
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
    return sorted(without_ones(entry.array.shape)) in [sorted(without_ones(shape)) for shape in shapes]


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


def without_ones(shape: tuple[int, ...]) -> list[int]:
    """Drop axes of size 1, which do not affect the order of the elements."""
    return [size for size in shape if size != 1]
