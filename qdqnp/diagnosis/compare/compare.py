"""compare: check a device's tensors against the reference, and say which layer is wrong, by how far, and why."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from qdqnp.diagnosis import other_profiles, remembered
from qdqnp.diagnosis.align import Aligned, DumpedTensor, Misfit
from qdqnp.diagnosis.compare.asides import COMPUTED, asides
from qdqnp.diagnosis.compare.comparators import Comparator, ComparedTensor, measured
from qdqnp.diagnosis.compare.report import CompareReport, CompareRow, NotDumped
from qdqnp.diagnosis.compare.status import ARITHMETIC, EQUAL, FAULT, INHERITED, INSIDE, TOLERATED, UNEXPLAINED
from qdqnp.diagnosis.compare.whole import observations
from qdqnp.diagnosis.envelope import Envelope, envelope
from qdqnp.diagnosis.faults import Finding, Findings, Suspect, findings, guarded
from qdqnp.diagnosis.faults.boundary import at_boundaries
from qdqnp.diagnosis.faults.extent import misfit
from qdqnp.diagnosis.remembered import Remembered, nbytes
from qdqnp.diagnosis.replay import Device, Reference, Values, expected
from qdqnp.diagnosis.tally import Metrics, ordered, same
from qdqnp.diagnosis.targets import DumpTarget
from qdqnp.diagnosis.tolerance import Tolerance
from qdqnp.diagnosis.where import where
from qdqnp.errors import InputError, Problem
from qdqnp.numerics import float32
from qdqnp.quant import Array

# Recognizers run on this many layers with errors of their own; one wrong layer is common, more than these are not.
MAX_DIAGNOSED = 16
# In longer segments only the tensor itself is looked at: a fault of an early layer would explain everything after it.
MAX_SUSPECTS = 12
# As many cases of a large dump are diagnosed, whatever memory they take: with fewer, faults fit by chance.
LEAST_DIAGNOSED = 4
# An entry that is larger than all cases of its tensor by more than this is no dump of it.
MOST_TIMES = 16


@dataclass(frozen=True)
class CompareOptions:
    """What `compare` tolerates and looks for."""

    #: LSB that a layer's own difference may have.
    tolerance: Tolerance = field(default_factory=Tolerance)
    #: Whether differences within what is not known of the profile are excused.
    use_envelope: bool = False
    #: Whether to look for faults that explain the differences.
    diagnose: bool = True
    #: Whether entries, layers and inputs that were not compared are accepted.
    partial: bool = False
    #: Measures of the user's, by name (qdqnp.diagnosis.compare.comparators).
    comparators: Mapping[str, Comparator] = field(default_factory=dict)


def compare(
    reference: Reference, aligned: Aligned, options: CompareOptions | None = None, first: int = 0
) -> CompareReport:
    """Compare a dump with the reference.

        reference: what the device should have made.
        aligned: the dump, paired with the reference's tensors.
        options: tolerance and what to look for; the defaults of CompareOptions if None.
        first: the case of the reference that corresponds to the dump's first case.

    Raises InputError where nothing of the dump fits the model, and where the reference has fewer cases than the dump.

    >>> import numpy as np
    >>> from pathlib import Path
    >>> from qdqnp import golden_sets
    >>> from qdqnp.inputs.shipped import shipped_model
    >>> options = golden_sets.Options()
    >>> x = np.zeros((1, 3, 32, 32), np.float32)
    >>> written = golden_sets.write(Path("vectors"), shipped_model("dla46_c_int8"), [{"input": x}], 1, options=options)
    >>> from qdqnp.diagnosis.align import align
    >>> from qdqnp.diagnosis.dump import read_dump
    >>> from qdqnp.diagnosis.dump_writer import write_dump
    >>> from qdqnp.diagnosis.reference import reference_from
    >>> reference = reference_from(Path("vectors"))
    >>> name = "level0.2_QuantizeLinear_Output"
    >>> mapped = write_dump(Path("dump"), {name: [np.zeros_like(reference.cases[0][name])]})
    >>> report = compare(reference, align(read_dump(Path("dump")), reference.targets, cases=1))
    >>> [(row.label, str(row.findings[0])) for row in report.rows]
    [('level0.0', 'all zero (0 everywhere, in layer level0.0)')]
    """
    chosen = options or CompareOptions()
    misfits, problems = _misfits(reference, aligned, first)
    if not aligned.tensors and not misfits:
        raise InputError("the dump does not fit the model", problems or aligned.problems)
    dumped = Device(reference, aligned, first)
    # Of a large dump some cases are diagnosed, and all are counted.
    part = window(dumped)
    sample = dumped.only(part)
    arithmetics, failure = guarded("other arithmetics", lambda: _arithmetics(sample)) if chosen.diagnose else ({}, "")
    arithmetics = arithmetics or {}
    profiles = {op: found.profile for op, found in arithmetics.items()}
    # `judged` is the device by the arithmetic found, `device` by the reference's; both know what it went on with
    judged_sample = _trusted(sample.under(profiles))
    judged = judged_sample if sample is dumped else _as_trusted(dumped.under(profiles), judged_sample)
    device, theirs = judged.under({}), judged.replays
    report = CompareReport(reference.profile.name, cases=device.count)
    _name_left_out(report, reference, aligned, problems, first)
    report.partial = chosen.partial
    report.missing = list(range(first + device.count, len(reference.cases)))
    report.enveloped, report.failed = chosen.use_envelope, [failure] if failure else []
    report.diagnosed = None if sample is dumped else (part.start, part.stop)
    report.rows = _rows(device, [tensor.target for tensor in _in_order(reference, device)], chosen)
    report.not_dumped = _not_dumped(device, misfits)
    sampled = judged_sample.under({})
    _say_where(sampled, report)
    _excuse(sampled, report, chosen)
    if arithmetics:
        report.arithmetics = arithmetics
        _judge_all(judged, report, theirs)
        _doubt_the_lonely(sampled, report, sampled.replays)
    if chosen.diagnose:
        report.observations = observations(sampled)
        _find_faults(judged_sample, report, judged_sample.replays)
    report.rows += [_misfit_row(reference, name, finding) for name, finding in misfits.items()]
    order = {target.name: index for index, target in enumerate(reference.targets)}
    report.rows.sort(key=lambda row: order[row.name])
    return report


def _name_left_out(
    report: CompareReport, reference: Reference, aligned: Aligned, problems: Sequence[Problem], first: int
) -> None:
    """Say in the report what of the dump is not compared as a tensor of the model."""
    report.asides = list(asides(reference.golden, aligned, first))
    beside = {aside.name for aside in report.asides}
    report.unused = [name for name in aligned.unused if name not in beside]
    report.unread, report.by_order = aligned.unread, aligned.by_order
    report.problems = [*aligned.problems, *problems]
    golden = reference.golden
    report.computes = golden is None or any(tensor.role in COMPUTED for tensor in golden.tensors)


def _in_order(reference: Reference, device: Device) -> list[DumpedTensor]:
    return [device.tensors[target.name] for target in reference.targets if target.name in device.tensors]


def _not_dumped(device: Device, misfits: Collection[str]) -> list[NotDumped]:
    """List the tensors that the dump lacks. A tensor that nothing reads is no output either: nobody misses it."""
    program, holders = device.reference.plan.program, device.holders()
    read = {name for step in program.steps for name in step.input_names}
    replayed = {index for segment in device.segments.values() for index in segment.steps}
    through = {name for index in replayed for name in program.steps[index].input_names}
    return [
        NotDumped(target.name, target.label, target.op, target.name in through)
        for target in device.reference.targets
        if target.step >= 0
        and target.name not in device.tensors
        and target.name not in misfits
        and target.codes not in holders
        and (target.name in read or target.name in program.outputs)
        and (device.reference.held is None or target.name in device.reference.held)
    ]


# -- entries of a wrong size ----------------------------------------------------------------------------
def _misfits(reference: Reference, aligned: Aligned, first: int) -> tuple[dict[str, Finding], list[Problem]]:
    """Return the fault that explains each entry of a wrong size, and the entries that no fault explains."""
    found: dict[str, Finding] = {}
    problems = []
    for item in aligned.misfits:
        finding, _ = guarded("misfit", lambda: _explained(reference, item, first))  # noqa: B023
        if finding is not None:
            found[item.target.name] = finding
        else:
            problems.append(item.problem)
    return found, problems


def _explained(reference: Reference, item: Misfit, first: int) -> Finding | None:
    """Return the fault that explains an entry of a wrong size; None where there is none, and of entries so large that
    they are no tensor's."""
    one = reference.cases[first][item.target.codes]
    count = len(reference.cases) - first
    if item.entry.stored.nbytes > MOST_TIMES * max(one.nbytes, 1) * count or one.nbytes * count > remembered.KEPT:
        return None
    found = misfit(item, one)
    if found is None and count > 1:
        found = misfit(item, np.concatenate([case[item.target.codes] for case in reference.cases[first:]]))
    return found


