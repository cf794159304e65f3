"""compare: own errors and inherited ones, segments, other arithmetics, dumps that lie, tolerances, verdicts."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import qdqnp
from qdqnp.diagnosis.align import align
from qdqnp.diagnosis.compare.compare import CompareOptions, compare
from qdqnp.diagnosis.compare.status import ARITHMETIC, EQUAL, FAULT, INHERITED, INSIDE, TOLERATED, UNEXPLAINED
from qdqnp.diagnosis.dump import Dump, DumpEntry
from qdqnp.diagnosis.replay import Reference
from qdqnp.diagnosis.tolerance import Tolerance, parse
from qdqnp.errors import InputError
from qdqnp.executor.walk import walk
from qdqnp.inputs.shipped import shipped_model
from qdqnp.numerics.profiles import PROFILES
from qdqnp.numerics.rules.requantize.narrow import NarrowThenAffine
from tests.diagnosis import small
from tests.diagnosis.small import Array, report, row, tensors

CONVS, ADDS = small.outputs("QLinearConv"), small.outputs("QLinearAdd")


def after(name: str, wrong: list[Array], shown: bool = True) -> dict[str, list[Array]]:
    """The dump of a device on which a tensor is wrong, and everything that follows from it."""
    ref, found = small.reference(), {}
    made = [walk(ref.plan, {**given, name: codes}, None) for given, codes in zip(ref.given, wrong, strict=True)]
    for key in tensors():
        found[key] = [case[key] for case in made]
    return found


def disturbed(name: str, seed: int = 3) -> list[Array]:
    """Noise of several LSB, which no recognizer knows."""
    rng = np.random.default_rng(seed)
    return [np.clip(a.astype(int) + rng.integers(-9, 10, a.shape), -128, 127).astype(np.int8) for a in tensors()[name]]


def test_equal_dumps_are_equal() -> None:
    found = report(tensors())
    assert found.equal and found.first is None and found.cases == 2
    assert all(r.status == EQUAL and r.metrics["cos"] == 1 and r.metrics["rmse"] == 0 for r in found.rows)
    assert found.verdict()[0].startswith("equal: 0 of ") and not found.undumped and not found.unused
    assert len(found.rows) == len(tensors())


@pytest.mark.parametrize("name", [CONVS[0], CONVS[5], ADDS[1], small.outputs("MaxPool")[0]])
def test_only_the_wrong_layer_has_an_error_of_its_own(name: str) -> None:
    found = report(after(name, disturbed(name)))
    own = [r.name for r in found.rows if r.single.differing]
    assert own == [name] and found.first is not None and found.first.name == name
    assert row(found, name).status == UNEXPLAINED and "no known fault" in found.verdict()[0]
    later = found.rows[[r.name for r in found.rows].index(name) + 1 :]
    assert any(r.status == INHERITED for r in later)
    assert all(
        r.entire.differing == sum(int((a != b).sum()) for a, b in zip(tensors()[r.name], dumped, strict=True))
        for r, dumped in ((row(found, n), after(name, disturbed(name))[n]) for n in CONVS)
    )


def test_where_not_every_layer_was_dumped_the_interval_is_named() -> None:
    name, ref = CONVS[5], small.reference()
    steps = [bound.step for bound in ref.plan.steps]
    index = next(i for i, s in enumerate(steps) if s.output_names[0] == name)
    reader = next(s for s in steps[index + 1 :] if name in s.input_names)
    dumped = after(name, disturbed(name))
    del dumped[name]
    found = report(dumped)
    first = found.first
    assert first is not None and first.name == reader.output_names[0]
    assert steps[index].label in first.segment and reader.label in first.segment
    assert name in found.undumped and "suspect layers" in found.verdict()[0]


def test_only_inputs_and_outputs_dumped() -> None:
    final = small.reference().targets[-1]
    wrong = after(CONVS[3], disturbed(CONVS[3]))
    found = report({final.name: wrong[final.name]})
    assert [r.name for r in found.rows] == [final.name] and not found.equal
    assert len(found.rows[0].segment) > 20
    assert report({final.name: tensors()[final.name]}).equal


def test_a_dump_that_lies_is_told_from_a_layer_that_does() -> None:
    """Everybody who reads the tensor had the right values."""
    name = CONVS[5]
    lying = {**tensors(), name: disturbed(name)}
    found = report(lying)
    assert [r.name for r in found.failing] == [name]
    assert row(found, name).read_wrong and "the device went on with the right values" in found.verdict()[0]
    assert not row(report(after(name, disturbed(name))), name).read_wrong


def test_two_wrong_dumps_beside_each_other() -> None:
    step = next(b.step for b in small.reference().plan.steps if b.step.output_names[0] == ADDS[0])
    names = (*step.input_names, ADDS[0])
    found = report({**tensors(), **{name: disturbed(name, i) for i, name in enumerate(names)}})
    assert {r.name for r in found.failing} >= {ADDS[0]}
    assert found.first is not None and found.first.name in names


@pytest.mark.parametrize("theirs", ["tflite", "neural-art-1.1.3"])
def test_another_arithmetic_is_no_fault(theirs: str) -> None:
    found = report(tensors(theirs))
    assert {r.status for r in found.rows} <= {EQUAL, INHERITED, ARITHMETIC}
    assert found.arithmetics and all(theirs in x.names for x in found.arithmetics.values())
    assert any(theirs in line for line in found.verdict()) and not found.equal


def test_a_fault_on_a_device_of_another_arithmetic() -> None:
    """The operator's other layers say which arithmetic it is; the one that fits neither is wrong."""
    name, plan = CONVS[7], small.model().plan("neural-art")
    ref = small.reference()
    wrong = [np.roll(walk(plan, given, {name})[name], 3, axis=1) for given in ref.given]
    made = [walk(plan, {**given, name: codes}, None) for given, codes in zip(ref.given, wrong, strict=True)]
    found = report({key: [case[key] for case in made] for key in tensors()})
    assert found.first is not None and found.first.name == name and found.first.status in (FAULT, UNEXPLAINED)
    assert found.arithmetics["QLinearConv"].names == ("neural-art-1.1.3",)


