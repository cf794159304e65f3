"""identify: simulated devices of every complete profile, on networks and data drawn anew for each test."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import qdqnp
from qdqnp.diagnosis.identify.identify import IdentifyReport, identify
from qdqnp.diagnosis.identify.layers import Layers
from qdqnp.diagnosis.identify.observations import Observed, sort_dump
from qdqnp.errors import InputError, QdqnpError
from qdqnp.model import Model
from qdqnp.numerics.profile_toml import from_toml
from qdqnp.numerics.profiles import PROFILES
from tests.diagnosis.identify.simulated import COMPLETE, device, feeds, network

FAMILIES = {"QLinearConv", "QGemm", "QLinearAdd", "QLinearConcat", "QLinearAveragePool", "QLinearGlobalAveragePool"}


def own_class(model: Model, runs: list[Observed], operator: str) -> set[str]:
    """The complete profiles whose own plan gives every code of an operator, fed with the device's tensors."""
    found = set()
    for name in COMPLETE:
        equal = True
        for run in runs:
            known = {**run.feeds, **run.tensors}
            for bound in model.plan(name).steps:
                output = bound.step.output_names[0]
                if bound.step.op == operator:
                    equal &= np.array_equal(bound.evaluate(known)[output], run.tensors[output])
        if equal:
            found.add(name)
    return found


@pytest.mark.parametrize("name", COMPLETE)
def test_the_device_is_in_the_class_that_is_named(name: str, seed: int) -> None:
    model, runs = device(seed, name)
    report = identify(model, runs)
    assert {verdict.name for verdict in report.verdicts} == FAMILIES
    for verdict in report.verdicts:
        assert name in verdict.matched
        assert set(verdict.matched) & set(COMPLETE) == own_class(model, runs, verdict.name)
    assert name in report.everywhere
    assert not report.moved and not report.unknown and not report.unreachable


@pytest.mark.parametrize("name", ["ort-x64", "ort-unfused", "ort-avx2", "ort-arm64"])
def test_sessions_of_other_lowerings_are_named_too(name: str, seed: int) -> None:
    """They compute some tensors in uint8, or in float32 between codes; a device shows the file's codes."""
    model, runs = device(seed, name)
    report = identify(model, runs)
    assert {verdict.name for verdict in report.verdicts} == FAMILIES
    assert name in report.everywhere and not report.moved


def verdict_of(report: IdentifyReport, operator: str) -> object:
    return next(verdict for verdict in report.verdicts if verdict.name == operator)


def test_arithmetics_that_differ_on_the_data_are_not_in_one_class(seed: int) -> None:
    model, runs = device(seed, "tflite", count=4)
    conv = verdict_of(identify(model, runs), "QLinearConv")
    assert {"tflite", "cmsis-nn", "tosa-double", "ethos-u"} <= set(conv.matched)
    assert not {"tflite-single", "neural-art-1.1.3", "ort"} & set(conv.matched)
    ranks = [standing.tally.differing for standing in conv.standings]
    assert ranks == sorted(ranks) and ranks[0] == 0 < ranks[1]
    assert sum(len(standing.profiles) for standing in conv.standings) + len(conv.undefined) == len(PROFILES)
    # scales that are no powers of two; zero points of outputs; weights with a scale for each channel
    assert set(conv.undefined) == {"pow2", "pow2-floor", "pow2-even", "ti-tinpu", "rockchip-rk3588"}


def test_an_unknown_arithmetic_is_matched_by_none(seed: int) -> None:
    mine = from_toml('base = "tflite"\n[add]\nkind = "aligned-add"\ntie = "truncate"\ninner = "truncate"', "mine")
    model, runs = device(seed, mine)
    report = identify(model, runs)
    add = verdict_of(report, "QLinearAdd")
    assert add.matched == [] and add.standings[0].tally.differing > 0 and report.everywhere == []
    assert "tflite" in verdict_of(report, "QLinearConv").matched
    assert verdict_of(identify(model, runs, [*PROFILES.values(), mine]), "QLinearAdd").matched == ["mine"]


def test_missing_tensors_join_the_layers_between(seed: int) -> None:
    """Only the network's output and one tensor in the middle: what lies between them is judged as one."""
    model, runs = device(seed, "tflite-single")
    add = next(step for step in model.program().steps if step.op == "QLinearAdd").output_names[0]
    last = list(runs[0].tensors)[-1]
    few = [replace(run, tensors={name: run.tensors[name] for name in (add, last)}) for run in runs]
    report = identify(model, few)
    assert [verdict.operators[-1] for verdict in report.verdicts] == ["QLinearAdd", "QGemm"]
    assert all(len(verdict.operators) > 3 for verdict in report.verdicts)
    assert "tflite-single" in report.everywhere
    assert report.verdicts[0].splits == []


