"""quality: which layer of an int8 network loses the accuracy of the float network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized

import numpy as np

from qdqnp.element_types import is_float
from qdqnp.errors import InputError, ModelError, Problem
from qdqnp.executor.walk import made_by
from qdqnp.feeds import Inputs
from qdqnp.layer_quality.findings import findings_of, range_use, widest_scale
from qdqnp.layer_quality.layers import INTEGER, Connections
from qdqnp.layer_quality.measure import Bench, LayerSums
from qdqnp.layer_quality.outputs import OutputSums, real_outputs
from qdqnp.layer_quality.pairing import Matcher, TensorPairing
from qdqnp.layer_quality.report import GreedyStep, QualityReport, QualityRow
from qdqnp.layer_quality.weights import weight_error
from qdqnp.layer_quality.what_if import FloatForms
from qdqnp.model import Model, feeds_for, load
from qdqnp.numerics.profile import Profile
from qdqnp.numerics.profiles import profile_named
from qdqnp.quant import Array
from qdqnp.reader.proto import Source

#: The profile of the float network, and that of the int8 network in which layers are made float: nothing is fused.
UNFUSED = "ort-unfused"

#: Is told how many runs are done, and how many there are in all; 0 where nobody knows.
Advance = Callable[[int, int], None]


class _Networks:
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

    def float_run(self, inputs: Inputs) -> tuple[dict[str, Array], dict[str, Array]]:
        """Return the float network's inputs, and every tensor of its run. Raises InputError where they do not fit."""
        given = feeds_for(self.real, inputs, keep_all=True)
        return given, {**given, **made_by(self.real.steps, given)}


def quality(
    float_model: Source | Model,
    int8_model: Source | Model,
    data: Iterable[Inputs],
    *,
    labels: Iterable[Array | int] | None = None,
    profile: str | Profile = "ort",
    mapping: Mapping[str, str] | None = None,
    what_if: bool = False,
    greedy: int = 0,
    advance: Advance = lambda done, total: None,
) -> QualityReport:
    """Measure what quantization costs, layer by layer, on inputs of the user's own.

        float_model: the float network: a file, its bytes, or a loaded model.
        int8_model: the quantized network, likewise.
        data: the inputs of the float network, arrays by name or the only one; each is one run.
        labels: for each input the class, or the classes of its rows.
        profile: the arithmetic of the int8 network.
        mapping: by tensor or layer of the int8 network, that of the float network which it stands for.
        what_if: whether each layer is made float by itself, which takes about half as many runs as there are layers.
        greedy: how many layers are made float one after the other, each time the one that helps most.
        advance: told after each run, of the network or of what depends on one layer, how many are done, and how many
            there are in all; 0 where the data have no length.

    Raises ModelError where the networks do not fit each other or the first is not a float network, InputError for data
    that do not fit, or where there are none.

    >>> import numpy as np
    >>> from qdqnp.inputs.shipped import shipped_model
    >>> pictures = np.random.default_rng(0).standard_normal((2, 1, 3, 32, 32), np.float32)
    >>> report = quality(shipped_model("dla46_c_float"), shipped_model("dla46_c_int8"), pictures)
    >>> report.inputs, len(report.rows), report.unmatched
    (2, 74, {})
    """
    real, codes = (model if isinstance(model, Model) else load(model) for model in (float_model, int8_model))
    networks = _Networks(real, codes, profile_named(profile), mapping or {})
    inputs = data if greedy <= 1 or iter(data) is not data else list(data)
    known = None if labels is None else list(labels)
    forms = networks.forms() if what_if or greedy else None
    size = len(inputs) if isinstance(inputs, Sized) else 0
    counted = _Counted(networks, forms, known, _Progress(advance, size * _runs_of(forms, greedy)))
    counted.measure(inputs)
    steps = counted.greedy(inputs, greedy) if greedy and forms is not None and forms.forms else []
    return counted.report(steps, profile_named(profile).name)


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


def _runs_of(forms: FloatForms | None, greedy: int) -> int:
    """Return how many runs each input takes."""
    layers = len(forms.forms) if forms is not None else 0
    return 1 + sum(max(0, layers - done) for done in range(max(1, greedy)))


class _Progress:
    """Counts runs, and tells it."""

    def __init__(self, advance: Advance, total: int) -> None:
        self._advance, self._total, self._done = advance, total, 0

    def __call__(self) -> None:
        self._done += 1
        self._advance(self._done, self._total)


