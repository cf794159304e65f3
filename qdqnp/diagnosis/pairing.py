"""Pair: find which dump entry is which tensor of the model: by a mapping, role, name, content, or, said to be a guess,
order."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from qdqnp.diagnosis.dump import Dump, DumpEntry
from qdqnp.diagnosis.dumps.content import Values, by_content
from qdqnp.diagnosis.dumps.storage import Storage, dtype_of
from qdqnp.diagnosis.dumps.stored import Within
from qdqnp.diagnosis.targets import DumpTarget
from qdqnp.element_types import is_float
from qdqnp.errors import InputError, Problems
from qdqnp.quant import EIGHT_BIT

T = TypeVar("T")

# How an entry was paired with a tensor.
MAPPED, MANIFEST, ROLE, NAME, KEY, LABEL, LETTERS, ADDRESS, CONTENT, NEARLY, ORDER = (
    "mapping",
    "manifest",
    "role",
    "ONNX name",
    "name in the golden set",
    "layer label",
    "letters of the name",
    "address",
    "content",
    "content, nearly equal",
    "order, which is a guess",
)


@dataclass(frozen=True)
class Mapped:
    """What a mapping says of a tensor."""

    #: The name of its entry; '' where an address says which one it is.
    entry: str = ""
    #: How the entry is stored.
    form: Storage = field(default_factory=Storage)
    #: Where the tensor begins in the device's memory; None where that is not said.
    address: int | None = None


@dataclass(frozen=True)
class Paired:
    """An entry and its tensor."""

    #: The tensor.
    target: DumpTarget
    #: The entry.
    entry: DumpEntry
    #: How they were found to belong together: one of the words above.
    how: str
    #: What is said of how the entry is stored.
    form: Storage = field(default_factory=Storage)


@dataclass(frozen=True)
class Pairing:
    """Which entry is which tensor."""

    #: In the order of the targets.
    pairs: list[Paired]
    #: Names of the entries that are left over.
    unused: list[str]

    @property
    def by_order(self) -> bool:
        """Return whether some pairs are a guess."""
        return any(pair.how == ORDER for pair in self.pairs)


def pair(
    dump: Dump,
    targets: Sequence[DumpTarget],
    cases: int,
    mapping: Mapping[str, Mapped] | None = None,
    values: Values | None = None,
) -> Pairing:
    """Pair the entries with the targets, as `align` says, and those of ST Edge AI's files by their role first."""
    if mapping is not None:
        return _by_mapping(dump, targets, mapping)
    found = {name: (entry, ROLE) for name, entry in _by_role(dump.entries, targets).items()}
    left = [entry for entry in dump.entries if not any(entry is used for used, _ in found.values())]

    def take(named: Mapping[str, DumpEntry], how: str) -> None:
        nonlocal left
        found.update({name: (entry, how) for name, entry in named.items()})
        left = [entry for entry in left if not any(entry is used for used in named.values())]

    for of_targets, of_entry, how in _NAMES:
        free = [target for target in targets if target.name not in found]
        names = _unique((text, target) for target in free for text in of_targets(target) if text)
        entries = _unique((of_entry(entry), entry) for entry in left)
        take({target.name: entries[text] for text, target in names.items() if text in entries}, how)
    named = any(how != ROLE for _, how in found.values())
    if values is not None and left:
        free = [target for target in targets if target.name not in found]
        listed = sorted((entry for entry in left if not entry.role), key=lambda entry: _natural(entry.name))
        for name, (entry, equal) in by_content(listed, free, cases, values, dump.channel_last).items():
            take({name: entry}, CONTENT if equal else NEARLY)
    if left and not named and not any(how in (CONTENT, NEARLY) for _, how in found.values()):
        free = [target for target in targets if target.name not in found]  # names and values tell nothing
        take(max((_by_order(left, free, count) for count in range(1, cases + 1)), key=len), ORDER)
    pairs = [Paired(t, *found[t.name], found[t.name][0].form) for t in targets if t.name in found]
    return Pairing(pairs, [entry.name for entry in left])


