"""quality: which layer of an int8 network loses the accuracy of the float network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from typing import Unpack

import numpy as np

from qdqnp.element_types import is_float
from qdqnp.engine import Shard, Workplace, digest, each_shard
from qdqnp.errors import InputError, Problem, shorten
from qdqnp.feeds import Inputs, feeds_for
from qdqnp.layer_quality.findings import findings_of, range_use, widest_scale
from qdqnp.layer_quality.job import Items, Networks, QualityJob, QualitySums
from qdqnp.layer_quality.outputs import classes_of
from qdqnp.layer_quality.report import GreedyStep, QualityReport, QualityRow
from qdqnp.layer_quality.weights import weight_error
from qdqnp.layer_quality.what_if import FloatForms
from qdqnp.model import Model, load
from qdqnp.numerics.profile import Profile
from qdqnp.numerics.profiles import profile_named
from qdqnp.quant import Array
from qdqnp.reader.proto import Source

#: Is told how many inputs are done, and how many there are in all rounds; 0 where nobody knows.
Advance = Callable[[int, int], None]
#: The most layers that are made float one after another.
MOST_GREEDY = 100


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
    **where: Unpack[Workplace],
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
        advance: told after each input how many are done, and how many there are, those of each round of `greedy` among
            them; 0 where the data have no length.
        where: where inputs are computed: keyword arguments of qdqnp.engine.run_shards, this process without them. The
            report does not depend on it.

    Raises ModelError where the networks do not fit each other or the first is not a float network, InputError for data
    that do not fit, or where there are none, and EngineError as run_shards does.

    >>> import numpy as np
    >>> from qdqnp.inputs.shipped import shipped_model
    >>> pictures = np.random.default_rng(0).standard_normal((2, 1, 3, 32, 32), np.float32)
    >>> report = quality(shipped_model("dla46_c_float"), shipped_model("dla46_c_int8"), pictures)
    >>> report.inputs, len(report.rows), report.unmatched
    (2, 74, {})
    """
    real, codes = (model if isinstance(model, Model) else load(model) for model in (float_model, int8_model))
    arithmetic, told = profile_named(profile), tuple(sorted((mapping or {}).items()))
    networks = Networks(real, codes, arithmetic, dict(told))
    forms = networks.forms() if what_if or greedy else None
    inputs = data if greedy <= 1 or iter(data) is not data else list(data)
    known = None if labels is None else list(labels)
    size = len(inputs) * max(1, greedy) if isinstance(inputs, Sized) else 0
    done = 0

    def count(chosen: tuple[str, ...]) -> QualitySums:
        """Add up what all inputs show."""
        nonlocal done
        names = [name for name in (forms.forms if forms else ()) if name not in chosen]
        sums = QualitySums.of([] if chosen else [pair.codes for pair in networks.bench.pairs], names)
        job = QualityJob(real, codes, arithmetic, told, forms is not None, chosen)
        chosen_place = Workplace(**{"workers": 1, **where})
        for partial in each_shard(job, _shards(networks, inputs, known), **chosen_place):
            sums.include(partial)
            done += 1
            advance(done, size)
        return sums

    first = count(())
    if not first.inputs:
        raise InputError("there is nothing to measure on", [Problem("data", "at least one input", "none")])
    return _report(networks, forms, arithmetic.name, first, _greedy(count, first, greedy))


def _shards(networks: Networks, data: Iterable[Inputs], labels: Sequence[Array | int] | None) -> Iterator[Shard]:
    size = classes_of(networks.real.program)
    for index, inputs in enumerate(data):
        names = networks.real.program.inputs
        given = dict(inputs) if isinstance(inputs, Mapping) else dict(zip(names, [np.asarray(inputs)], strict=False))
        if not isinstance(inputs, Mapping) and len(names) != 1:
            feeds_for(networks.real, inputs)  # says why not
        classes = _classes(index, given, labels, size)
        items: Items = (given, classes)
        yield Shard(index, items, digest(given, classes))


def _classes(
    number: int, given: Mapping[str, Array], labels: Sequence[Array | int] | None, size: int | None
) -> Array | None:
    """Return the classes of an input's rows. Raises InputError where there are not as many, or one is no class of the
    `size` that the scores have."""
    if labels is None:
        return None
    rows = next((len(array) for array in given.values() if np.ndim(array)), 1)
    found = np.asarray(labels[number] if number < len(labels) else []).reshape(-1)
    if found.size != rows or found.dtype.kind not in "iu":
        problem = Problem(f"labels of input {number}", f"{rows} integers", f"{found.size} {found.dtype}")
        raise InputError("the labels do not fit the data", [problem])
    if size is not None and not all(0 <= label < size for label in found.tolist()):
        problem = Problem(f"labels of input {number}", f"classes from 0 to {size - 1}", shorten(str(found.tolist())))
        raise InputError("the labels do not fit the data", [problem])
    return found


def _greedy(count: Callable[[tuple[str, ...]], QualitySums], first: QualitySums, rounds: int) -> list[GreedyStep]:
    """Make layers float one after the other, each time the one that helps most."""
    gains, chosen, steps = first.gains, list[str](), list[GreedyStep]()
    while gains and len(steps) < rounds:
        best = max(gains, key=lambda name: gains[name].error.sqnr)
        steps.append(GreedyStep(best, gains[best]))
        chosen.append(best)
        if len(steps) < rounds:
            gains = count(tuple(chosen)).gains
    return steps


def _report(
    networks: Networks, forms: FloatForms | None, profile: str, counted: QualitySums, steps: Sequence[GreedyStep]
) -> QualityReport:
    """Return the report, the worst layer first."""
    bench, program = networks.bench, networks.codes.program
    uses = {pair.codes: range_use(counted.layers[pair.codes], bench.quants[pair.codes]) for pair in bench.pairs}
    chosen = {name: use for name, use in uses.items() if not bench.source(name)}
    widest = widest_scale(chosen.values())
    rows, wrong = [], set[str]()
    for depth, pair in enumerate(bench.pairs):
        sums, maker = counted.layers[pair.codes], program.makers[pair.codes]
        both = bench.weights.get(pair.codes)
        weights = None if both is None else weight_error(*both)
        tensor = program.tensors[pair.codes]
        read = {name for step in bench.codes_wiring.chain(pair.codes) for name in step.input_names}
        misled = not wrong.isdisjoint(read)
        findings = findings_of(sums, chosen.get(pair.codes), widest, weights, misled)
        if any(finding.kind in ("scale", "range") for finding in findings):
            wrong.add(pair.codes)
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
                findings=findings,
                gain=counted.gains.get(pair.codes),
            )
        )
    why = ""
    if forms is not None and not forms.forms:
        why = "no layer can be made float: the file has no QuantizeLinear behind its layers (QOperator format)"
    return QualityReport(
        profile=profile,
        inputs=counted.inputs,
        rows=tuple(sorted(rows, key=lambda row: row.badness, reverse=True)),
        outputs=counted.outputs,
        float_correct=counted.floats.correct if counted.floats.labelled else None,
        unmatched=networks.pairing.unmatched,
        unmatched_float=tuple(networks.pairing.unmatched_float),
        unfused=counted.unfused if counted.gains else None,
        greedy=tuple(steps),
        no_what_if=why,
        what_if_runs=forms.cost() / len(forms.plan.steps) if forms and counted.gains else 0.0,
    )