def test_one_layer_of_another_arithmetic_is_a_fault_of_that_layer() -> None:
    name = CONVS[6]
    wrong = []
    for case in small.reference().cases:
        step = small.model().plan("neural-art").steps
        wrong.append(next(b for b in step if b.step.output_names[0] == name).evaluate(case)[name])
    found = report(after(name, wrong))
    assert not found.arithmetics and found.first is not None and found.first.name == name
    assert found.first.rounding and "another rounding" in found.verdict()[0]


def test_tolerances() -> None:
    name = CONVS[4]
    wrong = [
        np.clip(a.astype(int) + (np.arange(a.size).reshape(a.shape) % 5 == 0), -128, 127).astype(np.int8)
        for a in tensors()[name]
    ]
    dumped = after(name, wrong)
    label = row(report(dumped), name).label
    assert not report(dumped).equal
    for good in (Tolerance(1), Tolerance(0, {"QLinearConv": 1}), Tolerance(0, {}, {label: 1})):
        found = report(dumped, tolerance=good)
        assert found.equal and row(found, name).status == TOLERATED and "within the tolerance" in found.verdict()[0]
    for bad in (
        Tolerance(1, {"QLinearConv": 0}),
        Tolerance(1, {"QLinearConv": 1}, {label: 0}),
        Tolerance(0, {"QLinearAdd": 9}),
    ):
        assert not report(dumped, tolerance=bad).equal


def test_texts_of_tolerances() -> None:
    found = parse(["1", "QLinearAdd=2", "layer:a=b=3"], {"QLinearAdd"}, {"a=b"})
    assert found == Tolerance(1, {"QLinearAdd": 2}, {"a=b": 3})
    assert [found.of(*x) for x in (("QLinearAdd", "x"), ("Conv", "x"), ("QLinearAdd", "a=b"))] == [2, 1, 3]
    with pytest.raises(InputError) as caught:
        parse(["-1", "QLinearMul=1", "layer:x=1", "QLinearAdd=", "1.5", "9" * 12], {"QLinearAdd"}, {"a"})
    assert len(caught.value.problems) == 6


def test_a_part_of_the_cases() -> None:
    second = {name: cases[1:] for name, cases in tensors().items()}
    found = compare(small.reference(), small.aligned(second), CompareOptions(), first=1)
    assert found.equal and found.cases == 1
    assert not compare(small.reference(), small.aligned(second), CompareOptions(), first=0).equal
    with pytest.raises(InputError, match="--case"):
        compare(small.reference(), small.aligned(tensors()), CompareOptions(), first=1)


def test_codes_out_of_range_count_as_differences() -> None:
    name = CONVS[2]
    target = small.reference().target[name]
    assert target.quant is not None
    real = [(a.astype(np.float64) - int(target.quant.zero_point)) * float(target.quant.scale) for a in tensors()[name]]
    real[0].reshape(-1)[0] = (200 - int(target.quant.zero_point)) * float(target.quant.scale)
    found = row(report({**tensors(), name: [a.astype(np.float32) for a in real]}), name)
    assert found.off_range == 1 and found.single.differing == 1
    assert found.single.largest == 200 - int(tensors()[name][0].reshape(-1)[0])


