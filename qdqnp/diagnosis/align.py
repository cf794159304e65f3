"""Align: pair dump entries with the model's tensors, and read their values as codes in the model's layout."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from qdqnp.diagnosis.dump import Dump, DumpEntry
from qdqnp.diagnosis.dumps.choose import REST, VALUES, Chosen, choose
from qdqnp.diagnosis.dumps.content import Values
from qdqnp.diagnosis.dumps.readings import ValuesError, notes_of, read_case, readings, to_codes
from qdqnp.diagnosis.dumps.storage import Storage
from qdqnp.diagnosis.pairing import KEY, MANIFEST, MAPPED, NAME, ROLE, Mapped, Paired, pair
from qdqnp.diagnosis.remembered import Remembered, Room
from qdqnp.diagnosis.targets import DumpTarget
from qdqnp.errors import InputError, Problem, Problems
from qdqnp.quant import Array

__all__ = ["Aligned", "DumpedTensor", "Misfit", "align", "pair", "to_codes"]


@dataclass(frozen=True, eq=False)
class DumpedTensor:
    """A tensor of the model that was found in a dump."""

    #: The tensor of the model.
    target: DumpTarget
    #: The name of the dump entry.
    entry: str
    #: For each case its codes in the target's shape, or its real values where the target does not have codes. Codes of
    #: a float dump may lie outside the dtype's range and are int64 then. Those of a large dump are read when needed.
    cases: Sequence[Array]
    #: What was assumed to read the entry.
    notes: tuple[str, ...] = ()
    #: Number of elements of a float dump that do not stand for a code.
    off_grid: int = 0
    #: Number of elements of a float dump that stand for a code outside the dtype.
    off_range: int = 0
    #: Whether the dump has real values where the tensor has codes.
    real: bool = False
    #: How the entry was paired with the tensor.
    paired: str = NAME
    #: How the entry is stored, and what told that; None for a tensor that was not read from an entry.
    chosen: Chosen | None = None


@dataclass(frozen=True, eq=False)
class Misfit:
    """An entry whose size is not the tensor's. The fault recognizers may still explain it."""

    target: DumpTarget
    entry: DumpEntry
    #: The expected size in words.
    expected: str
    #: The entry's size in words.
    got: str

    @property
    def problem(self) -> Problem:
        """Return what is wrong with the entry."""
        return Problem(f"dump entry '{self.entry.name}' for '{self.target.name}'", self.expected, self.got)


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
    #: Whether some of the pairs are a guess: no name told them, only the entries' order and shapes.
    by_order: bool = False
    #: What cannot be read of the dump: files, and entries with values that their tensors cannot have.
    problems: list[Problem] = field(default_factory=list)
    #: The entries of the dump by name.
    entries: dict[str, DumpEntry] = field(default_factory=dict)


def align(
    dump: Dump,
    targets: Sequence[DumpTarget],
    cases: int,
    mapping: Mapping[str, Mapped] | None = None,
    form: Storage | None = None,
    values: Values | None = None,
) -> Aligned:
    """Pair the entries with the targets and read them.

        dump: the entries.
        targets: the tensors of the model that may be in the dump.
        cases: how many network inputs the dump may hold, one after the other.
        mapping: by ONNX name, the entry. If given, entries are paired by it alone. Without it they are paired by ONNX
            name, by their name in the golden set, by the layer's label, by the letters and digits of these, then by
            their values; if that pairs nothing, by order and shape, which is said to be a guess.
        form: what is said of how all entries are stored.
        values: by case of the dump, what every tensor should be; without them nothing is paired or read by values.

    What cannot be read is listed. Raises InputError where nothing can.
    """
    pairing = pair(dump, targets, cases, mapping, values)
    found = Aligned(unused=pairing.unused, unread=dump.unread, by_order=pairing.by_order)
    found.problems, found.entries = list(dump.problems), {entry.name: entry for entry in dump.entries}
    said = form or Storage()
    pairs = [Paired(p.target, p.entry, p.how, p.form.over(said)) for p in pairing.pairs]
    listed = [(p, readings(p.target, p.entry, p.form, cases, dump.channel_last)) for p in pairs]
    fitting = [(p, some) for p, some in listed if some]
    found.misfits = [_misfit(p, cases) for p, some in listed if not some]
    room = Room()
    for (one, _), chosen in zip(fitting, choose(fitting, values), strict=True):
        tensor = _read(one, chosen, found.problems, room)
        if tensor is not None:
            found.tensors[one.target.name] = tensor
    _same_count(found)
    if not found.tensors and not found.misfits:
        problems = Problems(list(found.problems))
        if not pairing.pairs:
            names = ", ".join(f"'{entry.name}'" for entry in dump.entries[:5])
            problems.add(f"dump {dump.path}", "tensors of the model", names, "Write a mapping with --write-mapping.")
        problems.raise_if_any("the dump does not fit the model", InputError)
    return found


def _misfit(paired: Paired, cases: int) -> Misfit:
    many = f", once to {cases} times" if cases > 1 else ""
    expected = f"{paired.target.dtype}{list(paired.target.shape)}{many}"
    return Misfit(paired.target, paired.entry, expected, paired.entry.words)


def _read(paired: Paired, chosen: Chosen, problems: list[Problem], room: Room) -> DumpedTensor | None:
    """Read every case once, to see whether it can be read; None where it cannot."""
    target, entry, reading = paired.target, paired.entry, chosen.reading
    where = f"dump entry '{entry.name}' for '{target.name}'"
    off_grid = off_range = 0
    cases = Remembered(reading.cases, lambda case: read_case(target, entry, reading, case).codes, room)
    try:
        for case in range(reading.cases):
            made = read_case(target, entry, reading, case)
            off_grid, off_range = off_grid + made.off_grid, off_range + made.off_range
            cases.keep(case, made.codes)
    except ValuesError as error:
        problems.append(error.problem(where))
        return None
    except (OSError, ValueError) as error:
        problems.append(Problem(where, "values that can be read", str(error)))
        return None
    notes = (*notes_of(target, entry, reading), *_said(paired, chosen))
    return DumpedTensor(target, entry.name, cases, tuple(notes), off_grid, off_range, reading.real, paired.how, chosen)


def _said(paired: Paired, chosen: Chosen) -> list[str]:
    """Return how an entry was paired and what told its order of axes, where that is not plain."""
    notes = []
    if chosen.by in (REST, VALUES):
        notes.append(f"read as {chosen.reading.layout} by {chosen.by}")
    if paired.how not in (NAME, KEY, ROLE, MAPPED, MANIFEST):
        notes.append(f"paired by {paired.how}")
    return notes


def _same_count(found: Aligned) -> None:
    """Leave out the tensors of another number of cases than most have, each with its reason."""
    counts = Counter(len(tensor.cases) for tensor in found.tensors.values())
    most = max(counts, key=lambda count: (counts[count], count), default=0)
    for name, tensor in list(found.tensors.items()):
        if len(tensor.cases) != most:
            expected = f"{most} case{'s' if most > 1 else ''}, as {counts[most]} of {len(found.tensors)} tensors have"
            found.problems.append(
                Problem(f"dump entry '{tensor.entry}' for '{name}'", expected, str(len(tensor.cases)))
            )
    found.tensors = {name: tensor for name, tensor in found.tensors.items() if len(tensor.cases) == most}
