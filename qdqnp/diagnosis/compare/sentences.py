"""The result of `compare` in sentences: what was not compared, which layers err by themselves, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence, Sized
from typing import TYPE_CHECKING

from qdqnp.diagnosis.compare.status import ARITHMETIC, FAULT, INSIDE, UNIT
from qdqnp.diagnosis.dumps.choose import REST, VALUES
from qdqnp.diagnosis.pairing import CONTENT, LABEL, LETTERS, NEARLY
from qdqnp.errors import shorten

if TYPE_CHECKING:
    from qdqnp.diagnosis.compare.report import CompareReport, CompareRow

# Of many names a sentence gives the first few; of many layers that err by themselves, the first few have a sentence.
SHOWN = 5


def not_compared(report: CompareReport) -> list[str]:
    """Return in sentences what was not compared."""
    lines = []
    if not report.computed:
        lines.append("nothing was compared that a layer computes: the dump has network inputs only")
    if report.unused:
        lines.append(
            f"not compared: {_count(report.unused, 'entry', 'entries')} of the dump, no tensor "
            f"of the model: {_listed(report.unused)}; --write-mapping and --mapping pair them"
        )
    if report.uncovered:
        labels = list(dict.fromkeys(tensor.label for tensor in report.uncovered))
        lines.append(
            f"not compared: {_count(labels, 'layer', 'layers')}, of which no tensor was dumped nor any that is "
            f"computed from them: {_listed(labels)}"
        )
    if report.missing:
        which = ", ".join(map(str, report.missing[:SHOWN])) + (", ..." if len(report.missing) > SHOWN else "")
        lines.append(
            f"not compared: {_count(report.missing, 'input', 'inputs')} of the golden set ({which}): the dump has "
            f"{report.cases}"
        )
    for problem in report.problems[:SHOWN]:
        lines.append(f"not compared: {problem}")
    if len(report.problems) > SHOWN:
        lines.append(f"not compared: {len(report.problems) - SHOWN} more entries (--json lists them)")
    for aside in [aside for aside in report.asides if aside.why][:SHOWN]:
        lines.append(f"not compared: '{shorten(aside.name, 60)}', an array of the golden set: {aside.why}")
    beside = [aside.name for aside in report.asides if not aside.why]
    if beside:
        lines.append(
            f"{_count(beside, 'entry', 'entries')} of the dump, other arrays of the golden set than its layers' "
            f"tensors, compared value by value: {_listed(beside)}"
        )
    if report.unread:
        lines.append(
            f"not read: {_count(report.unread, 'file', 'files')} of the dump, which are no tensors by "
            f"their names: {_listed(report.unread)}"
        )
    through = len(report.not_dumped) - len(report.uncovered)
    if through:
        lines.append(
            f"{through} tensors were not dumped; they were compared through those that are computed from them, "
            f"{len(report.rows)} in all"
        )
    if report.by_order:
        lines.append("no name of the dump fits: its entries were paired by order and shape, which is a guess")
    lines += _how_read(report)
    if report.diagnosed is not None:
        start, stop = report.diagnosed
        lines.append(f"all {report.cases} cases were compared; faults were looked for in cases {start} to {stop - 1}")
    return lines


def _how_read(report: CompareReport) -> list[str]:
    """Return in sentences how entries were paired and read, where names and shapes do not tell."""
    lines = []
    for how in (CONTENT, NEARLY, LABEL, LETTERS):
        entries = [row.entry for row in report.rows if row.paired == how]
        if entries:
            lines.append(f"paired by {how}: {_count(entries, 'entry', 'entries')} ({_listed(entries)})")
    told = Counter((row.read_as["layout"], row.read_as["by"]) for row in report.rows if row.read_as is not None)
    for (layout, by), count in told.items():
        if by in (REST, VALUES):
            lines.append(f"{count} entr{'y was' if count == 1 else 'ies were'} read as {layout}, as {by} told")
    return lines


def verdict(report: CompareReport) -> list[str]:
    """Return the result in sentences, the most important first."""
    lines = []
    first = report.first
    if first is not None and first.status != ARITHMETIC:
        lines += [
            _diverges(row, "also wrong by itself" if row is not first else "first divergence")
            for row in report.diverging[:SHOWN]
        ]
        more = len(report.diverging) - SHOWN
        if more > 0:
            lines.append(
                f"{more} more layers are wrong by themselves" if more > 1 else "one more layer is wrong by itself"
            )
    for found in dict.fromkeys(report.arithmetics.values()):
        many = "tensor differs" if found.explained == 1 else "tensors differ"
        lines.append(
            f"{found.op}: {found.explained} {many} from '{report.profile}' as another arithmetic does: "
            f"{', '.join(found.names)}"
        )
    for aside in report.wrong_asides[:SHOWN]:
        lines.append(
            f"{aside.role} '{aside.name}' of the dump is not the golden set's: "
            f"{aside.differing} of {aside.elements} elements differ"
        )
    lines = [*(lines or [_passes(report)]), *report.observations]
    failed = list(dict.fromkeys([*report.failed, *(text for row in report.rows for text in row.failed)]))
    return lines + [f"the search for faults is not complete: {text}; please report it" for text in failed]


def _diverges(row: CompareRow, which: str) -> str:
    where = f"{which}: layer {row.label or row.name} ({row.op}), tensor '{row.name}'"
    if len(row.segment) > 1:
        starts = ", ".join(repr(start) for start in row.starts)
        span = f"{row.segment[0]} to {row.segment[-1]} ({len(row.segment)})"
        where = f"{which}: between {starts} and '{row.name}', suspect layers {span}"
    what = f"{row.single.differing} of {row.single.elements} elements, largest {row.single.largest} {UNIT[row.codes]}"
    if row.status == FAULT:
        return f"{where}: {what}: {row.explanation}"
    if row.read_wrong or row.rounding or (row.envelope is not None and row.envelope.outside):
        return f"{where}: {what}: {row.explanation}"
    hint = "; dump tensors between them to narrow it down" if len(row.segment) > 1 else ""
    regular = f": {row.where}" if row.where else ""
    return f"{where}: {what}: no known fault and no known arithmetic explains it{regular}{hint}"


def _passes(report: CompareReport) -> str:
    differing = sum(row.entire.differing for row in report.rows)
    elements = sum(row.entire.elements for row in report.rows)
    over = f"{_count(report.rows, 'tensor', 'tensors')}, {_count(range(report.cases), 'case', 'cases')}"
    if not report.computed:
        return f"no verdict: nothing was compared that a layer computes ({over})"
    if not report.complete:
        what = f"{differing} of {elements} elements differ in what was compared, {over}"
        return f"{what}; the rest was left out" if report.partial else f"no verdict: {what}; --partial accepts that"
    if not differing:
        return f"equal: 0 of {elements} elements differ, {over}"
    inside = [row for row in report.rows if row.status == INSIDE]
    why = "what is not known of the arithmetic explains every difference" if inside else "within the tolerance"
    return f"passes: {differing} of {elements} elements differ, {over}; {why}"


def _count(items: Sized, one: str, many: str) -> str:
    return f"{len(items)} {one if len(items) == 1 else many}"


def _listed(names: Sequence[str]) -> str:
    """Quote a few names."""
    shown = ", ".join(f"'{shorten(name, 60)}'" for name in names[:SHOWN])
    return f"{shown}, ..." if len(names) > SHOWN else shown
