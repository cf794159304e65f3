"""verify: run a model in qdqnp and in ONNX Runtime, and compare every tensor bitwise."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from qdqnp.diagnosis.fed import Fed
from qdqnp.diagnosis.tally import Tally, compared, unequal
from qdqnp.executor.plan import Plan
from qdqnp.executor.threads import ONE
from qdqnp.model import Model
from qdqnp.peers.ort.names import Pairs
from qdqnp.peers.ort.peer import OrtPeer
from qdqnp.quant import Array

REMOVED = "ONNX Runtime's optimized graph has no such tensor"


@dataclass
class TensorResult:
    """The result for one tensor over all compared inputs."""

    name: str
    label: str
    op: str
    shape: tuple[int, ...]
    dtype: str
    promise: str
    #: Whether it is an output of the model, or a tensor of the file: other dtypes or shapes of those are differences.
    named: bool = True
    #: Why there is nothing to compare with, '' where there is.
    missing: str = ""
    #: Our tensor against ONNX Runtime's.
    tally: Tally = field(default_factory=Tally)
    #: Elements of a tensor without a promise that differ in the whole run, but not because of this step. Fed with ONNX
    #: Runtime's own tensors, the step gives the same bits or, where ONNX Runtime's order of sums is not known, a value
    #: within the bound that holds for float32 sums in any order.
    accepted: int = 0
    #: How many of these nothing bounds: ONNX Runtime does not have the tensors that the step is to be fed with, and a
    #: step without a promise makes them; or no bound is known for such a step's operator.
    unbounded: int = 0
    #: The largest difference that is accepted by the bound, as a share of it.
    bound: float = 0.0
    #: Which of the 256 codes occurred, a measure of how much the comparison could show; empty for floats.
    seen: set[int] = field(default_factory=set)

    @property
    def differing(self) -> int:
        """Return the number of elements that differ and must not."""
        return self.tally.differing - self.accepted

    @property
    def equal(self) -> bool:
        """Return whether no element differs, or every difference is accepted."""
        return self.differing == 0

    def as_json(self) -> dict[str, Any]:
        plain = (
            "name",
            "label",
            "op",
            "shape",
            "dtype",
            "promise",
            "missing",
            "differing",
            "accepted",
            "unbounded",
            "bound",
        )
        return {
            **{key: getattr(self, key) for key in plain},
            **self.tally.as_json("elements", "largest", "first", "note"),
            "distinct_codes": len(self.seen) or None,
        }


@dataclass
class VerifyReport:
    """The results of all tensors."""

    layers: list[TensorResult]
    profile: str = "ort"
    #: How many inputs were compared.
    inputs: int = 0
    #: How many different outputs they gave.
    distinct_outputs: int = 0
    #: Names of the model's outputs that steps make.
    outputs: tuple[str, ...] = ()
    #: Tensors of ONNX Runtime's graph that we do not have, left out of the comparison.
    only_theirs: tuple[str, ...] = ()
    operators: Mapping[str, int] = field(default_factory=dict)

    @property
    def elements(self) -> int:
        return sum(layer.tally.elements for layer in self.layers)

    @property
    def differing(self) -> int:
        return sum(layer.differing for layer in self.layers)

    @property
    def accepted(self) -> int:
        return sum(layer.accepted for layer in self.layers)

    @property
    def unbounded(self) -> int:
        return sum(layer.unbounded for layer in self.layers)

    @property
    def equal(self) -> bool:
        """Return whether no difference was found.

        Every output was compared, and every element that was compared has the same bits or is accepted.
        """
        compared = {layer.name for layer in self.compared}
        return self.inputs > 0 and set(self.outputs) <= compared and self.first_difference is None and bool(compared)

    @property
    def compared(self) -> list[TensorResult]:
        """Return the tensors that both sides have."""
        return [layer for layer in self.layers if not layer.missing]

    @property
    def missing(self) -> list[TensorResult]:
        """Return the tensors that are not comparable."""
        return [layer for layer in self.layers if layer.missing]

    @property
    def first_difference(self) -> TensorResult | None:
        return next((layer for layer in self.layers if not layer.equal), None)

    def verdict(self) -> str:
        if self.equal:
            return self._agreement()
        first = self.first_difference
        if first is None:
            lost = [layer.name for layer in self.missing if layer.name in self.outputs]
            return f"nothing to judge by: no counterpart of the output '{lost[0]}'" if lost else "nothing was compared"
        where = f"first at '{first.name}' ({first.op} {first.label})"
        if first.tally.note:
            return f"NOT EQUAL: {self.differing} of {self.elements} elements differ, {where}: {first.tally.note}"
        kind = "" if first.promise == "exact" else f"; it carries no promise: {first.promise}"
        return (
            f"NOT EQUAL: {self.differing} of {self.elements} elements differ, {where}, index {first.tally.first}{kind}"
        )

    def _agreement(self) -> str:
        over = f"in {len(self.compared)} tensors, over {self.inputs} input{'s' if self.inputs != 1 else ''}"
        unpromised = sum(1 for layer in self.compared if layer.promise != "exact")
        if self.missing:
            over += f"; {len(self.missing)} not comparable"
        if not self.accepted:
            text = f"equal: 0 of {self.elements} elements differ, {over}"
            return text + (f"; {unpromised} tensors are equal without a promise" if unpromised else "")
        touched = sum(1 for layer in self.layers if layer.accepted)
        judged = "all of them" if not self.unbounded else f"{self.accepted - self.unbounded} of them"
        text = (
            f"accepted: 0 of {self.elements} elements differ where that is promised, {over}; {self.accepted} "
            f"elements in {touched} of the {unpromised} tensors without a promise differ, {judged} within the "
            "float32 error bound once their step is fed ONNX Runtime's own tensors"
        )
        if not self.unbounded:
            return text
        first = next(layer for layer in self.layers if layer.unbounded)
        return (
            f"{text}, the others without one, first at '{first.name}' ({first.op} {first.label}): ONNX Runtime does "
            "not have the tensors to feed, or no bound is known"
        )

    def as_json(self) -> dict[str, Any]:
        return {
            "verdict": self.verdict(),
            "equal": self.equal,
            "profile": self.profile,
            "inputs": self.inputs,
            "distinct_outputs": self.distinct_outputs,
            "elements": self.elements,
            "differing": self.differing,
            "accepted": self.accepted,
            "unbounded": self.unbounded,
            "not_comparable": {layer.name: layer.missing for layer in self.missing},
            "layers": [layer.as_json() for layer in self.layers],
            "only_in_onnxruntime": list(self.only_theirs),
            "onnxruntime_operators": dict(self.operators),
        }


def verify(
    model: Model, peer: OrtPeer, inputs: Iterable[Mapping[str, Array]], profile: str = "ort", threads: int | None = ONE
) -> VerifyReport:
    """Compare every tensor of the model under a profile with ONNX Runtime's, for each input.

        model: the model.
        peer: a session of the profile's kind.
        inputs: arrays by input name, as the model file declares them.
        profile: name of the profile.
        threads: how many compute at a time here, as in `Model.run`.

    Raises PeerError and InputError.
    """
    plan = model.plan(profile)
    program = plan.program
    named = {*model.graph.inputs, *(name for node in model.graph.nodes for name in node.outputs if name)}
    layers = {layer.name: layer for layer in _layers(plan, named)}
    paired = peer.pairs(program, named)
    report = VerifyReport(list(layers.values()), profile, operators=peer.fused.operators)
    report.outputs = tuple(name for name in program.outputs if name in layers)
    outputs: set[bytes] = set()
    for feeds in inputs:
        ours = model.trace(
            feeds, profile=profile, threads=threads
        )  # first: its errors name the input that does not fit
        found = peer.tensors(feeds)
        _compare(plan, layers, ours, _Theirs(paired, found, feeds))
        for name in report.outputs:
            if plan.promises[name].exact:
                _compare_output(layers[name], ours[name], peer.outputs(feeds)[name])
        outputs.add(b"".join(ours[name].tobytes() for name in program.outputs if name in ours))
        report.inputs += 1
    taken = {name for names in paired.values() for name in names}
    report.only_theirs = tuple(name for name in peer.fused.tensors if name not in taken)
    report.distinct_outputs = len(outputs)
    _name_rewrites(report, peer)
    return report


@dataclass(frozen=True, eq=False)
class _Theirs:
    """ONNX Runtime's tensors of one input, by qdqnp's names."""

    paired: Pairs
    found: Mapping[str, Array]
    feeds: Mapping[str, Array]

    def candidates(self, name: str) -> list[Array]:
        """Return the different arrays that may be the tensor's counterpart."""
        arrays = [self.found[other] for other in self.paired.get(name, ()) if other in self.found]
        return list({(array.dtype.str, array.shape, array.tobytes()): array for array in arrays}.values())

    def inputs(self) -> dict[str, Array]:
        return {name: np.asarray(array) for name, array in self.feeds.items()}