def _by_role(entries: Sequence[DumpEntry], targets: Sequence[DumpTarget]) -> dict[str, DumpEntry]:
    """Pair the entries whose role is known: codes with the codes that are made of an input of real values."""
    roles = {(target.role, target.number): target for target in targets if target.role}
    known = {target.name for target in targets}
    found: dict[str, DumpEntry] = {}
    for entry in entries:
        target = roles.get((entry.role, entry.number)) if entry.role else None
        if target is not None:
            codes = entry.stored.dtype in EIGHT_BIT and target.quantized in known
            found[target.quantized if codes else target.name] = entry
    return found


def letters(text: str) -> str:
    """Return only the letters and digits of a name: the part that survives in a file name or a C identifier."""
    return re.sub(r"[^0-9a-z]+", "_", text.lower()).strip("_")


def _one(text: str) -> tuple[str, ...]:
    return (text,)


#: The names of a target and of an entry that are compared, in turn, and what a pair is called then.
_NAMES: Sequence[tuple[Callable[[DumpTarget], Iterable[str]], Callable[[DumpEntry], str], str]] = (
    (lambda target: _one(target.name), lambda entry: entry.tensor, MANIFEST),
    (lambda target: _one(target.name), lambda entry: entry.name, NAME),
    (lambda target: target.aliases, lambda entry: entry.name, KEY),
    (lambda target: _one(target.label), lambda entry: entry.name, LABEL),
    (lambda target: _one(letters(target.name)), lambda entry: letters(entry.name), LETTERS),
    (lambda target: _one(letters(target.label)), lambda entry: letters(entry.name), LABEL),
)


def _unique(pairs: Iterable[tuple[str, T]]) -> dict[str, T]:
    """Keep the pairs whose key occurs once."""
    found: dict[str, list[T]] = {}
    for key, value in pairs:
        found.setdefault(key, []).append(value)
    return {key: values[0] for key, values in found.items() if len(values) == 1 and key}


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
    stored = entry.stored
    if entry.raw:
        return stored.size == count * target.elements * target.dtype.itemsize
    if stored.dtype.kind not in "fV" and is_float(target.dtype) and target.quant is None:
        return False
    if len(stored.shape) <= 1:
        return stored.size == count * target.elements
    first, *rest = target.shape or (1,)
    shapes = ((count, first, *rest), (count * first, *rest))  # stacked, or one after the other
    return sorted(without_ones(stored.shape)) in [sorted(without_ones(shape)) for shape in shapes]


def _by_mapping(dump: Dump, targets: Sequence[DumpTarget], mapping: Mapping[str, Mapped]) -> Pairing:
    problems = Problems()
    known = {target.name: target for target in targets}
    found: dict[str, tuple[DumpEntry, str]] = {}
    for name, mapped in mapping.items():
        if name not in known:
            problems.add(f"mapping of '{name}'", "a tensor of the model", "another name")
            continue
        entry = _entry_of(dump, known[name], mapped)
        if entry is None:
            got = f"'{mapped.entry}'" if mapped.address is None else f"{mapped.entry} {mapped.address:#x}".strip()
            problems.add(f"mapping of '{name}'", "a tensor of the dump", got)
        else:
            found[name] = entry, MAPPED if mapped.address is None else ADDRESS
    problems.raise_if_any("the mapping does not fit", InputError)
    used = {entry.name for entry, _ in found.values()}
    pairs = [
        Paired(t, *found[t.name], mapping[t.name].form.over(found[t.name][0].form)) for t in targets if t.name in found
    ]
    return Pairing(pairs, [entry.name for entry in dump.entries if entry.name not in used])


def _entry_of(dump: Dump, target: DumpTarget, mapped: Mapped) -> DumpEntry | None:
    """Return the entry that a mapping means: that of a name, or that of an address, which may lie in the image of a
    memory."""
    named = [entry for entry in dump.entries if mapped.entry in ("", entry.name)]
    if mapped.address is None:
        return named[0] if mapped.entry and named else None
    for entry in named:
        if entry.address == mapped.address and not mapped.entry:
            return entry
    dtype = dtype_of(mapped.form.over(target.stored))
    count = (target.dtype if dtype is None else dtype).itemsize * target.elements
    for entry in named:
        start = mapped.address - entry.address if entry.address is not None else -1
        if start >= 0 and start + count <= entry.stored.nbytes:
            return replace(entry, values=Within(entry.stored, start, count), raw=True)
    return None


def without_ones(shape: tuple[int, ...]) -> list[int]:
    """Drop axes of size 1, which do not affect the order of the elements."""
    return [size for size in shape if size != 1]