def test_a_layer_is_fed_the_devices_own_tensors(seed: int) -> None:
    """A device that is wrong in its first layer is still recognized in all others."""
    model = qdqnp.load(network(seed))
    inputs = feeds(np.random.default_rng(seed), 2)
    runs = []
    for x in inputs:
        first = next(s for s in model.program().steps if s.op == "QLinearConv").output_names[0]
        codes = model.trace(x, profile="ort")[first]
        layers, known = Layers(model, PROFILES["ort"]), {**x, first: np.roll(codes, 1, axis=2)}
        for step in layers.steps:
            for name in step.output_names:
                known.setdefault(name, layers.replay(name, known) if name not in known else known[name])
        runs.append(Observed(x, {n: a for n, a in known.items() if a.dtype.kind in "iu"}))
    report = identify(model, runs)
    assert [verdict.name for verdict in report.verdicts if "ort" not in verdict.matched] == ["QLinearConv"]


def test_tensors_that_no_arithmetic_makes_show_a_wrong_dump(seed: int) -> None:
    model, runs = device(seed, "ort", count=1)
    pool = next(step for step in model.program().steps if step.op == "MaxPool").output_names[0]
    wrong = {**runs[0].tensors, pool: np.roll(runs[0].tensors[pool], 1, axis=-1)}
    report = identify(model, [replace(runs[0], tensors=wrong)])
    assert report.moved == {pool: int(np.count_nonzero(wrong[pool] != runs[0].tensors[pool]))}


def test_what_would_split_a_class_does_split_it(seed: int) -> None:
    """The stimulus that is named, evaluated by the operator itself, gives the two codes that were promised."""
    model, runs = device(seed, "exact", count=1)
    report = identify(model, runs)
    seen = 0
    for verdict in report.verdicts:
        for split in verdict.splits:
            found = split.search.stimulus
            if found is not None and found.input_codes is not None and verdict.name in ("QLinearConv", "QLinearAdd"):
                got = [answer(model, name, found) for name in (split.one[0], split.other[0])]
                assert tuple(got) == found.codes and got[0] != got[1]
                seen += 1
    print("splits checked:", seen)
    assert seen or all(not verdict.splits for verdict in report.verdicts if verdict.name == "QLinearConv")


def answer(model: Model, profile: str, stimulus: object) -> int:
    """The code of a profile for the named input of the named layer."""
    layers = Layers(model, PROFILES[profile])
    step = next(step for step in layers.steps if step.label == stimulus.layer)
    codes = np.array(stimulus.input_codes)
    if step.op == "QLinearAdd":
        # twice: operands of one element are exchanged by ONNX Runtime, which changes its rounding
        a, b = (np.full((1, 1, 1, 2), code, np.int8) for code in codes)
        made = layers.bind(step).evaluate(dict(zip(step.input_names, (a, b), strict=True)))
        return int(made[step.output_names[0]].flat[0])
    channel = int(stimulus.text.split()[1].rstrip(","))
    weights = layers.program.tensors[step.input_names[1]].const
    groups = step.attributes.group
    inner, kernel = weights.shape[1], weights.shape[2:]
    planes = np.zeros((1, inner * groups, *kernel), np.int8)
    first = channel // (weights.shape[0] // groups) * inner
    planes[0, first : first + inner] = codes.reshape(inner, *kernel)
    middle = tuple(size // 2 for size in kernel)
    return int(layers.bind(step).evaluate({step.input_names[0]: planes})[step.output_names[0]][(0, channel, *middle)])


def test_a_dump_of_another_dtype_or_of_nothing_useful_is_refused() -> None:
    model, runs = device(1, "ort", count=1)
    add = next(step for step in model.program().steps if step.op == "QLinearAdd").output_names[0]
    with pytest.raises(InputError, match=r"expected int8, got uint8"):
        identify(model, [replace(runs[0], tensors={add: runs[0].tensors[add].view(np.uint8)})])
    with pytest.raises(InputError, match="nothing to identify"):
        identify(model, [replace(runs[0], tensors={"input": runs[0].feeds["input"]})])
    assert sort_dump(model, runs).unknown == ()


def test_profiles_of_requantization_only_have_no_plan_but_are_judged(seed: int) -> None:
    model, runs = device(seed, "tflite", count=1)
    with pytest.raises(QdqnpError):
        model.plan("ethos-u85-dasym")
    assert "ethos-u" in verdict_of(identify(model, runs), "QLinearConv").matched
