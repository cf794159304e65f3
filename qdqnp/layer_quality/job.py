"""What is done to one input: a job for the engine, whose partial results add up exactly."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qdqnp.engine import digest
from qdqnp.errors import ModelError, Problem
from qdqnp.executor.walk import made_by
from qdqnp.feeds import feeds_for
from qdqnp.layer_quality.layers import INTEGER, Connections
from qdqnp.layer_quality.measure import Bench, LayerSums
from qdqnp.layer_quality.outputs import OutputSums, real_outputs
from qdqnp.layer_quality.pairing import Matcher, TensorPairing
from qdqnp.layer_quality.what_if import FloatForms
from qdqnp.model import Model
from qdqnp.numerics.profile import Profile
from qdqnp.quant import Array

#: The profile of the float network, and that of the int8 network in which layers are made float: nothing is fused.
UNFUSED = "ort-unfused"
#: One input: the float network's arrays by name, and the classes of its rows.
Items = tuple[Mapping[str, Array], Array | None]


class Networks:
    """The two networks, paired and ready."""

    def __init__(self, real: Model, codes: Model, profile: Profile, mapping: Mapping[str, str]) -> None:
        _check(real, codes)
        self.real, self.codes = real.plan(UNFUSED), codes.plan(profile)
        wirings = Connections.of(self.real.program, real.graph), Connections.of(self.codes.program, codes.graph)
        self.pairing: TensorPairing = Matcher(*wirings, codes.graph).pair(mapping)
        self.bench = Bench(self.real, self.codes, wirings, self.pairing.pairs)
        self._model = codes

    def forms(self) -> FloatForms:
        """Return the layers that can be made float."""
        plan = self._model.plan(UNFUSED)
        return FloatForms(self.bench, plan, Connections.of(plan.program, self._model.graph))


def _check(real: Model, codes: Model) -> None:
    """Raise ModelError unless the two networks can be the same one, the first in float."""
    problems = []
    quantizing = sorted(real.graph.ops & INTEGER)
    if quantizing:
        hint = "Give the float network first, then the int8 network."
        problems.append(Problem("the first model", "a float network", f"operators {', '.join(quantizing)}", hint))
    for what in ("inputs", "outputs"):
        here, there = getattr(real.graph, what), getattr(codes.graph, what)
        if len(here) != len(there):
            problems.append(Problem(f"{what} of the int8 network", str(len(here)), str(len(there))))
    if problems:
        raise ModelError("the two models are not a float network and its int8 form", problems)


@dataclass
class QualitySums:
    """What is counted over inputs."""

    #: By measured tensor; empty where only more layers are made float.
    layers: dict[str, LayerSums]
    #: By measured tensor whose layer can be made float, the outputs with it in float.
    gains: dict[str, OutputSums]
    #: The outputs of the int8 network, of the float network, and of the int8 network unfused.
    outputs: OutputSums
    floats: OutputSums
    unfused: OutputSums
    inputs: int = 0

    @classmethod
    def of(cls, layers: Sequence[str], forms: Sequence[str]) -> QualitySums:
        """Return sums of nothing."""
        gains = {name: OutputSums() for name in forms}
        return cls({name: LayerSums() for name in layers}, gains, OutputSums(), OutputSums(), OutputSums())

    def include(self, partial: Mapping[str, Any]) -> None:
        """Add what `as_partial` returned of others with the same layers."""
        for name, sums in self.layers.items():
            sums.include(LayerSums.from_partial(partial["layers"][name]))
        for name, outputs in self.gains.items():
            outputs.include(OutputSums.from_partial(partial["gains"][name]))
        for which in ("outputs", "floats", "unfused"):
            getattr(self, which).include(OutputSums.from_partial(partial[which]))
        self.inputs += partial["inputs"]

    def as_partial(self) -> dict[str, Any]:
        """Return all of it in lists and tables that JSON has, without rounding."""
        return {
            "layers": {name: sums.as_partial() for name, sums in self.layers.items()},
            "gains": {name: sums.as_partial() for name, sums in self.gains.items()},
            **{which: getattr(self, which).as_partial() for which in ("outputs", "floats", "unfused")},
            "inputs": self.inputs,
        }


@dataclass(frozen=True)
class QualityJob:
    """Measures one input: all layers; or, where layers are in float already, what one more would regain."""

    real: Model
    codes: Model
    profile: Profile
    mapping: tuple[tuple[str, str], ...]
    #: Whether layers are made float.
    what_if: bool
    #: The layers that are in float; () measures all layers too.
    chosen: tuple[str, ...] = ()

    def identity(self) -> Mapping[str, Any]:
        return {
            "quality": [digest(model.graph) for model in (self.real, self.codes)],
            "profile": digest(self.profile),
            "mapping": [list(pair) for pair in self.mapping],
            "what_if": self.what_if,
            "chosen": list(self.chosen),
        }

    def blobs(self) -> Mapping[str, bytes]:
        return {}

    def prepare(self, blobs: Mapping[str, bytes]) -> Callable[[Items], Any]:
        networks = Networks(self.real, self.codes, self.profile, dict(self.mapping))
        forms = networks.forms() if self.what_if else None
        left = [name for name in (forms.forms if forms else ()) if name not in self.chosen]
        layers = [] if self.chosen else [pair.codes for pair in networks.bench.pairs]

        def measured(items: Items) -> Any:
            sums = QualitySums.of(layers, left)
            _measure(networks, forms, self.chosen, sums, *items)
            return sums.as_partial()

        return measured


def _measure(
    networks: Networks,
    forms: FloatForms | None,
    chosen: Sequence[str],
    sums: QualitySums,
    inputs: Mapping[str, Array],
    labels: Array | None,
) -> None:
    """Count what one input shows."""
    given = feeds_for(networks.real, inputs, keep_all=True)
    wanted = {**given, **made_by(networks.real.steps, given)}
    theirs = real_outputs(networks.real.program, wanted, networks.real.consts)
    sums.inputs = 1
    sums.floats.add(theirs, theirs, labels)
    if sums.layers:
        sums.layers, values = networks.bench.measure(given, wanted)
        sums.outputs.add(real_outputs(networks.codes.program, values, networks.codes.consts), theirs, labels)
    if forms is None:
        return
    plan = forms.plan
    values = forms.values(given, chosen)
    sums.unfused.add(real_outputs(plan.program, values, plan.consts), theirs, labels)
    for name, outputs in sums.gains.items():
        changed = {**values, **forms.with_one_more(values, chosen, name)}
        outputs.add(real_outputs(plan.program, changed, plan.consts), theirs, labels)