def _layers(plan: Plan, named: Collection[str]) -> list[TensorResult]:
    program = plan.program
    return [
        TensorResult(
            name,
            step.label,
            step.op,
            (),
            str(program.tensors[name].dtype),
            str(plan.promises[name]),
            name in named or name in program.outputs,
        )
        for step in program.steps
        for name in step.output_names
    ]


def _compare(plan: Plan, layers: Mapping[str, TensorResult], ours: Mapping[str, Array], theirs: _Theirs) -> None:
    """Count every tensor. Where ONNX Runtime has none, later steps are judged on what the step makes of its tensors."""
    fed = Fed(theirs.inputs())
    for bound in plan.steps:
        chosen: dict[str, Array] = {}
        for name in bound.step.output_names:
            if name in ours:
                found = _counterpart(layers[name], ours[name], theirs.candidates(name))
                if found is not None:
                    chosen[name] = found
        for name, wanted in chosen.items():
            layer = layers[name]
            differing = _add(layer, ours[name], wanted)
            excuse = fed.excuse(bound, name, wanted) if differing and not plan.promises[name].exact else None
            if excuse is not None:
                layer.accepted += differing
                layer.unbounded += min(differing, excuse.unbounded)
                layer.bound = max(layer.bound, excuse.bound)
        fed.advance(bound, chosen)