def test_a_wrong_size_that_nothing_explains_is_named() -> None:
    name = CONVS[2]
    short = Dump(
        small.dump({}).path, (DumpEntry(name, np.zeros(7, np.int8)), DumpEntry(CONVS[3], tensors()[CONVS[3]][0]))
    )
    found = compare(small.reference(), align(short, small.reference().targets, 2))
    assert found.exit_code == 2 and [row.name for row in found.rows] == [CONVS[3]]
    (line,) = [line for line in found.not_compared() if f"'{name}'" in line]
    assert "int8[1, " in line and line.endswith("got int8[7]")


def test_places_are_channels_and_rows() -> None:
    name = CONVS[2]
    wrong = [a.copy() for a in tensors()[name]]
    wrong[1][0, 3, 2, :] ^= 7
    places = row(report(after(name, wrong)), name).places
    assert places is not None and places.shape == wrong[0].shape[1:3]
    assert places[3, 2] == wrong[0].shape[3] and places.sum() == places[3, 2]


def test_json_is_complete() -> None:
    name = CONVS[5]
    found = report(after(name, disturbed(name))).as_json()
    assert found["first_divergence"] == name and found["equal"] is False
    layer = next(x for x in found["layers"] if x["name"] == name)
    assert set(layer["metrics"]) == {"acc", "rmse", "mae", "l2r", "mean", "std", "nse", "cos"}
    assert sum(layer["single"]["histogram"].values()) == layer["single"]["elements"]


def test_the_envelope_excuses_what_is_not_known_and_nothing_else() -> None:
    hidden = replace(PROFILES["neural-art-1.1.3"], name="mine", conv=NarrowThenAffine(tie="half-even"))
    ref = Reference(small.model(), PROFILES["neural-art-1.1.3"], small.feeds())
    traces = [small.model().trace(x, profile=hidden) for x in small.feeds()]
    dumped = {name: [trace[name] for trace in traces] for name in tensors()}
    aligned = small.aligned(dumped)
    assert not compare(ref, aligned, CompareOptions()).equal
    found = compare(ref, aligned, CompareOptions(use_envelope=True))
    assert found.equal and any(r.status == INSIDE for r in found.rows)
    name = CONVS[4]
    dumped[name][0] = dumped[name][0].copy()
    dumped[name][0].reshape(-1)[17] ^= 8
    found = compare(ref, small.aligned(dumped), CompareOptions(use_envelope=True))
    first = found.first
    assert first is not None and first.name == name and first.envelope is not None and first.envelope.outside == 1


def test_another_first_rounding_is_named_as_explain_names_it() -> None:
    profile = PROFILES["neural-art-1.1.3"]
    hidden = replace(profile, name="mine", conv=NarrowThenAffine("half-up", first_tie="floor"))
    ref = Reference(small.model(), profile, small.feeds())
    traces = [small.model().trace(x, profile=hidden) for x in small.feeds()]
    found = compare(
        ref, small.aligned({name: [trace[name] for trace in traces] for name in tensors()}), CompareOptions()
    )
    told = [r for r in found.failing if r.op == "QLinearConv" and not r.few]
    named = [str(finding) for r in told for finding in r.findings]
    assert named and set(named) == {"truncation instead of rounding (first rounding floor)"}


def test_another_arithmetic_of_which_only_the_outputs_were_dumped() -> None:
    """Which operator it is cannot be told, but that one profile makes the whole dump can."""
    final = small.reference().targets[-1]
    found = report({final.name: tensors("neural-art")[final.name]})
    assert [row.status for row in found.rows] == [ARITHMETIC]
    assert (
        found.verdict()[0].startswith("every operator: 1 tensor differs") and "neural-art-1.1.3" in found.verdict()[0]
    )
    assert len(found.verdict()) == 1 and "were compared through" in found.not_compared()[0]


# -- real tensors ----------------------------------------------------------------------------------------------------
def real() -> tuple[Reference, dict[str, list[Array]]]:
    """A float network: units in the last place instead of LSB."""
    model = qdqnp.load(shipped_model("dla46_c_float"))
    x = np.random.default_rng(0).standard_normal((1, 3, 32, 32), dtype=np.float32)
    made = Reference(model, PROFILES["ort"], [{"input": x}])
    return made, {name: [array.copy()] for name, array in made.cases[0].items() if name != "input"}


