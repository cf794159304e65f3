"""Layers that work code by code, and windows of codes: what their stimuli show, counted from the arrays themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import qdqnp
from qdqnp.stimuli import goals
from qdqnp.stimuli.goals import REACHED, UNDECIDED, UNREACHABLE
from qdqnp.stimuli.layer import for_layer
from qdqnp.stimuli.result import EXHAUSTIVE, Stimulus, StimulusSet, by_layer
from tests.ops.case import one_node
from tests.oracles import fixed_point as oracle
from tests.stimuli import layers
from tests.stimuli.layers import Array

F = np.float32
Pair = tuple[tuple[int, ...], tuple[int, ...]]


def exhaustive(found: StimulusSet) -> list[Stimulus]:
    return [stimulus for stimulus in found.stimuli if stimulus.method == EXHAUSTIVE]


def verdicts(found: StimulusSet) -> dict[str, str]:
    return {one.goal: one.verdict for one in found.verdicts}


def pairs(stimuli: Iterable[Stimulus], a: Callable[[Stimulus], Array], b: Callable[[Stimulus], Array]) -> Counter:
    seen: Counter = Counter()
    for stimulus in stimuli:
        left, right = np.broadcast_arrays(a(stimulus), b(stimulus))
        seen.update(zip(left.reshape(-1).tolist(), right.reshape(-1).tolist(), strict=True))
    return seen


@pytest.mark.parametrize(
    "shapes",
    [
        ((1, 8, 4, 4), (1, 8, 4, 4)),
        ((1, 6, 5, 7), (1, 6, 1, 1)),
        ((3, 1), (1, 3, 40)),
        ((7,), (4, 100, 7)),
        ((16, 1), (1, 16)),
        ((2, 300), (1,)),
    ],
)
@pytest.mark.parametrize("op", ["QLinearAdd", "QLinearMul"])
def test_every_pair_of_codes_occurs(op: str, shapes: Pair) -> None:
    model = layers.binary(op, shapes, (0.1, 0.2, 0.3), (1, -3, 5))
    found = exhaustive(for_layer(qdqnp.load(model), "node", "tflite", count=0))
    seen = pairs(found, lambda one: one.inputs["a"], lambda one: one.inputs["b"])
    assert len(seen) == 256 * 256
    assert len(found) <= 1024


def test_a_constant_operand_meets_every_code_at_each_of_its_values() -> None:
    values = np.array([-128, 3, 3, 7, 127], np.int8)
    for shape in ((4, 10, 5), (1, 2, 1)):
        model = layers.binary("QLinearAdd", (shape, (5,)), (0.1, 0.2, 0.3), (1, -3, 5), constant=values)
        found = exhaustive(for_layer(qdqnp.load(model), "node", count=0))
        seen = pairs(found, lambda one: one.inputs["a"], lambda one: values)
        assert set(seen) == {(code, value) for code in range(-128, 128) for value in set(values.tolist())}


def test_a_tensor_added_to_itself_has_256_pairs() -> None:
    model = layers.binary("QLinearAdd", ((1, 3, 4), (1, 3, 4)), (0.1, 0.1, 0.3), (1, 1, 5), same=True)
    found = for_layer(qdqnp.load(model), "node", count=0)
    seen = pairs(exhaustive(found), lambda one: one.inputs["a"], lambda one: one.inputs["a"])
    assert set(seen) == {(code, code) for code in range(-128, 128)}
    assert "all 256 codes" in found.verdicts[0].reason


def test_a_layer_too_small_for_all_pairs_proves_nothing_by_silence() -> None:
    model = layers.binary("QLinearAdd", ((2,), (2,)), (0.1, 0.7, 0.9), (1, -3, 5))
    found = for_layer(qdqnp.load(model), "node", "exact", against=("exact", "exact"), count=0)
    assert len(pairs(exhaustive(found), lambda one: one.inputs["a"], lambda one: one.inputs["b"])) == 2048
    assert verdicts(found)[goals.DIFFERENCE] == UNDECIDED
    assert UNREACHABLE not in verdicts(found).values()


SCALES = st.sampled_from((0.5, 0.25, 0.1, 0.02, 1.5))
ZEROS = st.integers(-128, 127)


@given(st.tuples(SCALES, SCALES, SCALES), st.tuples(ZEROS, ZEROS, ZEROS), st.sampled_from(("tflite", "tflite-single")))
@settings(max_examples=3, deadline=None)
def test_verdicts_on_additions_are_those_of_all_pairs_one_by_one(
    scales: tuple[float, ...], zeros: tuple[int, ...], name: str
) -> None:
    """Ties and saturations of the real sum in fractions, differences from the oracles of both profiles."""
    model = layers.binary("QLinearAdd", ((1, 4, 8, 8), (1, 4, 8, 8)), scales, zeros)
    found = for_layer(qdqnp.load(model), "node", name, against=(name, "exact"), count=0)
    a, b, y = ((float(F(scale)), zero) for scale, zero in zip(scales, zeros, strict=True))
    mine, exact = oracle.Operators(name).add(a, b, y), oracle.ExactOperators().add(a, b, y)
    met = dict.fromkeys(verdicts(found), 0)
    left, right = Fraction(a[0]) / Fraction(y[0]), Fraction(b[0]) / Fraction(y[0])
    for p in range(-128, 128):
        first = (p - a[1]) * left
        for q in range(-128, 128):
            real = first + (q - b[1]) * right
            sign = layers.sign_of_half(real)
            whole = round(real) + y[1]
            met[goals.TIE_NEGATIVE] += sign < 0
            met[goals.TIE_POSITIVE] += sign > 0
            met[goals.SATURATED_LOW] += whole < -128
            met[goals.SATURATED_HIGH] += whole > 127
            met[goals.DIFFERENCE] += mine(p, q) != exact(p, q)
    assert verdicts(found) == {goal: REACHED if number else UNREACHABLE for goal, number in met.items()}
    # 256 elements in 256 inputs: every pair once
    total = by_layer(exhaustive(found))["node"]
    assert [
        total.ties_negative,
        total.ties_positive,
        total.saturated_low,
        total.saturated_high,
        sum(one.differing for one in exhaustive(found)),
    ] == list(met.values())


def test_every_code_of_every_input_of_a_concat_occurs() -> None:
    arguments = [("ys", F(0.5)), ("yz", np.int8(3))]
    for name, scale in (("a", 0.25), ("b", 0.5), ("c", 1.0)):
        arguments += [(name, np.zeros((1, 5, 3, 3), np.int8)), (name + "s", F(scale)), (name + "z", np.int8(0))]
    case = one_node("QLinearConcat", arguments, ("a", "b", "c"), domain="com.microsoft", output=np.int8, axis=1)
    found = for_layer(qdqnp.load(case.model), "node", "exact", count=0)
    for name in ("a", "b", "c"):
        seen = np.concatenate([one.inputs[name].reshape(-1) for one in exhaustive(found)])
        assert len(np.unique(seen)) == 256
    # only a's halves of 0.5 are ties: its odd codes
    total = sum(one.coverage["node"].ties_negative for one in exhaustive(found))
    assert total == sum(np.count_nonzero(one.inputs["a"][one.inputs["a"] < 0] % 2) for one in exhaustive(found))


def test_every_code_of_a_lookup_occurs() -> None:
    arguments = [
        ("x", np.zeros((1, 20), np.uint8)),
        ("xs", F(0.1)),
        ("xz", np.uint8(128)),
        ("ys", F(1 / 256)),
        ("yz", np.uint8(0)),
    ]
    for op, more in (("QLinearSigmoid", {}), ("QLinearLeakyRelu", {"alpha": 0.25})):
        case = one_node(op, arguments, domain="com.microsoft", **more)
        found = exhaustive(for_layer(qdqnp.load(case.model), "node", count=0))
        assert {code for one in found for code in one.inputs["x"].reshape(-1).tolist()} == set(range(256))


# -- windowed averages -------------------------------------------------------------------------------------------------
def average(
    size: tuple[int, int],
    zeros: tuple[int, int] = (-128, -128),
    scales: tuple[float, float] = (0.1, 0.1),
    **attributes: object,
) -> object:
    arguments = [
        ("x", np.zeros((1, 8, *size), np.int8)),
        ("xs", F(scales[0])),
        ("xz", np.int8(zeros[0])),
        ("ys", F(scales[1])),
        ("yz", np.int8(zeros[1])),
    ]
    return one_node("QLinearAveragePool", arguments, domain="com.microsoft", **attributes).model


@pytest.mark.parametrize("profile", ["ort", "neural-art"])
def test_every_sum_of_every_kind_of_window_occurs(profile: str) -> None:
    """2x2 windows that do not overlap, the first of them half in the padding: one, two or four elements inside."""
    model = average((3, 3), kernel_shape=[2, 2], strides=[2, 2], pads=[1, 1, 0, 0])
    found = for_layer(qdqnp.load(model), "node", profile, count=0)
    seen: dict[int, set[int]] = {1: set(), 2: set(), 4: set()}
    for stimulus in exhaustive(found):
        for channel in stimulus.inputs["x"][0].astype(int):
            for row in (slice(0, 1), slice(1, 3)):
                for col in (slice(0, 1), slice(1, 3)):
                    seen[channel[row, col].size].add(int(channel[row, col].sum()))
    assert {count: len(sums) for count, sums in seen.items()} == {n: 255 * n + 1 for n in (1, 2, 4)}


def test_ties_of_averages_are_halves_of_the_count() -> None:
    """Equal scales: a sum of four is a tie where it is 2 modulo 4."""
    model = average((4, 4), zeros=(0, 0), kernel_shape=[2, 2], strides=[2, 2])
    found = for_layer(qdqnp.load(model), "node", "tflite", against=("tflite", "neural-art"), count=1)
    for stimulus in found.stimuli:
        windows = stimulus.inputs["x"].astype(int).reshape(1, 8, 2, 2, 2, 2).sum(axis=(3, 5))
        coverage = stimulus.coverage["node"]
        assert coverage.ties_positive == np.count_nonzero((windows % 4 == 2) & (windows > 0))
        assert coverage.ties_negative == np.count_nonzero((windows % 4 == 2) & (windows < 0))
    # halves away from zero against halves up: they part below zero
    assert verdicts(found)[goals.DIFFERENCE] == REACHED


def test_a_float_average_is_not_decided_by_its_sums() -> None:
    """ONNX Runtime adds in float32, in order: agreement on one input for each sum proves nothing."""
    model = average((4, 4), kernel_shape=[2, 2], strides=[2, 2])
    same = for_layer(qdqnp.load(model), "node", "ort", against=("tflite", "cmsis-nn"), count=0)
    assert verdicts(same)[goals.DIFFERENCE] == UNREACHABLE
    floats = for_layer(qdqnp.load(model), "node", "ort", against=("ort", "ort"), count=0)
    assert verdicts(floats)[goals.DIFFERENCE] == UNDECIDED


def test_windows_with_more_sums_than_are_tried_prove_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qdqnp.stimuli.average.MOST_CASES", 4)
    model = average((2, 2), kernel_shape=[2, 2])
    found = for_layer(qdqnp.load(model), "node", "exact", against=("exact", "exact"), count=0)
    assert len(exhaustive(found)) == 4
    assert verdicts(found)[goals.DIFFERENCE] == verdicts(found)[goals.SATURATED_LOW] == UNDECIDED
    assert "evenly spaced 32 sums" in next(one.reason for one in found.verdicts if one.verdict == UNDECIDED)
