"""verify: run a model here and in ONNX Runtime, and compare every tensor bitwise."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from qdqnp.compare.metrics import difference
from qdqnp.model import Model
from qdqnp.program import Program
from qdqnp.quant import Array
from qdqnp.sources.ort import OrtPeer


@dataclass
class Layer:
    """What all compared inputs gave for one tensor.

    seen: which of the 256 codes occurred, as a measure of how much the comparison could show; None for floats.
    """

    name: str
    label: str
    op: str
    shape: tuple[int, ...]
    dtype: str
    promise: str
    elements: int = 0
    differing: int = 0
    largest: float = 0.0
    first: tuple[int, ...] | None = None
    note: str = ""
    seen: set[int] = field(default_factory=set)

    @property
    def equal(self) -> bool:
        return self.differing == 0 and not self.note

    def as_json(self) -> dict[str, Any]:
        fields = (
            "name",
            "label",
            "op",
            "shape",
            "dtype",
            "promise",
            "elements",
            "differing",
            "largest",
            "first",
            "note",
        )
        return {**{key: getattr(self, key) for key in fields}, "distinct_codes": len(self.seen) or None}


@dataclass
class Report:
    """inputs: how many were compared; distinct_outputs: how many different outputs they gave.

    only_theirs: tensors of ONNX Runtime's graph that we do not have, left out of the comparison.
    """

    layers: list[Layer]
    inputs: int = 0
    distinct_outputs: int = 0
    only_theirs: tuple[str, ...] = ()
    operators: Mapping[str, int] = field(default_factory=dict)

    @property
    def elements(self) -> int:
        return sum(layer.elements for layer in self.layers)

    @property
    def differing(self) -> int:
        return sum(layer.differing for layer in self.layers)

    @property
    def equal(self) -> bool:
        """Every tensor of ours was found in ONNX Runtime's graph, and every element has the same bits."""
        return bool(self.layers) and self.inputs > 0 and all(layer.equal for layer in self.layers)

    @property
    def first_difference(self) -> Layer | None:
        return next((layer for layer in self.layers if not layer.equal), None)

    def verdict(self) -> str:
        if self.equal:
            unpromised = sum(1 for layer in self.layers if layer.promise != "exact")
            text = (f"equal: 0 of {self.elements} elements differ, in {len(self.layers)} tensors, over {self.inputs} "
                    f"input{'s' if self.inputs != 1 else ''}")  # fmt: skip
            return text + (f"; {unpromised} tensors are equal without a promise" if unpromised else "")
        first = self.first_difference
        if first is None:
            return "nothing was compared"
        where = f"first at '{first.name}' ({first.op} {first.label})"
        if first.note:
            return f"NOT EQUAL: {where}: {first.note}"
        kind = "" if first.promise == "exact" else f"; it carries no promise: {first.promise}"
        return f"NOT EQUAL: {self.differing} of {self.elements} elements differ, {where}, index {first.first}{kind}"

    def as_json(self) -> dict[str, Any]:
        return {
            "verdict": self.verdict(),
            "equal": self.equal,
            "inputs": self.inputs,
            "distinct_outputs": self.distinct_outputs,
            "elements": self.elements,
            "differing": self.differing,
            "layers": [layer.as_json() for layer in self.layers],
            "only_in_onnxruntime": list(self.only_theirs),
            "onnxruntime_operators": dict(self.operators),
        }


def verify(model: Model, peer: OrtPeer, inputs: Iterable[Mapping[str, Array]]) -> Report:
    """Compare every tensor of the model under profile `ort` with ONNX Runtime's, for each input.

    inputs: arrays by input name, as the model file declares them. Raises PeerError and InputError.
    """
    program = model.program("ort")
    layers = {layer.name: layer for layer in _layers(program)}
    report = Report(list(layers.values()), operators=peer.fused.operators)
    outputs: set[bytes] = set()
    for feeds in inputs:
        ours = model.trace(feeds)  # first: its errors name the input that does not fit
        theirs = peer.tensors(feeds)
        for name, array in ours.items():
            if name in layers:
                _add(layers[name], array, theirs.get(name))
        outputs.add(b"".join(ours[name].tobytes() for name in program.outputs if name in ours))
        report.inputs += 1
        report.only_theirs = tuple(name for name in peer.fused.tensors if name not in ours)
    report.distinct_outputs = len(outputs)
    return report


def _layers(program: Program) -> list[Layer]:
    found = []
    for step in program.steps:
        for name in step.output_names:
            tensor = program.tensors[name]
            found.append(Layer(name, step.label, step.op, (), str(tensor.dtype), "exact"))
    return found


def _add(layer: Layer, ours: Array, theirs: Array | None) -> None:
    layer.shape = ours.shape
    if theirs is None:
        layer.note = "ONNX Runtime's graph has no such tensor"
        return
    found = difference(ours, theirs)
    layer.elements += found.elements
    layer.differing += found.differing
    layer.largest = max(layer.largest, found.largest)
    layer.first = layer.first if layer.first is not None else found.first
    layer.note = layer.note or found.note
    if ours.dtype in (np.int8, np.uint8):
        layer.seen.update(np.flatnonzero(np.bincount(ours.reshape(-1).view(np.uint8), minlength=256)).tolist())