def test_real_tensors_are_compared_in_units_in_the_last_place() -> None:
    ref, dumped = real()
    assert compare(ref, align(small.dump(dumped), ref.targets, 1)).equal
    name = next(t.name for t in ref.targets if t.op == "MaxPool")
    last = ref.targets[-1].name
    dumped[last][0] = np.nextafter(np.nextafter(dumped[last][0], np.float32(9)), np.float32(9))
    found = compare(ref, align(small.dump(dumped), ref.targets, 1))
    assert [r.name for r in found.failing] == [last] and found.failing[0].single.largest == 2
    assert "largest 2 ULP" in found.verdict()[0] and row(found, name).status == EQUAL


def test_a_real_dump_may_hold_nan_and_json_has_none() -> None:
    ref, dumped = real()
    last = ref.targets[-1].name
    dumped[last][0][0, 3] = np.nan
    found = compare(ref, align(small.dump(dumped), ref.targets, 1))
    assert row(found, last).single.differing == 1
    layer = next(x for x in found.as_json()["layers"] if x["name"] == last)
    assert layer["metrics"]["rmse"] is None
    json.dumps(found.as_json(), allow_nan=False, default=str)


def test_nothing_is_said_of_a_dump_that_nobody_read() -> None:
    final = small.reference().targets[-1].name
    wrong = [np.asarray(a + np.float32(3)) for a in tensors()[final]]
    assert not row(report({**tensors(), final: wrong}), final).read_wrong


def test_a_reader_that_sees_no_difference_tells_nothing() -> None:
    """The largest of four codes stays the same, whether the smallest one is right or not."""
    pool = next(b.step for b in small.reference().plan.steps if b.step.op == "MaxPool")
    source, pooled = pool.input_names[0], pool.output_names[0]
    wrong = [a.copy() for a in tensors()[source]]
    window = wrong[0][0, 0, :2, :2]
    at = np.unravel_index(np.argmin(window), (2, 2))
    assert window[at] < window.max()
    window[at] -= 1 if window[at] > -128 else -1
    found = report({source: wrong, pooled: tensors()[pooled]})
    assert row(found, source).single.differing == 1 and not row(found, source).read_wrong
    assert row(found, pooled).status == EQUAL


def test_a_lying_dump_on_a_device_of_another_arithmetic() -> None:
    """Whoever reads it is replayed from what the device went on with, under the envelope too."""
    name = CONVS[5]
    dumped = {**tensors("neural-art"), name: [np.roll(a, 3, axis=1) for a in tensors("neural-art")[name]]}
    for use_envelope in (False, True):
        found = report(dumped, use_envelope=use_envelope)
        assert row(found, name).read_wrong and found.first is not None and found.first.name == name
        assert [r.name for r in found.failing if r.status != ARITHMETIC] == [name]


@pytest.mark.parametrize("by", [1, 2, -1])
def test_only_one_lsb_beside_a_boundary_is_a_matter_of_rounding(by: int) -> None:
    name = CONVS[4]
    wrong = [
        np.clip(a.astype(int) + by * (np.arange(a.size).reshape(a.shape) % 5 == 0), -128, 127).astype(np.int8)
        for a in tensors()[name]
    ]
    found = row(report(after(name, wrong)), name)
    assert found.status == UNEXPLAINED and not found.rounding


# -- where -------------------------------------------------------------------------------------------------------------
def test_what_is_regular_about_a_fault_without_a_name_is_said(rng: np.random.Generator) -> None:
    """In the dump, or of a device that goes on with it."""
    changed = [array.copy() for array in tensors()["conv_22_q"]]
    for array in changed:
        array[:, :, 4] = np.where(array[:, :, 4] > 0, -array[:, :, 4], 100 + rng.integers(0, 27, array[:, :, 4].shape))
    found = report({**tensors(), "conv_22_q": changed})
    (line,) = [text for text in found.verdict() if "conv_22_q" in text]
    assert line.endswith("LSB: the dump is wrong, the device went on with the right values: only row 4")
    assert row(found, "conv_22_q").as_json()["where"] == "only row 4"
    until = list(tensors()).index("conv_22_q") + 1
    alone = report(dict(list({**tensors(), "conv_22_q": changed}.items())[:until]))
    (line,) = [text for text in alone.verdict() if "conv_22_q" in text]
    assert line.endswith("no known fault and no known arithmetic explains it: only row 4")
    assert row(alone, "conv_22_q").explanation == "unexplained: only row 4"


def test_inherited_differences_have_no_place_of_their_own() -> None:
    changed = [array.copy() for array in tensors()["conv_22_q"]]
    for array in changed:
        array[:, :, 4] ^= np.int8(21)
    found = report({**tensors(), "conv_22_q": changed})
    assert all(bool(one.where) <= bool(one.single.differing) for one in found.rows)
    assert row(found, "conv_22_q").where == "only row 4"