class _Counted:
    """What is counted over all inputs."""

    def __init__(
        self, networks: _Networks, forms: FloatForms | None, labels: Sequence[Array | int] | None, advance: _Progress
    ) -> None:
        self.networks, self.forms, self.labels, self.advance = networks, forms, labels, advance
        self.sums = {pair.codes: LayerSums() for pair in networks.bench.pairs}
        self.outputs, self.floats, self.unfused = OutputSums(), OutputSums(), OutputSums()
        self.gains: dict[str, OutputSums] = {name: OutputSums() for name in (forms.forms if forms else ())}
        self.inputs = 0

    def measure(self, data: Iterable[Inputs]) -> None:
        """Measure every layer on every input, and what each layer would regain."""
        for given, wanted, labels in self._runs(data):
            bench, plan = self.networks.bench, self.networks.codes
            found, values = bench.measure(given, wanted)
            for name, sums in found.items():
                self.sums[name].include(sums)
            theirs = real_outputs(self.networks.real.program, wanted, self.networks.real.consts)
            self.outputs.add(real_outputs(plan.program, values, plan.consts), theirs, labels)
            self.floats.add(theirs, theirs, labels)
            self.advance()
            if self.forms is not None:
                nothing = self.forms.values(given, ())
                self._add(self.unfused, nothing, theirs, labels)
                self._one_more(given, nothing, (), theirs, labels, self.gains)
            self.inputs += 1
        if not self.inputs:
            raise InputError("there is nothing to measure on", [Problem("data", "at least one input", "none")])

    def _runs(self, data: Iterable[Inputs]) -> Iterator[tuple[dict[str, Array], dict[str, Array], Array | None]]:
        for number, inputs in enumerate(data):
            given, wanted = self.networks.float_run(inputs)
            yield given, wanted, self._labels(number, given)

    def _labels(self, number: int, given: Mapping[str, Array]) -> Array | None:
        if self.labels is None:
            return None
        rows = next((len(array) for array in given.values() if array.ndim), 1)
        found = np.asarray(self.labels[number] if number < len(self.labels) else []).reshape(-1)
        if found.size != rows or found.dtype.kind not in "iu":
            problem = Problem(f"labels of input {number}", f"{rows} integers", f"{found.size} {found.dtype}")
            raise InputError("the labels do not fit the data", [problem])
        return found

    def _add(
        self, sums: OutputSums, values: Mapping[str, Array], theirs: Sequence[Array], labels: Array | None
    ) -> None:
        assert self.forms is not None
        plan = self.forms.plan
        sums.add(real_outputs(plan.program, values, plan.consts), theirs, labels)

    def _one_more(
        self,
        given: Mapping[str, Array],
        values: Mapping[str, Array],
        chosen: Sequence[str],
        theirs: Sequence[Array],
        labels: Array | None,
        gains: Mapping[str, OutputSums],
    ) -> None:
        """Make one more layer float, each in turn."""
        assert self.forms is not None
        for name, sums in gains.items():
            changed = self.forms.with_one_more(values, chosen, name)
            self._add(sums, {**values, **changed}, theirs, labels)
            self.advance()

    def greedy(self, data: Iterable[Inputs], count: int) -> list[GreedyStep]:
        """Make layers float one after the other, each time the one that helps most."""
        assert self.forms is not None
        gains, chosen, steps = self.gains, list[str](), list[GreedyStep]()
        while gains and len(steps) < count:
            best = max(gains, key=lambda name: gains[name].error.sqnr)
            steps.append(GreedyStep(best, gains[best]))
            chosen.append(best)
            if len(steps) == count:
                break
            gains = {name: OutputSums() for name in self.forms.forms if name not in chosen}
            for given, wanted, labels in self._runs(data):
                theirs = real_outputs(self.networks.real.program, wanted, self.networks.real.consts)
                values = self.forms.values(given, chosen)
                self._one_more(given, values, chosen, theirs, labels, gains)
        return steps

    def report(self, steps: Sequence[GreedyStep], profile: str) -> QualityReport:
        """Return the report, the worst layer first."""
        bench, program = self.networks.bench, self.networks.codes.program
        uses = {pair.codes: range_use(self.sums[pair.codes], bench.quants[pair.codes]) for pair in bench.pairs}
        chosen = {name: use for name, use in uses.items() if not bench.source(name)}
        widest = widest_scale(chosen.values())
        rows = []
        for depth, pair in enumerate(bench.pairs):
            sums, maker = self.sums[pair.codes], program.makers[pair.codes]
            both = bench.weights.get(pair.codes)
            weights = None if both is None else weight_error(*both)
            tensor = program.tensors[pair.codes]
            rows.append(
                QualityRow(
                    tensor=pair.codes,
                    real=pair.real,
                    told_by=pair.told_by,
                    label=maker.label,
                    op=maker.op,
                    dtype="float32" if is_float(tensor.dtype) else str(tensor.file_dtype or tensor.dtype),
                    depth=depth,
                    sums=sums,
                    use=uses[pair.codes],
                    weights=weights,
                    findings=findings_of(sums, chosen.get(pair.codes), widest, weights),
                    gain=self.gains.get(pair.codes),
                )
            )
        why = ""
        if self.forms is not None and not self.forms.forms:
            why = "no layer can be made float: the file has no QuantizeLinear behind its layers (QOperator format)"
        pairing = self.networks.pairing
        return QualityReport(
            profile=profile,
            inputs=self.inputs,
            rows=tuple(sorted(rows, key=lambda row: row.badness, reverse=True)),
            outputs=self.outputs,
            float_correct=self.floats.correct if self.floats.labelled else None,
            unmatched=pairing.unmatched,
            unmatched_float=tuple(pairing.unmatched_float),
            unfused=self.unfused if self.gains else None,
            greedy=tuple(steps),
            no_what_if=why,
            what_if_runs=self.forms.cost() / len(self.forms.plan.steps) if self.forms and self.gains else 0.0,
        )
