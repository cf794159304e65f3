"""The result of `compare`: a row for each dumped tensor, and the sentences that sum it up."""

from __future__ import annotations

import math
from collections.abc import Sequence, Sized
from dataclasses import asdict, dataclass, field
from typing import Any

from qdqnp.diagnosis.envelope import Envelope
from qdqnp.diagnosis.faults import Finding
from qdqnp.diagnosis.other_profiles import OtherProfile
from qdqnp.diagnosis.tally import Tally
from qdqnp.errors import shorten
from qdqnp.quant import Array

# What a row's own difference comes from.
EQUAL, INHERITED, TOLERATED, ARITHMETIC, INSIDE, FAULT, UNEXPLAINED = (
    "equal",
    "inherited",
    "tolerated",
    "another arithmetic",
    "inside the envelope",
    "fault",
    "unexplained",
)
FAILING = (ARITHMETIC, FAULT, UNEXPLAINED)
UNIT = {True: "LSB", False: "ULP"}
# Of many names a sentence gives the first few.
SHOWN = 5


@dataclass
class CompareRow:
    """One dumped tensor."""

    #: The ONNX name.
    name: str
    #: The name in the dump.
    entry: str
    #: The layer that makes the tensor; '' for a network input.
    label: str
    #: The layer's operator.
    op: str
    #: The shape of one case.
    shape: tuple[int, ...]
    #: The dtype of the codes or values.
    dtype: str
    #: Labels of the layers between this tensor and the dumped tensors before it. Where all tensors were dumped, the
    #: segment is the layer alone.
    segment: list[str]
    #: The dumped tensors and network inputs that the segment reads.
    starts: list[str]
    #: False for real tensors, whose differences are in ULP.
    codes: bool = True
    #: What was assumed to read the dump, and other remarks.
    notes: tuple[str, ...] = ()
    #: Number of elements of a float dump that do not stand for a code.
    off_grid: int = 0
    #: Number of elements of a float dump that stand for a code outside the dtype.
    off_range: int = 0
    #: Difference to the reference, which includes errors of earlier layers.
    entire: Tally = field(default_factory=Tally)
    #: Difference to the segment replayed from the device's own tensors, which is this layer's own error.
    single: Tally = field(default_factory=Tally)
    #: Elements of the dump at the lowest or the highest code.
    saturated: int = 0
    #: The metrics that `stedgeai validate` prints, by name.
    metrics: dict[str, float] = field(default_factory=dict)
    #: The LSB that the layer's own difference may have.
    tolerance: int = 0
    #: One of the status words above.
    status: str = EQUAL
    #: Whether the dump holds other values than the device continued with.
    read_wrong: bool = False
    #: The faults that explain the layer's own difference.
    findings: list[Finding] = field(default_factory=list)
    #: Whether so few elements differ that the findings say so.
    few: bool = False
    #: The recognizers of faults that failed, and how.
    failed: list[str] = field(default_factory=list)
    #: What the unknown parts of the profile allow; None where that was not asked for.
    envelope: Envelope | None = None
    #: Number of differing elements by channel and row, shape (C, H), over all cases: those of `single` where it has
    #: any, else those of `entire`.
    places: Array | None = None
    #: Where the layer's own differences lie and what they are, in one line; '' where nothing about them is regular.
    where: str = ""
    #: Whether every difference is 1 LSB beside a rounding boundary.
    rounding: bool = False

    @property
    def own(self) -> Tally:
        """Return the differences to show first: the layer's own or, where it does not have any, the inherited ones."""
        return self.single if self.single.differing else self.entire

    @property
    def saturation(self) -> float:
        """Return the share of the device's elements that are the lowest or the highest code."""
        return self.saturated / self.entire.elements if self.entire.elements else 0.0

    def _counts(self, tally: Tally) -> dict[str, Any]:
        counts = tally.as_json("elements", "differing", "largest", "mean", "first", "histogram")
        return {**counts, "saturation": self.saturation}

    @property
    def explanation(self) -> str:
        """Put the row's status into words."""
        if self.status == FAULT:
            text = self._named()
            return f"{text}; in the dump only: the device went on with the right values" if self.read_wrong else text
        unnamed = self._unnamed()
        return f"{unnamed}: {self.where}" if unnamed and self.where else unnamed

    def _unnamed(self) -> str:
        """Put a status that no fault explains into words."""
        if self.read_wrong:
            return "the dump is wrong, the device went on with the right values"
        if self.status == UNEXPLAINED and self.envelope is not None and self.envelope.outside:
            return f"not explainable by this arithmetic, {self.envelope.outside} elements outside the envelope"
        if self.rounding:
            return "1 LSB beside rounding boundaries, another rounding than any known one"
        return self.status if self.status != EQUAL else ""

    def _named(self) -> str:
        """Name the faults: several as possible ones, and on little evidence with what there is."""
        text = " or ".join(str(finding) for finding in self.findings)
        text = f"could be {text}" if len(self.findings) > 1 else text
        if not self.few or not self.single.differing:
            return text
        count = self.single.differing
        return f"on the evidence of {'one element' if count == 1 else f'{count} elements'}: {text}"

    def as_json(self) -> dict[str, Any]:
        plain = (
            "name",
            "entry",
            "label",
            "op",
            "shape",
            "dtype",
            "segment",
            "starts",
            "notes",
            "off_grid",
            "off_range",
            "tolerance",
            "status",
            "read_wrong",
            "explanation",
            "where",
        )
        return {
            **{key: getattr(self, key) for key in plain},
            "metrics": {key: value if math.isfinite(value) else None for key, value in self.metrics.items()},
            "unit": UNIT[self.codes],
            "entire": self._counts(self.entire),
            "single": self._counts(self.single),
            "findings": [asdict(finding) for finding in self.findings],
            "few": self.few,
            "failed": self.failed,
            "envelope": self.envelope.as_json() if self.envelope is not None else None,
        }


