"""Envelope: what hidden parameters give lies inside, on 100 random layers; a scale that is 1 % off does not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

import qdqnp
from qdqnp.diagnosis import rebind
from qdqnp.diagnosis.align import Aligned, align
from qdqnp.diagnosis.compare.compare import CompareOptions, compare
from qdqnp.diagnosis.compare.report import CompareReport
from qdqnp.diagnosis.compare.status import INSIDE
from qdqnp.diagnosis.envelope import BC_OFFSETS, Envelope, admissible_requantizers, envelope
from qdqnp.diagnosis.replay import Device, Reference
from qdqnp.executor.plan import BoundStep
from qdqnp.numerics.choices import admissible
from qdqnp.numerics.profile import Profile
from qdqnp.numerics.profiles import PROFILES
from qdqnp.numerics.rules.add import AlignedAdd, FloatAdd
from qdqnp.numerics.rules.lookup import AffineLookup
from qdqnp.numerics.rules.mean import NarrowMean
from qdqnp.numerics.rules.requantize.narrow import NarrowThenAffine
from qdqnp.numerics.rules.requantize.protocol import Requantizer, SumContext
from qdqnp.quant import Quant
from tests.diagnosis import small
from tests.diagnosis.small import Array
from tests.networks import dla

NEURAL_ART = PROFILES["neural-art-1.1.3"]
NETS = 4
DEVICES = 2  # of each network: one leaves 13 to 35 tensors inside the envelope, over 582 draws


@dataclass(frozen=True, eq=False)
class Hidden:
    """The convolution of a device whose BC is some units off, in each channel differently."""

    inner: NarrowThenAffine
    seed: int
    status: str = "inferred"
    overrides: tuple[()] = ()

    def bind(self, layer: SumContext) -> Requantizer:
        bound: Any = self.inner.bind(layer)
        return replace(bound, bc=bound.bc + np.random.default_rng(self.seed).integers(-6, 5, bound.a.size))


def hidden(rng: np.random.Generator) -> Profile:
    tie = str(rng.choice(["half-up", "half-away", "half-even"]))
    first = str(rng.choice(["same", "half-up", "half-away", "half-even"]))
    conv: Any = Hidden(NarrowThenAffine(tie=tie, first_tie=first), int(rng.integers(2**31)))
    return replace(
        NEURAL_ART,
        name="hidden",
        conv=conv,
        add=AlignedAdd(tie, str(rng.choice(["floor", "half-up"]))),
        concat=AffineLookup(tie),
        global_average_pool=NarrowMean(tie),
    )


def dumped(reference: Reference, rng: np.random.Generator, wrong: str = "") -> Aligned:
    """The tensors of a device that computes each layer with parameters of its own. wrong: the tensor of an Add whose
    first operand's scale is 1 % off."""
    cases: list[dict[str, Array]] = []
    profiles = [hidden(rng) for _ in reference.plan.steps]
    for given in reference.given:
        values = dict(given)
        for bound, profile in zip(reference.plan.steps, profiles, strict=True):
            output = bound.step.output_names[0]
            if output not in values:
                step = off(bound) if output == wrong else bound.step
                values[output] = rebind.evaluate(bound, values, profile, step)
        cases.append(values)
    names = [target.name for target in reference.targets if target.step >= 0]
    return align(small.dump({n: [case[n] for case in cases] for n in names}), reference.targets, len(cases))


def off(bound: BoundStep) -> Any:
    a, b = (operand.quant for operand in bound.step.inputs)
    return rebind.with_inputs(bound.step, [replace(a, scale=np.float32(a.scale * np.float32(1.01))), b])


@pytest.fixture(scope="module")
def references(session_seed: int) -> list[Reference]:
    models = [qdqnp.load(dla(seed=(session_seed + index) % 2**32)) for index in range(NETS)]
    return [Reference(model, NEURAL_ART, small.feeds(2, session_seed + index)) for index, model in enumerate(models)]


def told(report: CompareReport) -> list[str]:
    return [f"{row.name}: {row.explanation}" for row in report.failing]


def test_no_false_alarm_on_100_random_layers(references: list[Reference], seed: int) -> None:
    layers, inside = 0, 0
    for index, reference in enumerate(references * DEVICES):
        report = compare(
            reference, dumped(reference, np.random.default_rng([seed, index])), CompareOptions(use_envelope=True)
        )
        assert report.equal, told(report)
        layers += sum(row.op.startswith("QLinear") for row in report.rows)
        inside += sum(row.status == INSIDE for row in report.rows)
    assert layers >= 100 and inside >= 20  # hidden parameters that change nothing would prove nothing


