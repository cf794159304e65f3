"""compare: which layer of a device is wrong, by itself or by inheritance, how far, and why?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from qdqnp.api.arguments import AnyPath, AnyProfile, Operators, Texts, listed
from qdqnp.api.dumps import AnyDump, AnyMapping, dump_of, form_of, mapping_of
from qdqnp.api.progress import LOG
from qdqnp.api.result import Result
from qdqnp.diagnosis.align import align
from qdqnp.diagnosis.compare.checksums import ChecksumReport, compare_checksums, crc_log_of
from qdqnp.diagnosis.compare.comparators import Comparator, comparators_named
from qdqnp.diagnosis.compare.compare import CompareOptions
from qdqnp.diagnosis.compare.compare import compare as compared
from qdqnp.diagnosis.compare.report import CompareReport
from qdqnp.diagnosis.dump import Dump
from qdqnp.diagnosis.dumps.golden_dump import open_dump
from qdqnp.diagnosis.mapping import proposal
from qdqnp.diagnosis.reference import reference_from
from qdqnp.diagnosis.replay import Reference
from qdqnp.diagnosis.tolerance import parse

#: LSB of every layer, texts as on the command line, or LSB by operator or 'layer:LABEL'.
AnyTolerance: TypeAlias = "int | str | Iterable[str] | Mapping[str, int]"

#: Names of installed comparators, or functions by name.
AnyComparator: TypeAlias = "Texts | Mapping[str, Comparator]"


@dataclass(frozen=True, repr=False, eq=False)
class CompareResult(Result):
    """A device's tensors against a golden set."""

    #: Names of the golden set and of the dump.
    golden: str
    dump: str
    #: The layers, and the verdict; of checksums, less is known.
    report: CompareReport | ChecksumReport
    #: What the dump was compared with; None of checksums, and of a result that was pickled.
    reference: Reference | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "reference": None}

    columns = (
        "label",
        "op",
        "name",
        "shape",
        "status",
        "entire.differing",
        "single.differing",
        "single.largest",
        "explanation",
    )

    @property
    def equal(self) -> bool:
        """Return whether every layer computes what it should, and everything was compared that was asked for."""
        return self.exit_code == 0

    @property
    def exit_code(self) -> int:
        """Return 0 for equal, 1 for a layer that differs, 2 where not everything was compared."""
        return self.report.exit_code

    @property
    def first(self) -> str | None:
        """Return the name of the first tensor with an error of its own."""
        return None if self.report.first is None else self.report.first.name

    def summary(self) -> str:
        return "; ".join([*self.report.verdict(), *self.report.not_compared()])

    def document(self) -> dict[str, Any]:
        return {"golden": self.golden, "dump": self.dump, **self.report.as_json()}


def compare(
    golden: AnyPath,
    dump: AnyDump,
    *,
    profile: AnyProfile | None = None,
    host_float: bool = False,
    operators: Operators = (),
    case: int = 0,
    mapping: AnyMapping | None = None,
    layout: str | None = None,
    dtype: str | None = None,
    offset: int | None = None,
    values: str | None = None,
    runner: str = "",
    tolerance: AnyTolerance = (),
    envelope: bool = False,
    partial: bool = False,
    comparator: AnyComparator = (),
) -> CompareResult:
    """Compare a device's tensors with a golden set, as `qdqnp compare` does.

        golden: the folder of the set.
        dump: the device's tensors: a file, a folder, or arrays by name. A first axis of cases may stand before a
            tensor's own.
        profile: another arithmetic than the set's.
        host_float: whether what the profile does not define runs in float32.
        operators: classes of operators that qdqnp does not have, as qdqnp.load takes them.
        case: which input of the set is the dump's first one.
        mapping: which entry of the dump is which tensor: a file, or entries by ONNX name.
        layout: order of the dump's axes, such as 'nhwc'; None where the dump tells.
        dtype: element type of the dump.
        offset: what the dump adds to each code, such as 128.
        values: 'codes' or 'real'.
        runner: of Polygraphy's RunResults, what the runner's name begins with; '' for the only one.
        tolerance: what a layer's own error may be: 1, {'QLinearAdd': 1, 'layer:conv1': 0}, or texts of these.
        envelope: whether to accept what the unknown parameters of the profile explain.
        partial: whether to accept what was not compared.
        comparator: measures of yours: names of installed ones, or functions by name (docs/interfaces.md).

    Raises GoldenError for a damaged set, InputError for a dump that cannot be read or does not fit.

    >>> import numpy as np
    >>> import qdqnp
    >>> from qdqnp.inputs.shipped import shipped_model
    >>> made = qdqnp.golden(shipped_model("dla46_c_int8"), random=1, out="vectors")
    >>> device = qdqnp.load(shipped_model("dla46_c_int8")).trace(made.read().feeds())
    >>> qdqnp.compare(made, device).equal
    True
    """
    folder, given = Path(golden), dump_of(dump)
    form = form_of(layout, dtype, offset, values)
    name = given.path.name if isinstance(given, Dump) else given.name
    log = None if isinstance(given, Dump) else crc_log_of(folder, given)
    if log is not None:
        return CompareResult(folder.name, name, compare_checksums(*log, partial))
    reference = reference_from(folder, profile, case, host_float, operators)
    LOG.info("comparing %s with %s: %d inputs", name, folder.name, len(reference.cases) - case)
    steps = reference.plan.program.steps
    lsb = parse(_texts(tolerance), {s.op for s in steps}, {s.label for s in steps})
    expected = reference.cases[case:]
    read = open_dump(given, runner)
    aligned = align(read, reference.targets, len(expected), mapping_of(mapping), form, expected)
    options = CompareOptions(lsb, envelope, partial=partial, comparators=_comparators(comparator))
    return CompareResult(folder.name, name, compared(reference, aligned, options, case), reference)


def _comparators(given: AnyComparator) -> dict[str, Comparator]:
    return dict(given) if isinstance(given, Mapping) else comparators_named(listed(given))


def _texts(tolerance: AnyTolerance) -> list[str]:
    """Return tolerances as texts."""
    if isinstance(tolerance, Mapping):
        return [f"{name}={lsb}" for name, lsb in tolerance.items()]
    return [str(tolerance)] if isinstance(tolerance, int | str) else list(tolerance)


def pairing(
    golden: AnyPath, dump: AnyDump, *, case: int = 0, operators: Operators = (), runner: str = ""
) -> tuple[dict[str, str], list[str]]:
    """Return how `compare` would pair a dump: the entry of each tensor by ONNX name, and the entries left over.

        golden: the folder of the golden set.
        dump: the device's tensors.
        case: which input of the set is the dump's first one.
        operators: classes of operators that qdqnp does not have.
        runner: as `compare` takes it.

    Raises as `compare` does.
    """
    reference = reference_from(Path(golden), None, case, operators=operators)
    expected = reference.cases[case:]
    return proposal(open_dump(dump_of(dump), runner), reference.targets, len(expected), expected)
