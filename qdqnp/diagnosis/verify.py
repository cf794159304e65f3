"""verify: run a model in qdqnp and in ONNX Runtime, and compare every tensor bitwise."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from qdqnp.diagnosis.tally import Tally, compared, unequal
from qdqnp.executor.plan import BoundStep, Plan
from qdqnp.model import Model
from qdqnp.peers.ort.peer import OrtPeer
from qdqnp.quant import Array


@dataclass
class TensorResult:
    """The result for one tensor over all compared inputs."""

    name: str
    label: str
    op: str
    shape: tuple[int, ...]
    dtype: str
    promise: str
    #: Our tensor against ONNX Runtime's.
    tally: Tally = field(default_factory=Tally)
    #: Elements of a tensor without a promise that differ in the whole run, but not because of this step. Fed with ONNX
    #: Runtime's own tensors, the step gives the same bits or, where ONNX Runtime's order of sums is not known, a value
    #: within the bound that holds for float32 sums in any order.
    accepted: int = 0
    #: The largest accepted difference, as a share of that bound.
    bound: float = 0.0
    #: Which of the 256 codes occurred, a measure of how much the comparison could show; empty for floats.
    seen: set[int] = field(default_factory=set)

    @property
    def differing(self) -> int:
        """Return the number of elements that differ and must not."""
        return self.tally.differing - self.accepted

    @property
    def equal(self) -> bool:
        """Return whether the tensor could be compared and every difference is accepted."""
        return self.differing == 0 and not self.tally.note

    def as_json(self) -> dict[str, Any]:
        plain = ("name", "label", "op", "shape", "dtype", "promise", "differing", "accepted", "bound")
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
    #: How many different outputs these inputs gave.
    distinct_outputs: int = 0
    #: Tensors of ONNX Runtime's graph that qdqnp does not have; they are left out of the comparison.
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
    def equal(self) -> bool:
        """Return whether ONNX Runtime's graph has every tensor of qdqnp and every element has the same bits or is
        accepted."""
        return bool(self.layers) and self.inputs > 0 and all(layer.equal for layer in self.layers)

    @property
    def first_difference(self) -> TensorResult | None:
        return next((layer for layer in self.layers if not layer.equal), None)

    def verdict(self) -> str:
        if self.equal:
            return self._agreement()
        first = self.first_difference
        if first is None:
            return "nothing was compared"
        where = f"first at '{first.name}' ({first.op} {first.label})"
        if first.tally.note:
            return f"NOT EQUAL: {where}: {first.tally.note}"
        kind = "" if first.promise == "exact" else f"; it carries no promise: {first.promise}"
        return (
            f"NOT EQUAL: {self.differing} of {self.elements} elements differ, {where}, index {first.tally.first}{kind}"
        )

    def _agreement(self) -> str:
        over = f"in {len(self.layers)} tensors, over {self.inputs} input{'s' if self.inputs != 1 else ''}"
        unpromised = sum(1 for layer in self.layers if layer.promise != "exact")
        if not self.accepted:
            text = f"equal: 0 of {self.elements} elements differ, {over}"
            return text + (f"; {unpromised} tensors are equal without a promise" if unpromised else "")
        touched = sum(1 for layer in self.layers if layer.accepted)
        return (
            f"accepted: 0 of {self.elements} elements differ where that is promised, {over}; {self.accepted} "
            f"elements in {touched} of the {unpromised} tensors without a promise differ, all of them within the "
            "float32 error bound once their step is fed ONNX Runtime's own tensors"
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
            "layers": [layer.as_json() for layer in self.layers],
            "only_in_onnxruntime": list(self.only_theirs),
            "onnxruntime_operators": dict(self.operators),
        }


def verify(model: Model, peer: OrtPeer, inputs: Iterable[Mapping[str, Array]], profile: str = "ort") -> VerifyReport:
    """Compare every tensor of the model under a profile with ONNX Runtime's, for each input.

        model: the model.
        peer: a session of the profile's kind.
        inputs: arrays by input name, as the model file declares them.
        profile: name of the profile.

    Raises PeerError and InputError.
    """
    plan = model.plan(profile)
    program = plan.program
    layers = {layer.name: layer for layer in _layers(plan)}
    names = peer.aliases(program)
    renamed = set(names.values())
    report = VerifyReport(list(layers.values()), profile, operators=peer.fused.operators)
    outputs: set[bytes] = set()
    for feeds in inputs:
        ours = model.trace(feeds, profile=profile)  # first: its errors name the input that does not fit
        found = peer.tensors(feeds)
        theirs = {**found, **{name: found[other] for name, other in names.items() if other in found}}
        _compare(plan, layers, ours, theirs)
        outputs.add(b"".join(ours[name].tobytes() for name in program.outputs if name in ours))
        report.inputs += 1
        report.only_theirs = tuple(name for name in peer.fused.tensors if name not in ours and name not in renamed)
    report.distinct_outputs = len(outputs)
    return report


def _layers(plan: Plan) -> list[TensorResult]:
    program = plan.program
    return [
        TensorResult(name, step.label, step.op, (), str(program.tensors[name].dtype), str(plan.promises[name]))
        for step in program.steps
        for name in step.output_names
    ]


def _compare(
    plan: Plan, layers: Mapping[str, TensorResult], ours: Mapping[str, Array], theirs: Mapping[str, Array]
) -> None:
    for bound in plan.steps:
        for name in bound.step.output_names:
            if name not in ours:
                continue
            layer = layers[name]
            differing = _add(layer, ours[name], theirs.get(name))
            if differing and not layer.tally.note and not plan.promises[name].exact:
                _accept(layer, bound, name, theirs, differing)


def _accept(layer: TensorResult, bound: BoundStep, name: str, theirs: Mapping[str, Array], differing: int) -> None:
    """Run the step on ONNX Runtime's tensors, and accept the differences if that explains them."""
    if any(read not in theirs and read not in bound.consts for read in bound.step.input_names):
        return
    forced, wanted = bound.evaluate(theirs)[name], theirs[name]
    bad = unequal(forced, wanted)
    if bad.any() and bound.operator.doubt(bound.binding):
        allowed = bound.operator.error(bound.binding, *bound.arrays(theirs))
        assert allowed is not None  # an operator that doubts says how much
        distance = np.abs(forced.astype(np.float64) - wanted.astype(np.float64))
        bad &= ~(distance <= allowed)
        if not bad.any():
            layer.bound = max(layer.bound, float((distance / np.where(allowed > 0, allowed, 1)).max()))
    if not bad.any():
        layer.accepted += differing


def _add(layer: TensorResult, ours: Array, theirs: Array | None) -> int:
    """Count a tensor in its layer; return how many of its elements differ."""
    layer.shape = ours.shape
    if theirs is None:
        layer.tally.note = "ONNX Runtime's graph has no such tensor"
        return 0
    found = compared(ours, theirs)
    layer.tally.include(found)
    if ours.dtype in (np.int8, np.uint8):
        layer.seen.update(np.flatnonzero(np.bincount(ours.reshape(-1).view(np.uint8), minlength=256)).tolist())
    return found.differing