@dataclass(frozen=True)
class NotDumped:
    """A tensor that the model makes and that the dump does not hold."""

    #: The ONNX name.
    name: str
    #: The layer that makes it.
    label: str
    #: The layer's operator.
    op: str
    #: Whether a compared tensor is computed from it: then it was compared through that one.
    through: bool


@dataclass
class CompareReport:
    """The rows of all dumped tensors, and what the comparison says of the whole network."""

    #: Name of the reference's profile.
    profile: str
    #: One row for each dumped tensor, in the order of the network.
    rows: list[CompareRow] = field(default_factory=list)
    #: For each operator, the other profile that explains its layers.
    arithmetics: dict[str, OtherProfile] = field(default_factory=dict)
    #: How many cases were compared.
    cases: int = 0
    #: Entries of the dump that are not a tensor of the model.
    unused: list[str] = field(default_factory=list)
    #: Entries of the dump that are other arrays of the golden set: weights, sums, a layer's inputs.
    asides: list[str] = field(default_factory=list)
    #: Files of the dump that were not read.
    unread: tuple[str, ...] = ()
    #: Tensors of the model that the dump does not hold, in the order of the network.
    not_dumped: list[NotDumped] = field(default_factory=list)
    #: The reference's inputs, from the dump's first one on, of which the dump has no case.
    missing: list[int] = field(default_factory=list)
    #: Whether entries were paired with tensors by their order and shapes alone.
    by_order: bool = False
    #: Whether it is no failure that something was not compared.
    partial: bool = False
    #: Whether the envelope was used.
    enveloped: bool = False
    #: What is odd of the dump as a whole, in sentences.
    observations: list[str] = field(default_factory=list)
    #: Searches over the whole dump that failed, and how.
    failed: list[str] = field(default_factory=list)

    @property
    def undumped(self) -> list[str]:
        """List the names of the tensors that the dump does not hold."""
        return [tensor.name for tensor in self.not_dumped]

    @property
    def uncovered(self) -> list[NotDumped]:
        """List the tensors that were not compared at all: not dumped, and no compared tensor is computed from them."""
        return [tensor for tensor in self.not_dumped if not tensor.through]

    @property
    def computed(self) -> bool:
        """Return whether a tensor was compared that a layer computes: a network input says nothing of the device."""
        return any(row.op for row in self.rows)

    @property
    def complete(self) -> bool:
        """Return whether everything was compared: every entry of the dump, every layer, every input."""
        return self.computed and not (self.unused or self.uncovered or self.missing)

    @property
    def exit_code(self) -> int:
        """Return 0 for equal, 1 for a layer that differs, and 2 where nothing differs but not everything was compared
        (unless that was accepted), or nothing that a layer computes."""
        if not self.computed:
            return 2
        if self.failing:
            return 1
        return 0 if self.complete or self.partial else 2

    @property
    def failing(self) -> list[CompareRow]:
        return [row for row in self.rows if row.status in FAILING]

    @property
    def first(self) -> CompareRow | None:
        """Return the first row with an error of its own. A fault comes before another arithmetic, which shows
        everywhere."""
        order = [row for row in self.rows if row.status in (FAULT, UNEXPLAINED)]
        return (order or self.failing or [None])[0]  # type: ignore[list-item]

    @property
    def equal(self) -> bool:
        """Return whether every layer computes what it should: all of them, or as many as was accepted."""
        return self.exit_code == 0

    def not_compared(self) -> list[str]:
        """Return in sentences what was not compared; a report says these first."""
        lines = []
        if not self.computed:
            lines.append("nothing was compared that a layer computes: the dump has network inputs only")
        if self.unused:
            lines.append(
                f"not compared: {_count(self.unused, 'entry', 'entries')} of the dump, no tensor "
                f"of the model: {_listed(self.unused)}; --write-mapping and --mapping pair them"
            )
        if self.uncovered:
            labels = list(dict.fromkeys(tensor.label for tensor in self.uncovered))
            lines.append(
                f"not compared: {_count(labels, 'layer', 'layers')}, of which no tensor was dumped nor any that is "
                f"computed from them: {_listed(labels)}"
            )
        if self.missing:
            which = ", ".join(map(str, self.missing[:SHOWN])) + (", ..." if len(self.missing) > SHOWN else "")
            lines.append(
                f"not compared: {_count(self.missing, 'input', 'inputs')} of the golden set ({which}): the dump has "
                f"{self.cases}"
            )
        if self.asides:
            lines.append(
                f"not compared: {_count(self.asides, 'entry', 'entries')} of the dump, other arrays of the golden set "
                f"than its layers' tensors: {_listed(self.asides)}"
            )
        if self.unread:
            lines.append(
                f"not read: {_count(self.unread, 'file', 'files')} of the dump, neither .npy nor "
                f".bin: {_listed(self.unread)}"
            )
        through = len(self.not_dumped) - len(self.uncovered)
        if through:
            lines.append(
                f"{through} tensors were not dumped; they were compared through those that are computed from them, "
                f"{len(self.rows)} in all"
            )
        if self.by_order:
            lines.append("no name of the dump fits: its entries were paired by order and shape, which is a guess")
        return lines

    def verdict(self) -> list[str]:
        """Return the result in sentences, the most important first."""
        lines = []
        first = self.first
        if first is not None and first.status != ARITHMETIC:
            lines.append(self._diverges(first))
        for found in dict.fromkeys(self.arithmetics.values()):
            many = "tensor differs" if found.explained == 1 else "tensors differ"
            lines.append(
                f"{found.op}: {found.explained} {many} from '{self.profile}' as another arithmetic does: "
                f"{', '.join(found.names)}"
            )
        lines = [*(lines or [self._passes()]), *self.observations]
        failed = list(dict.fromkeys([*self.failed, *(text for row in self.rows for text in row.failed)]))
        return lines + [f"the search for faults is not complete: {text}; please report it" for text in failed]

    def _diverges(self, row: CompareRow) -> str:
        where = f"first divergence: layer {row.label or row.name} ({row.op}), tensor '{row.name}'"
        if len(row.segment) > 1:
            starts = ", ".join(repr(start) for start in row.starts)
            span = f"{row.segment[0]} to {row.segment[-1]} ({len(row.segment)})"
            where = f"first divergence: between {starts} and '{row.name}', suspect layers {span}"
        what = (
            f"{row.single.differing} of {row.single.elements} elements, largest {row.single.largest} {UNIT[row.codes]}"
        )
        if row.status == FAULT:
            return f"{where}: {what}: {row.explanation}"
        if row.read_wrong or row.rounding or (row.envelope is not None and row.envelope.outside):
            return f"{where}: {what}: {row.explanation}"
        hint = "; dump tensors between them to narrow it down" if len(row.segment) > 1 else ""
        regular = f": {row.where}" if row.where else ""
        return f"{where}: {what}: no known fault and no known arithmetic explains it{regular}{hint}"

    def _passes(self) -> str:
        differing = sum(row.entire.differing for row in self.rows)
        elements = sum(row.entire.elements for row in self.rows)
        over = f"{_count(self.rows, 'tensor', 'tensors')}, {_count(range(self.cases), 'case', 'cases')}"
        if not self.computed:
            return f"no verdict: nothing was compared that a layer computes ({over})"
        if not self.complete:
            what = f"{differing} of {elements} elements differ in what was compared, {over}"
            return f"{what}; the rest was left out" if self.partial else f"no verdict: {what}; --partial accepts that"
        if not differing:
            return f"equal: 0 of {elements} elements differ, {over}"
        inside = [row for row in self.rows if row.status == INSIDE]
        why = "what is not known of the arithmetic explains every difference" if inside else "within the tolerance"
        return f"passes: {differing} of {elements} elements differ, {over}; {why}"

    def as_json(self) -> dict[str, Any]:
        first = self.first
        return {
            "not_compared": self.not_compared(),
            "complete": self.complete,
            "profile": self.profile,
            "equal": self.equal,
            "verdict": self.verdict(),
            "cases": self.cases,
            "first_divergence": first.name if first is not None else None,
            "arithmetics": [
                {"op": x.op, "profiles": x.names, "explained": x.explained, "contradicting": x.contradicting}
                for x in dict.fromkeys(self.arithmetics.values())
            ],
            "layers": [row.as_json() for row in self.rows],
            "unused": self.unused,
            "undumped": self.undumped,
            "uncovered": [tensor.name for tensor in self.uncovered],
            "missing_inputs": self.missing,
            "unread": list(self.unread),
            "asides": self.asides,
            "observations": self.observations,
        }


def _count(items: Sized, one: str, many: str) -> str:
    return f"{len(items)} {one if len(items) == 1 else many}"


def _listed(names: Sequence[str]) -> str:
    """Quote a few names."""
    shown = ", ".join(f"'{shorten(name, 60)}'" for name in names[:SHOWN])
    return f"{shown}, ..." if len(names) > SHOWN else shown
