"""fit: hidden parameters of simulated devices come back, or the class that remains has them in it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from qdqnp.diagnosis.identify.families import schemes
from qdqnp.diagnosis.identify.fit import Fit, Fitted, fit
from qdqnp.diagnosis.identify.fit_toml import fit_toml
from qdqnp.diagnosis.identify.identify import identify
from qdqnp.diagnosis.identify.observations import Observed
from qdqnp.model import Model, load
from qdqnp.numerics.multiplier import PRECISIONS, PowerOfTwo
from qdqnp.numerics.profile import Profile
from qdqnp.numerics.profile_toml import from_toml
from qdqnp.numerics.profiles import PROFILES
from qdqnp.numerics.profiles.neural_art import TIE
from qdqnp.numerics.rounding import ROUNDINGS
from qdqnp.numerics.rules.add import AlignedAdd, ThreeRescaleAdd
from qdqnp.numerics.rules.average import ReciprocalAverage
from qdqnp.numerics.rules.lookup import AffineLookup
from qdqnp.numerics.rules.mean import NarrowMean
from qdqnp.numerics.rules.requantize.narrow import NarrowThenAffine
from qdqnp.numerics.rules.requantize.rescale import Rescale
from qdqnp.numerics.stages import MultiplyShift
from tests.diagnosis.identify.simulated import device, network, observe
from tests.stimuli.layers import gemm

ART = PROFILES["neural-art-1.1.3"]
TIES = tuple(ROUNDINGS)


def by_name(fitted: Fitted) -> dict[str, Fit]:
    return {one.name: one for one in fitted.fits}


def check_gives_every_code(fitted: Fitted, model: Model, runs: list[Observed]) -> None:
    """What was fitted, written as TOML and read again, is a profile that gives every code of the device."""
    again = from_toml(fit_toml(fitted), "fitted")
    assert again == fitted.profile
    for verdict in identify(model, runs, [again]).verdicts:
        assert verdict.standings[0].tally.differing == 0, verdict.name
    for run, other in zip(runs, observe(model, again, [run.feeds for run in runs]), strict=True):
        assert all(np.array_equal(array, other.tensors[name]) for name, array in run.tensors.items())


# cmsis-nn's are tflite's by other names; what is hidden below is all of neural-art
@pytest.mark.parametrize("name", ["ort", "exact", "tflite", "tflite-single"])
def test_a_named_profile_is_among_what_fits(name: str, seed: int) -> None:
    model, runs = device(seed, name)
    fitted = fit(model, runs)
    assert fitted.unfitted == []
    for one in fitted.fits:
        assert name in {known for group in one.groups for rule in group for known in rule.names}
        assert one.nearest is None
    check_gives_every_code(fitted, model, runs)


def test_hidden_ties_of_neural_art_come_back(seed: int) -> None:
    rng = np.random.default_rng(seed)

    def tie() -> str:
        return str(rng.choice(TIES))

    hidden = replace(
        ART,
        name="hidden",
        conv=NarrowThenAffine(tie(), first_tie=tie()),
        gemm=NarrowThenAffine(tie()),
        add=AlignedAdd(tie(), tie()),
        concat=AffineLookup(tie()),
        global_average_pool=NarrowMean(tie()),
        average_pool=ReciprocalAverage(NarrowMean(tie()), tie()),
    )
    print({key: getattr(hidden, key) for key in ("conv", "gemm", "add", "concat", "global_average_pool")})
    check_found(seed, hidden)


def check_found(seed: int, hidden: Profile) -> None:
    """The hidden rules are in the first group or in one that the report separates from it."""
    model, runs = device(seed, hidden)
    fitted = fit(model, runs)
    assert fitted.unfitted == []
    for key, one in by_name(fitted).items():
        rule = getattr(hidden, key)
        if isinstance(rule, NarrowThenAffine) and rule.first_tie == rule.tie:
            rule = replace(rule, first_tie="same")
        assert rule in [replace(fits, status=rule.status) for fits in one.fitting], key
    check_gives_every_code(fitted, model, runs)


def test_hidden_choices_of_rescaling_come_back(seed: int) -> None:
    rng = np.random.default_rng(seed)
    base = PROFILES["tflite-single"]
    assert isinstance(base.conv, Rescale)
    scheme = [one for one in schemes() if not isinstance(one, PowerOfTwo)][int(rng.integers(4))]
    conv = Rescale(scheme, (MultiplyShift(str(rng.choice(TIES))),), str(rng.choice(PRECISIONS)))
    add = ThreeRescaleAdd(base.conv, left_shift=int(rng.integers(8, 14)))
    print(conv, add.left_shift)
    check_found(seed, replace(base, name="hidden", conv=conv, add=add))


def layer_numbers(model: Model) -> dict[str, dict[str, Any]]:
    plan = model.plan(ART)
    return {b.step.label: dict(b.parameters({})) for b in plan.steps if b.step.op == "QLinearConv"}


@pytest.mark.parametrize("number", ["S1", "S2", "both"])
def test_hidden_shifts_of_a_layer_come_back(number: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    model, _ = device(seed, ART, count=1)
    own = layer_numbers(model)
    label = str(rng.choice(list(own)))
    s1, s2 = int(own[label]["S1"]), int(own[label]["S2"])
    s1 += int(rng.choice([-1, 1])) if number != "S2" else 0
    s2 += int(rng.integers(-4, 0)) - (max(0, s1 - int(own[label]["S1"])) if number != "S1" else 0)
    given = {"S1": [("S1", s1)], "S2": [("S2", s2)], "both": [("S1", s1), ("S2", s2)]}[number]
    tie = str(rng.choice(["half-up", "half-away", "half-even"]))
    hidden = replace(ART, name="hidden", conv=NarrowThenAffine(tie, overrides=((label, tuple(given)),)))
    print(label, own[label]["S1"], own[label]["S2"], given, tie)
    runs = observe(model, hidden, [run.feeds for run in device(seed, "ort")[1]])
    truth = dict(model.plan(hidden).steps[index_of(model, label)].parameters({}))
    fitted = fit(model, runs)
    conv = by_name(fitted)["conv"]
    check_gives_every_code(fitted, model, runs)
    if conv.narrow is not None:
        assert (int(truth["S1"]), int(truth["S2"])) in conv.narrow.choices[label]
        manners = [replace(conv.narrow.rule, overrides=()), *(rule for rule, _ in conv.narrow.manners)]
        assert NarrowThenAffine(tie) in manners
    else:  # the data do not show it: every code is given without the override
        assert conv.fitting


def index_of(model: Model, label: str) -> int:
    return next(i for i, step in enumerate(model.program().steps) if step.label == label)


def test_bias_constants_that_are_some_units_off_come_back(seed: int) -> None:
    """BC of one layer is moved by up to 6 units of 2^-S2, as compilers do: what is found explains every code."""
    rng = np.random.default_rng(seed)
    model, inputs = device(seed, "ort", count=4)
    own = layer_numbers(model)
    label = str(rng.choice(list(own)))
    units = rng.integers(-6, 5, np.size(own[label]["BC"]))
    bc = tuple(int(value) for value in own[label]["BC"] + units)
    hidden = replace(ART, name="hidden", conv=NarrowThenAffine(TIE, overrides=((label, (("BC", bc),)),)))
    runs = observe(model, hidden, [run.feeds for run in inputs])
    fitted = fit(model, runs)
    check_gives_every_code(fitted, model, runs)
    narrow = by_name(fitted)["conv"].narrow
    if narrow is not None:
        found = narrow.numbers[label]
        assert (np.sign(found.offsets) * np.sign(units) >= 0).all()
        assert (np.abs(found.offsets) <= np.abs(units)).all()


def test_codes_that_no_arithmetic_gives_are_not_fitted(seed: int) -> None:
    model, runs = device(seed, "tflite", count=1)
    step = next(step for step in model.program().steps if step.op == "QLinearConv")
    name = step.output_names[0]
    wrong = {**runs[0].tensors, name: np.roll(runs[0].tensors[name], 1, axis=1)}
    fitted = fit(model, [replace(runs[0], tensors=wrong)])
    conv = by_name(fitted)["conv"]
    assert "conv" in fitted.unfitted and conv.chosen is None
    assert conv.nearest is not None and conv.nearest[1] > 0
    text = fit_toml(fitted)
    assert "NOT fitted" in text and "none fits, the nearest misses" in text
    assert from_toml(text, "fitted").conv == PROFILES[fitted.base].conv


def test_a_layers_name_cannot_leave_its_comment() -> None:
    model, runs = device(1, ART, count=1)
    fitted = fit(model, runs)
    fitted.fits[0].groups[:] = [fitted.fits[0].groups[0], [replace(fitted.fits[0].groups[0][0], text='a\nname = "b"')]]
    assert 'name = "b"' not in fit_toml(fitted).splitlines()
    assert from_toml(fit_toml(fitted), "fitted").name == "fitted"


def test_network_is_what_the_tests_think() -> None:
    ops = {node.op_type for node in network(1).graph.node}
    assert {"Conv", "Gemm", "Add", "Concat", "AveragePool", "GlobalAveragePool", "MaxPool"} <= ops


def test_sums_with_a_bias_for_each_row_are_fitted_by_what_a_sum_decides() -> None:
    """QGemm's bias may be a matrix: Neural-ART's numbers are not solved for then, and nothing is sorted away."""
    rng = np.random.default_rng(0)
    bias = rng.integers(-90, 90, (5, 3)).astype(np.int32)
    model = load(gemm(rng.integers(-9, 9, (3, 7)), 5, (0.5, [0.25], 0.75), bias=bias))
    x = rng.integers(-128, 128, (5, 7)).astype(np.int8)
    right = model.trace({"x": x})
    for change in (0, 1):
        codes = right["y"] ^ np.int8(change)
        (made,) = fit(model, [Observed({"x": x}, {"y": codes})]).fits
        assert (made.chosen is None) == bool(change)
        assert made.narrow is None