def test_an_operand_scale_that_is_off_by_one_percent_is_flagged(references: list[Reference], seed: int) -> None:
    for index, reference in enumerate(references):
        for step in (bound.step for bound in reference.plan.steps if bound.step.op == "QLinearAdd"):
            name = step.output_names[0]
            aligned = dumped(reference, np.random.default_rng([seed, index]), name)
            report = compare(reference, aligned, CompareOptions(use_envelope=True))
            assert [row.name for row in report.failing] == [name], told(report)
            assert report.failing[0].envelope is not None and report.failing[0].envelope.outside
            assert "not explainable by this arithmetic" in report.verdict()[0]


def test_the_bounds_are_reached(references: list[Reference]) -> None:
    """No wider than needed: what is admissible at the ends is inside, one code beyond is not."""
    reference = references[0]
    bound = next(b for b in reference.plan.steps if b.step.op == "QLinearAdd")
    name, case = bound.step.output_names[0], reference.cases[0]
    rules = [replace(NEURAL_ART, add=rule) for rule in admissible(NEURAL_ART.add)]
    made = np.array([rebind.evaluate(bound, case, rule) for rule in rules], int)
    low, high = made.min(axis=0), made.max(axis=0)
    for codes, outside in (
        (low, 0),
        (high, 0),
        (high + 1, int((high < 127).sum())),
        (low - 1, int((low > -128).sum())),
    ):
        found = measured(reference, {**case, name: np.clip(codes, -128, 127).astype(np.int8)}, name)
        assert found.outside == outside and found.wide == int((low != high).sum()) and found.elements == low.size


def measured(reference: Reference, values: dict[str, Array], name: str) -> Envelope:
    names = [target.name for target in reference.targets if target.step >= 0 and target.name in values]
    aligned = align(small.dump({n: [values[n]] for n in names}), reference.targets, 1)
    return envelope(Device(reference, aligned), name)


def test_what_is_admissible() -> None:
    ties = ("half-up", "half-away", "half-even")
    pairs = {(rule.tie, rule.inner) for rule in admissible(AlignedAdd("half-up"))}
    assert pairs == {(tie, inner) for tie in ties for inner in ("floor", "half-up")}
    assert list(admissible(FloatAdd())) == [FloatAdd()]
    averages = list(admissible(NEURAL_ART.average_pool))
    assert {(rule.tie, rule.mean.tie) for rule in averages} == {(one, other) for one in ties for other in ties}


@pytest.mark.parametrize(("largest", "accumulators"), [(2**23 - 1, 1), (2**23, 3)])
def test_what_is_admissible_of_sums(largest: int, accumulators: int) -> None:
    """Two tie rules of three each, two ends of BC; how a 24-bit accumulator ends shows in larger sums only."""
    one = Quant(np.dtype(np.int8), np.float32(1), np.int8(0))
    bound: Any = NEURAL_ART.conv.bind(SumContext(one, one, one, weights=np.ones((1, 1), np.int64)))
    found = list(admissible_requantizers(bound, np.array([[largest]])))
    kinds = {(r.rule.tie, r.rule.first_tie, r.rule.accumulator, int(r.bc - bound.bc)) for r in found}
    assert len(found) == len(kinds) == 3 * 3 * accumulators * 2
    assert {offset for *_, offset in kinds} == set(BC_OFFSETS) == {-6, 4}


def test_an_established_arithmetic_has_one_code_each() -> None:
    reference = small.reference()
    for name in small.outputs("QLinearConv")[:2] + small.outputs("QLinearAdd")[:1]:
        found = measured(reference, reference.cases[0], name)
        assert (found.wide, found.outside) == (0, 0) and found.inside


def test_two_layers_between_dumped_tensors_have_no_envelope(references: list[Reference]) -> None:
    reference = references[0]
    add = next(b.step for b in reference.plan.steps if b.step.op == "QLinearAdd")
    values = {name: array for name, array in reference.cases[0].items() if name != add.input_names[0]}
    found = measured(reference, values, add.output_names[0])
    assert not found.inside and "not every layer was dumped" in found.note
