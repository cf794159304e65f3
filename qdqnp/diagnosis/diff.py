"""diff: compare the same model under several profiles, layer by layer, each profile against the first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Unpack

from qdqnp.diagnosis.tally import Tally
from qdqnp.engine import Shard, Workplace, digest, each_shard
from qdqnp.errors import Problem, ProfileError, QdqnpError
from qdqnp.executor.plan import Plan, on_host
from qdqnp.executor.walk import made_by
from qdqnp.inspection.layers import rule_status
from qdqnp.model import Model, feeds_for
from qdqnp.numerics.profile import Profile
from qdqnp.quant import Array

ENTIRE, SINGLE = "entire", "single"
# The fields of a tally that the JSON report contains.
COUNTED = ("elements", "differing", "largest", "note", "share")


@dataclass
class Cell:
    """The result of one profile on one layer, against the first profile."""

    #: Status of the profile's rule for the layer: 'established' or 'inferred'; '' where the layer does not compute
    #: anything.
    status: str = ""
    #: What a host computes of the layer in float32, without a promise; '' where that is nothing.
    host_float: str = ""
    #: Differences when each profile computes the whole network by itself, so that they accumulate.
    entire: Tally = field(default_factory=Tally)
    #: Differences when the layer is fed the first profile's tensors, so that they are the layer's own.
    single: Tally = field(default_factory=Tally)

    def include(self, other: Cell) -> None:
        self.entire.include(other.entire)
        self.single.include(other.single)

    def as_json(self) -> dict[str, Any]:
        counts = {ENTIRE: self.entire.as_json(*COUNTED), SINGLE: self.single.as_json(*COUNTED)}
        return {"status": self.status, "host_float": self.host_float, **counts}


@dataclass
class DiffRow:
    """One tensor that a layer makes or, in the totals, all tensors of one operator type."""

    name: str
    label: str
    op: str
    dtype: str
    shape: tuple[int, ...]
    #: One cell for each profile of the report; the first profile is always equal to itself.
    cells: list[Cell]

    def as_json(self) -> dict[str, Any]:
        fields = {key: getattr(self, key) for key in ("name", "label", "op", "dtype", "shape")}
        return {**fields, "profiles": [cell.as_json() for cell in self.cells]}


@dataclass
class DiffReport:
    """The rows of all tensors under all profiles."""

    #: The names of the profiles as they were asked for.
    profiles: list[str]
    #: The status of each profile.
    statuses: list[str]
    #: One row for each tensor that a layer makes.
    rows: list[DiffRow]
    #: How many inputs were run.
    inputs: int = 0

    def totals(self) -> list[DiffRow]:
        """Add up the rows by operator type, in order of first appearance."""
        found: dict[str, DiffRow] = {}
        for row in self.rows:
            if row.op not in found:
                cells = [Cell(cell.status, cell.host_float) for cell in row.cells]
                found[row.op] = DiffRow("", "", row.op, row.dtype, (), cells)
            for total, cell in zip(found[row.op].cells, row.cells, strict=True):
                total.include(cell)
                total.host_float = total.host_float or cell.host_float
        return list(found.values())

    def as_json(self) -> dict[str, Any]:
        named = [{"name": n, "status": s} for n, s in zip(self.profiles, self.statuses, strict=True)]
        totals = [{"op": row.op, "profiles": [cell.as_json() for cell in row.cells]} for row in self.totals()]
        return {
            "profiles": named,
            "inputs": self.inputs,
            "layers": [row.as_json() for row in self.rows],
            "totals": totals,
        }


def diff(
    model: Model,
    profiles: Mapping[str, Profile] | Sequence[tuple[str, Profile]],
    inputs: Iterable[Mapping[str, Array]],
    *,
    progress: Callable[[], None] = lambda: None,
    **where: Unpack[Workplace],
) -> DiffReport:
    """Run the model under each profile, and compare every tensor with the first profile's, for each input. Profiles may
    have other lowerings: tensors are paired by ONNX name, and codes are compared in the dtype that the file gives them.

        model: the model.
        profiles: profiles by the name to report them under; pairs where a name occurs twice.
        inputs: arrays by input name, taken as they are needed.
        progress: called after each input.
        where: where inputs are computed: keyword arguments of qdqnp.engine.run_shards, this process without them. The
            report does not depend on it.

    Raises ProfileError that lists, for all profiles at once, the layers that they do not define, InputError for
    inputs that do not fit, and EngineError as run_shards does.

    >>> import numpy as np
    >>> import qdqnp
    >>> from qdqnp.inputs.shipped import shipped_model
    >>> model = qdqnp.load(shipped_model("dla46_c_int8"))
    >>> from qdqnp.numerics.profiles import PROFILES
    >>> pair = {name: PROFILES[name] for name in ("tflite", "tflite-single")}
    >>> report = diff(model, pair, [{"input": np.zeros((1, 3, 32, 32), np.float32)}])
    >>> [row.op for row in report.totals() if not row.cells[1].single.equal]
    ['QLinearConv', 'QLinearConcat']
    """
    pairs = tuple(profiles.items() if isinstance(profiles, Mapping) else profiles)
    plans = plans_of(model, pairs)
    report = DiffReport([name for name, _ in pairs], [profile.status for _, profile in pairs], _rows(plans))
    shards = (Shard(index, dict(feeds), digest(feeds)) for index, feeds in enumerate(inputs))
    job, chosen = _DiffJob(model, pairs), Workplace(**{"workers": 1, **where})
    for partial in each_shard(job, shards, progress=lambda shard, partial: progress(), **chosen):
        for row, (shape, cells) in zip(report.rows, partial, strict=True):
            row.shape = tuple(shape)
            for cell, (entire, single) in zip(row.cells, cells, strict=True):
                cell.entire.include(Tally.from_partial(entire))
                cell.single.include(Tally.from_partial(single))
        report.inputs += 1
    return report


@dataclass(frozen=True)
class _DiffJob:
    """Compares the profiles on one input: for each row of the report its shape and, for each cell, both tallies."""

    model: Model
    pairs: tuple[tuple[str, Profile], ...]

    def identity(self) -> Mapping[str, Any]:
        return {"diff": digest(self.model.graph), "profiles": [digest(profile) for _, profile in self.pairs]}

    def blobs(self) -> Mapping[str, bytes]:
        return {}

    def prepare(self, blobs: Mapping[str, bytes]) -> Callable[[Mapping[str, Array]], Any]:
        plans, names = plans_of(self.model, self.pairs), [name for name, _ in self.pairs]

        def compared(feeds: Mapping[str, Array]) -> Any:
            report = DiffReport(names, [], _rows(plans))
            _add(report, plans, feeds)
            return [
                (row.shape, [(cell.entire.as_partial(), cell.single.as_partial()) for cell in row.cells])
                for row in report.rows
            ]

        return compared


def plans_of(model: Model, pairs: Sequence[tuple[str, Profile]]) -> list[Plan]:
    """Make a plan for each profile."""
    plans: list[Plan] = []
    problems: list[Problem] = []
    advice: dict[str, None] = {}
    for name, profile in pairs:
        try:
            plans.append(model.plan(profile))
        except QdqnpError as error:
            problems += error.within(f"profile '{name}'").problems
            advice.update(dict.fromkeys(error.advice))
    if problems:
        raise ProfileError("the model cannot run under every profile", problems, advice)
    return plans


def _rows(plans: Sequence[Plan]) -> list[DiffRow]:
    """Make a row for each tensor that a step makes; the runs fill in the shapes."""
    program = plans[0].program
    return [
        DiffRow(
            name,
            step.label,
            step.op,
            str(program.tensors[name].dtype),
            (),
            [Cell(rule_status(plan.profile, step), _on_host(plan, name)) for plan in plans],
        )
        for step in program.steps
        for name in step.output_names
    ]


def _on_host(plan: Plan, tensor: str) -> str:
    maker = plan.program.makers.get(tensor)
    return "" if maker is None else on_host(plan.program, maker)


def _add(report: DiffReport, plans: Sequence[Plan], feeds: Mapping[str, Array]) -> None:
    """Run one input under every profile and count what differs."""
    rows = {row.name: row for row in report.rows}
    own = feeds_for(plans[0], feeds, keep_all=True)
    made = _walked(report.profiles[0], plans[0], own, own)
    first = _as_in_file(plans[0], made)
    for name, array in first.items():
        rows[name].shape = array.shape
    for index, plan in enumerate(plans):
        given = feeds_for(plan, feeds, keep_all=True)
        known = {**given, **_as_here(plan, first)}
        entire = made if index == 0 else _walked(report.profiles[index], plan, given, given)
        single = made if index == 0 else _walked(report.profiles[index], plan, given, known)
        found = [(_as_in_file(plan, arrays), count) for arrays, count in ((entire, ENTIRE), (single, SINGLE))]
        for name, array in first.items():
            for arrays, which in found:
                count: Tally = getattr(rows[name].cells[index], which)
                if name in arrays:
                    count.add(arrays[name], array)
                else:
                    count.note = f"no such tensor in the lowering {plan.program.lowering}"


def _as_in_file(plan: Plan, arrays: Mapping[str, Array]) -> dict[str, Array]:
    return {name: plan.program.tensors[name].as_in_file(array) for name, array in arrays.items()}


def _as_here(plan: Plan, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Convert tensors of another program to this program's code types; tensors that this program does not have are left
    out."""
    tensors = plan.program.tensors
    return {name: tensors[name].as_here(array) for name, array in arrays.items() if name in tensors}


def _walked(name: str, plan: Plan, given: Mapping[str, Array], known: Mapping[str, Array]) -> dict[str, Array]:
    """Return what each step makes that is not `given`. A step reads `known` where that has its inputs, else what
    earlier steps made. Raises ProfileError with the layer where a value leaves the profile's domain."""
    try:
        with plan.scratch.lend() as scratch:
            return made_by(plan.steps, given, known, scratch)
    except ProfileError as error:
        raise error.within(f"profile '{name}'") from error