def _misfit_row(reference: Reference, name: str, finding: Finding) -> CompareRow:
    target = reference.target[name]
    row = CompareRow(name, "", target.label, target.op, target.shape, str(target.dtype), [target.label], [])
    row.status, row.findings, row.notes = FAULT, [finding], ("its size is wrong; left out of the comparison",)
    return row


# -- whom to trust --------------------------------------------------------------------------------------
def window(device: Device) -> range:
    """Return the cases that are diagnosed: all, or of a large dump as many as memory is meant for, from the first on in
    which a layer errs by itself."""
    size = sum(nbytes(array) for array in device.reference.cases[device.first].values()) if device.count else 0
    most = max(LEAST_DIAGNOSED, remembered.KEPT // max(size, 1))
    if device.count <= most:
        return range(device.count)
    for case in range(device.count):
        made = device.replays[case]
        if any(not _right(device, name, case, made) for name in device.segments):
            start = min(case, device.count - most)
            return range(start, start + most)
    return range(most)


def _trusted(device: Device) -> Device:
    """Return the device without the tensors that were dumped wrongly. Every reader of such a tensor fits the values
    that it should have, and not those that it shows; the replay then continues with the right values."""
    made = device.replays
    for name in [target.name for target in device.reference.targets if target.name in device.segments]:
        if _wrong(device, name, made) and _went_on_right(device, name, made):
            device = device.distrusting(name, _codes(made, device.tensors[name].target.codes))
            made = device.replays
    return device


def _as_trusted(device: Device, sample: Device) -> Device:
    """Return the device without the tensors that some of its cases showed to be dumped wrongly."""
    for name in sample.corrected:
        device = device.distrusting(name, _codes(device.replays, device.tensors[name].target.codes))
    return device


def _codes(made: Sequence[Values], codes: str) -> Sequence[Array]:
    return Remembered(len(made), lambda case: made[case][codes])


def _wrong(device: Device, name: str, made: Sequence[Values]) -> bool:
    return not all(_right(device, name, case, made[case]) for case in range(device.count))


def _right(device: Device, name: str, case: int, made: Values) -> bool:
    tensor = device.tensors[name]
    return same(expected(device, tensor.target, case, made), tensor.cases[case])


def _went_on_right(device: Device, name: str, made: Sequence[Values]) -> bool:
    codes = device.tensors[name].target.codes
    if device.holders().get(codes) != name:
        return False
    readers = [n for n, segment in device.segments.items() if codes in segment.starts]
    told = False
    for reader in readers:
        right = all(
            same(
                device.run_segment(reader, {**device.values(case), codes: made[case][codes]}),
                device.tensors[reader].cases[case],
            )
            for case in range(device.count)
        )
        if not right:
            return False
        told = told or _wrong(device, reader, made)
    return told


# -- rows -----------------------------------------------------------------------------------------------
def _rows(device: Device, targets: Sequence[DumpTarget], options: CompareOptions) -> list[CompareRow]:
    """Compare the tensors case by case: of a large dump no more than a case is in memory."""
    rows = [_row(device, target, options) for target in targets]
    counted = [(Metrics(), _Counts(), _Counts()) for _ in targets]
    for case in range(device.count):
        made, right = device.replays[case], device.reference.cases[device.first + case]
        for target, row, (metrics, entire, single) in zip(targets, rows, counted, strict=True):
            got, want = device.tensors[target.name].cases[case], right[target.codes]
            codes, (low, high) = ordered(got), target.limits
            own = ordered(expected(device, target, case, made))
            row.entire.add(codes, ordered(want))
            row.single.add(codes, own)
            row.saturated += int(np.count_nonzero((codes <= low) | (codes >= high)))
            metrics.add(_real(target, want), _real(target, got))
            entire.add(codes != ordered(want))
            single.add(codes != own)
    for target, row, (metrics, entire, single) in zip(targets, rows, counted, strict=True):
        row.metrics = {**metrics.found(), **_measured(device, target, options)}
        own_places = single.counts if row.single.differing else entire.counts
        row.places = own_places if row.entire.differing else None
        row.status = _status(row)
    return rows


def _measured(device: Device, target: DumpTarget, options: CompareOptions) -> dict[str, float]:
    """Return what the user's comparators say of a tensor."""
    if not options.comparators:
        return {}
    cases, got = device.reference.cases, device.tensors[target.name].cases
    wanted = Remembered(len(got), lambda case: cases[device.first + case][target.codes])
    tensor = ComparedTensor(target.name, target.label, target.op, target.quant, wanted, got)
    return measured(options.comparators, tensor)


def _row(device: Device, target: DumpTarget, options: CompareOptions) -> CompareRow:
    tensor = device.tensors[target.name]
    segment = device.segments.get(target.name)
    steps = [device.reference.step(index).step.label for index in segment.steps] if segment else []
    row = CompareRow(
        target.name,
        tensor.entry,
        target.label,
        target.op,
        target.shape,
        str(target.dtype),
        steps,
        list(segment.starts) if segment else [],
        target.dtype.kind in "iu",
        tensor.notes,
        tensor.off_grid,
        tensor.off_range,
    )
    row.tolerance = options.tolerance.of(target.op, target.label)
    row.read_wrong = target.name in device.corrected
    row.paired = tensor.paired
    if tensor.chosen is not None:
        row.read_as = {**tensor.chosen.reading.as_json(), "by": tensor.chosen.by}
    return row


def _status(row: CompareRow) -> str:
    if not row.single.differing:
        return INHERITED if row.entire.differing else EQUAL
    return UNEXPLAINED if row.single.largest > row.tolerance else TOLERATED


def _real(target: DumpTarget, array: Array) -> Array:
    """Return real values, at least 2-D with the samples first."""
    if target.quant is not None and target.quant.per_tensor:
        array = float32.dequantize(array, target.quant.scale, target.quant.zero_point)
    return array.reshape(array.shape[0] if array.ndim > 1 else 1, -1)


def _say_where(device: Device, report: CompareReport) -> None:
    """Say where the own errors of the layers lie, as far as these cases show them."""
    for row in report.rows:
        if row.single.differing:
            said, failure = guarded("where", lambda: _where(device, device.tensors[row.name].target))  # noqa: B023
            row.where, row.failed = said or "", [failure] if failure else []


def _where(device: Device, target: DumpTarget) -> str:
    """Say which elements of a layer with an error of its own are wrong, and by what, where that is regular."""
    wants = [expected(device, target, case, device.replays[case]) for case in range(device.count)]
    operator = device.reference.step(target.step).operator if target.step >= 0 else None
    axis = operator.channel_axis if operator is not None and operator.weight_operand is not None else None
    return where(device.tensors[target.name].cases, wants, target.quant, device.first, axis)


class _Counts:
    """The number of mismatches by channel and row; a tensor without rows has one row."""

    def __init__(self) -> None:
        #: Shape (C, H); None before anything was counted.
        self.counts: Array | None = None

    def add(self, unequal: Array) -> None:
        shaped = unequal.reshape(*(unequal.shape if unequal.ndim > 1 else (1, -1)))
        rows = shaped.reshape(shaped.shape[0], shaped.shape[1], shaped.shape[2] if shaped.ndim > 2 else 1, -1)
        counts: Array = rows.sum(axis=(0, 3))
        self.counts = counts if self.counts is None else self.counts + counts


# -- why ------------------------------------------------------------------------------------------------
def _arithmetics(device: Device) -> dict[str, other_profiles.OtherProfile]:
    return other_profiles.explanations(device, {n: _wrong(device, n, device.replays) for n in device.segments})


def _excuse(device: Device, report: CompareReport, options: CompareOptions) -> None:
    """Mark rows whose difference is explained by what is not known of the profile."""
    for row in report.rows if options.use_envelope else ():
        if row.status == UNEXPLAINED and row.name in device.segments:
            found, failure = guarded("envelope", lambda: envelope(device, row.name))  # noqa: B023
            row.envelope = found or Envelope(note=failure or "outside the arithmetic's domain")
            if row.envelope.inside:
                row.status = INSIDE


def _find_faults(device: Device, report: CompareReport, made: Sequence[Values]) -> None:
    left = [row for row in report.rows if row.status == UNEXPLAINED and row.name in device.segments]
    for row in left[:MAX_DIAGNOSED]:
        found = _findings(device, row.name, made)
        row.findings, row.few, row.failed = found.found, found.few, [*row.failed, *found.failed]
        if row.findings:
            row.status = FAULT
        else:
            row.rounding = bool(guarded("boundaries", lambda: _at_boundaries(device, row.name, made))[0])  # noqa: B023


def _doubt_the_lonely(device: Device, report: CompareReport, made: Sequence[Values]) -> None:
    """Call the layer faulty that alone is as another profile has it, where a fault explains it as well."""
    for row in report.rows:
        other = report.arithmetics.get(row.op)
        if row.status != ARITHMETIC or other is None or not other.lonely or row.name not in device.segments:
            continue
        found = _findings(device, row.name, made)
        if found.found and not found.few:
            row.status, row.findings = FAULT, found.found
            report.arithmetics = {op: left for op, left in report.arithmetics.items() if op != row.op}


def _at_boundaries(device: Device, name: str, made: Sequence[Values]) -> bool:
    steps, target = device.segments[name].steps, device.tensors[name].target
    want = [expected(device, target, case, made[case]) for case in range(device.count)]
    return len(steps) == 1 and at_boundaries(Suspect(device, name, steps[0], want))


def _judge_all(device: Device, report: CompareReport, made: Sequence[Values]) -> None:
    for row in report.rows:
        if row.name in device.segments and row.status in (EQUAL, INHERITED, UNEXPLAINED):
            _judge(device, row, made)


def _judge(device: Device, row: CompareRow, made: Sequence[Values]) -> None:
    """Apply the arithmetic that was found: a layer that fits it is not faulty, and a layer that fits the reference's
    arithmetic instead gets a note."""
    ops = {device.reference.step(index).step.op for index in device.segments[row.name].steps}
    if not ops & set(device.arithmetic):
        return
    if not _wrong(device, row.name, made):
        row.status = ARITHMETIC if row.status == UNEXPLAINED else row.status
    elif row.status != UNEXPLAINED:
        row.notes = (*row.notes, "as the reference has it, unlike the other layers of its operator")


def _findings(device: Device, name: str, made: Sequence[Values]) -> Findings:
    """Look for faults in every step of the segment, the last step first: the shortest explanation is the tensor
    itself."""
    want = [expected(device, device.tensors[name].target, case, made[case]) for case in range(device.count)]
    steps, failed = device.segments[name].steps, []
    for index in reversed(steps if len(steps) <= MAX_SUSPECTS else steps[-1:]):
        result = findings(Suspect(device, name, index, want))
        failed += result.failed
        if result.found:
            label = f"in layer {device.reference.step(index).step.label}" if len(steps) > 1 else ""
            found = [replace(one, detail=", ".join(t for t in (one.detail, label) if t)) for one in result.found]
            return Findings(found, result.few, failed)
    return Findings(failed=failed)
