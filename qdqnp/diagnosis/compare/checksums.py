"""Compare checksums that a board printed: which layer is the first with other values. By how far it is off, a checksum
does not tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qdqnp.diagnosis.dump import SUFFIXES
from qdqnp.diagnosis.dumps.crc_log import CrcLog, checked_tensors, has_table, read_crc_log
from qdqnp.diagnosis.dumps.golden_dump import is_set
from qdqnp.diagnosis.stream import is_stream
from qdqnp.errors import shorten
from qdqnp.files.paths import FILE, FOLDER, kind_of
from qdqnp.golden_sets import GoldenSet, read
from qdqnp.golden_sets.tensor import GoldenTensor

#: What is known of a tensor.
EQUAL, OWN, UNKNOWN, UNCHECKED = "equal", "its own error", "wrong, perhaps inherited", "not checked"
SHOWN = 5


@dataclass(frozen=True)
class CheckedTensor:
    """One tensor of the set, and what its checksums say."""

    #: The ONNX name.
    name: str
    #: The layer that makes it; '' for an input of the network.
    label: str
    #: The layer's operator.
    op: str
    #: One of the words above.
    status: str
    #: The cases in which it is wrong.
    wrong: tuple[int, ...] = ()
    #: The cases without a checksum.
    missing: tuple[int, ...] = ()
    #: CRC-32 of the device and of the set in the first wrong case, as text; '' where it is not known.
    got: str = ""
    expected: str = ""

    def as_json(self) -> dict[str, Any]:
        listed = {"wrong": list(self.wrong), "missing": list(self.missing)}
        plain = ("name", "label", "op", "status", "got", "expected")
        return {key: getattr(self, key) for key in plain} | listed


@dataclass
class ChecksumReport:
    """What the checksums of a dump say."""

    #: Name of the set's profile.
    profile: str
    #: How many inputs the set has.
    cases: int
    #: The tensors in the order of the network.
    rows: list[CheckedTensor] = field(default_factory=list)
    #: Lines of the log whose tensor is not known.
    unknown: list[str] = field(default_factory=list)
    #: Whether it is no failure that something was not checked.
    partial: bool = False

    @property
    def wrong(self) -> list[CheckedTensor]:
        return [row for row in self.rows if row.wrong]

    @property
    def first(self) -> CheckedTensor | None:
        """Return the first tensor that is wrong while what it is computed from is right; else the first wrong one."""
        return next((row for row in self.rows if row.status == OWN), next(iter(self.wrong), None))

    @property
    def complete(self) -> bool:
        """Return whether every tensor was checked in every case."""
        return not self.unknown and not any(row.missing for row in self.rows)

    @property
    def computed(self) -> bool:
        """Return whether a tensor was checked that a layer computes."""
        return any(row.op and len(row.missing) < self.cases for row in self.rows)

    @property
    def exit_code(self) -> int:
        """Return 0 for equal, 1 for a tensor that differs, 2 where nothing differs but not everything was checked."""
        if self.wrong:
            return 1
        return 0 if self.computed and (self.complete or self.partial) else 2

    def not_compared(self) -> list[str]:
        """Return in sentences what was not checked."""
        lines = []
        left = [row.label or row.name for row in self.rows if row.missing]
        if left:
            lines.append(f"not compared: {len(left)} tensors without a checksum in every case: {_listed(left)}")
        if self.unknown:
            lines.append(
                f"not compared: {len(self.unknown)} checksums of no tensor of the set: {_listed(self.unknown)}"
            )
        return lines

    def verdict(self) -> list[str]:
        """Return the result in sentences, the most important first."""
        first, checked = self.first, sum(self.cases - len(row.missing) for row in self.rows)
        if first is None:
            if self.exit_code:
                return [f"no verdict: none of {checked} checksums differs, but not everything was checked"]
            return [f"equal: 0 of {checked} checksums differ, {len(self.rows)} tensors, {self.cases} cases"]
        what = f"CRC-32 {first.got}, expected {first.expected}, " if first.got else ""
        where = (
            f"in {'all' if len(first.wrong) == self.cases else 'some'} of {self.cases} cases ({_numbers(first.wrong)})"
        )
        own = [row for row in self.rows if row.status == OWN]
        lines = [
            f"first divergence: layer {first.label or first.name} ({first.op}), tensor '{first.name}': {what}{where}; "
            "a checksum does not tell by how far: dump this tensor and those that it is computed from"
        ]
        if first.status == OWN and first.op:
            lines[0] += ", which are right"
        others = [row.label or row.name for row in own if row is not first]
        if others:
            lines.append(
                f"{len(others)} other layers err by themselves, all that they read is right: {_listed(others)}"
            )
        rest = len(self.wrong) - len(own)
        if rest:
            lines.append(f"{rest} tensors differ that are computed from wrong ones, or from some that were not checked")
        return lines

    def as_json(self) -> dict[str, Any]:
        return {
            "not_compared": self.not_compared(),
            "complete": self.complete,
            "profile": self.profile,
            "equal": self.exit_code == 0,
            "verdict": self.verdict(),
            "cases": self.cases,
            "first_divergence": self.first.name if self.first is not None else None,
            "checksums": True,
            "layers": [row.as_json() for row in self.rows],
            "unknown": self.unknown,
        }


def crc_log_of(golden: Path, dump: Path) -> tuple[GoldenSet, CrcLog] | None:
    """Return a golden set and what a dump says of its checksums; None for a dump of values, and for what is none.

    Raises GoldenError for a damaged set.
    """
    if not is_set(golden) or not kind_of(dump):
        return None
    if kind_of(dump) == FILE and (dump.suffix in SUFFIXES or is_stream(dump)):
        return None
    if kind_of(dump) == FOLDER and not (is_set(dump) or has_table(dump)):
        return None
    found = read(golden)
    try:
        log = read_crc_log(dump, found)
    except OSError:
        return None
    return None if log is None else (found, log)


def compare_checksums(golden: GoldenSet, log: CrcLog, partial: bool = False) -> ChecksumReport:
    """Compare what a board said of its tensors with the checksums of a golden set.

    golden: the set; its model and its values are not needed.
    log: what the board said.
    partial: whether it is no failure that something was not checked.
    """
    report = ChecksumReport(golden.profile, golden.inputs, unknown=list(log.unknown), partial=partial)
    tensors = checked_tensors(golden)
    wrong = {tensor.name: _wrong(tensor, log, golden.inputs) for tensor in tensors}
    missing = {tensor.name: _missing(tensor, log, golden.inputs) for tensor in tensors}
    reads = {name: layer["inputs"] for layer in golden.manifest["layers"] for name in layer["outputs"]}
    constants = _constants(golden)
    for tensor in tensors:
        name = tensor.name
        right = [_is_right(reads.get(name), case, wrong, missing, constants) for case in wrong[name]]
        status = OWN if any(right) else UNKNOWN if wrong[name] else UNCHECKED if missing[name] else EQUAL
        told = next((case for case in wrong[name] if not isinstance(log.found[tensor.key, case], bool)), None)
        got = "" if told is None else f"{log.found[tensor.key, told]:08x}"
        expected = "" if told is None else tensor.crc32[told if tensor.varies else 0]
        report.rows.append(
            CheckedTensor(name, tensor.layer, tensor.op, status, wrong[name], missing[name], got, expected)
        )
    return report


def _constants(golden: GoldenSet) -> set[str]:
    """Return the names of what layers read and none makes; of a set of some layers, as far as it holds them."""
    layers = golden.manifest["layers"]
    held = {tensor.name for tensor in golden.tensors if not tensor.varies}
    if [layer["index"] for layer in layers] != list(range(len(layers))):
        return held
    made = {name for layer in layers for name in layer["outputs"]}
    inputs = {tensor.name for tensor in golden.tensors if tensor.role == "network_input"}
    return held | {name for layer in layers for name in layer["inputs"] if name not in made | inputs}


def _wrong(tensor: GoldenTensor, log: CrcLog, cases: int) -> tuple[int, ...]:
    def differs(case: int) -> bool:
        said = log.found.get((tensor.key, case), True)
        return not said if isinstance(said, bool) else f"{said:08x}" != tensor.crc32[case if tensor.varies else 0]

    return tuple(case for case in range(cases) if differs(case))


def _missing(tensor: GoldenTensor, log: CrcLog, cases: int) -> tuple[int, ...]:
    return () if log.whole else tuple(case for case in range(cases) if (tensor.key, case) not in log.found)


def _is_right(
    reads: Sequence[str] | None,
    case: int,
    wrong: Mapping[str, Sequence[int]],
    missing: Mapping[str, Sequence[int]],
    constants: set[str],
) -> bool:
    """Tell whether everything that a layer reads was checked and is right; constants are the device's own affair."""
    if reads is None:  # an input of the network
        return True
    return all(n in constants or (n in wrong and case not in wrong[n] and case not in missing[n]) for n in reads)


def _numbers(cases: Sequence[int]) -> str:
    return ", ".join(map(str, cases[:SHOWN])) + (", ..." if len(cases) > SHOWN else "")


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(f"'{shorten(name, 60)}'" for name in names[:SHOWN])
    return f"{shown}, ..." if len(names) > SHOWN else shown
