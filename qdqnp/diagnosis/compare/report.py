"""The result of `compare`: a row for each dumped tensor, and the sentences that sum it up."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from qdqnp.diagnosis.compare import sentences
from qdqnp.diagnosis.compare.asides import COMPUTED, Aside
from qdqnp.diagnosis.compare.status import EQUAL, FAILING, FAULT, UNEXPLAINED, UNIT
from qdqnp.diagnosis.envelope import Envelope
from qdqnp.diagnosis.faults import Finding
from qdqnp.diagnosis.other_profiles import OtherProfile
from qdqnp.diagnosis.tally import Tally
from qdqnp.errors import Problem
from qdqnp.quant import Array

# Of more faults that explain a layer, a sentence names the first few.
NAMED = 4


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
    #: How the entry was paired with the tensor, in words of qdqnp.diagnosis.pairing.
    paired: str = ""
    #: How the entry was read: layout, dtype, offset, values, cases, and by what the layout was told; None where it was
    #: not read.
    read_as: dict[str, Any] | None = None

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
        more = len(self.findings) - NAMED
        named = [str(finding) for finding in self.findings[:NAMED]]
        text = " or ".join([*named, f"{more} other{'s' if more > 1 else ''}"] if more > 0 else named)
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
            "paired",
            "read_as",
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
    asides: list[Aside] = field(default_factory=list)
    #: What could not be read or paired: files, entries of another size, cases that are missing.
    problems: list[Problem] = field(default_factory=list)
    #: Whether the golden set holds anything that a layer computes.
    computes: bool = True
    #: The cases in which faults were looked for, as (start, stop); None for all.
    diagnosed: tuple[int, int] | None = None
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
        if any(row.op for row in self.rows) or any(a.elements and a.role in COMPUTED for a in self.asides):
            return True
        return not self.computes and any(aside.elements for aside in self.asides)

    @property
    def complete(self) -> bool:
        """Return whether everything was compared: every entry of the dump, every layer, every input."""
        left = self.unused or self.uncovered or self.missing or self.problems or any(a.why for a in self.asides)
        return self.computed and not left

    @property
    def exit_code(self) -> int:
        """Return 0 for equal, 1 for a layer that differs, and 2 where nothing differs but not everything was compared
        (unless that was accepted), or nothing that a layer computes."""
        if not self.computed:
            return 2
        if self.failing or self.wrong_asides:
            return 1
        return 0 if self.complete or self.partial else 2

    @property
    def failing(self) -> list[CompareRow]:
        return [row for row in self.rows if row.status in FAILING]

    @property
    def wrong_asides(self) -> list[Aside]:
        """List the other arrays of the golden set that the dump has other values of."""
        return [aside for aside in self.asides if aside.differing]

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

    @property
    def diverging(self) -> list[CompareRow]:
        """Return the rows that err by themselves, the first divergence first."""
        first = self.first
        own = [row for row in self.rows if row.status in (FAULT, UNEXPLAINED) and row is not first]
        return own if first is None else [first, *own]

    def not_compared(self) -> list[str]:
        """Return in sentences what was not compared."""
        return sentences.not_compared(self)

    def verdict(self) -> list[str]:
        """Return the result in sentences, the most important first."""
        return sentences.verdict(self)

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
            "diverging": [row.name for row in self.diverging],
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
            "asides": [asdict(aside) for aside in self.asides],
            "problems": [asdict(problem) for problem in self.problems],
            "diagnosed": self.diagnosed,
            "observations": self.observations,
        }