def _counterpart(layer: TensorResult, ours: Array, candidates: Sequence[Array]) -> Array | None:
    """Return the array to compare with; None, and why, where there is none."""
    layer.shape = ours.shape
    alike = [array for array in candidates if array.dtype == ours.dtype and array.shape == ours.shape]
    if len(candidates) == 1 and (alike or layer.named):
        return candidates[0]
    equal = [array for array in alike if not unequal(ours, array).any()]
    if equal or len(alike) == 1:
        return (equal or alike)[0]
    layer.missing = layer.missing or ("which of several tensors it is, is not known" if alike else REMOVED)
    return None


def _add(layer: TensorResult, ours: Array, theirs: Array) -> int:
    """Count a tensor in its layer; return how many of its elements differ.

    All of them differ if dtype or shape do.
    """
    found = compared(ours, theirs)
    if found.note:
        found.elements = found.differing = max(ours.size, theirs.size)
    layer.tally.include(found)
    if ours.dtype in (np.int8, np.uint8):
        layer.seen.update(np.flatnonzero(np.bincount(ours.reshape(-1).view(np.uint8), minlength=256)).tolist())
    return found.differing


def _compare_output(layer: TensorResult, ours: Array, users: Array) -> None:
    """Count a promised output that a session at level ALL gives otherwise."""
    found = compared(ours, users)
    if found.differing and layer.equal:
        layer.tally.include(found)


def _name_rewrites(report: VerifyReport, peer: OrtPeer) -> None:
    """Say which rewrite took each tensor of the file that ONNX Runtime's graph no longer has."""
    gone = [layer for layer in report.layers if layer.missing == REMOVED]
    takers = peer.rewrites([layer.name for layer in gone if layer.named]) if gone else {}
    for layer in gone:
        if layer.name in takers:
            layer.missing = f"ONNX Runtime's {takers[layer.name]} removed it"
