"""Every claim about a layer that sums, checked by running it and by plain Python."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import qdqnp
from qdqnp.lowering import LOWERINGS, Lowering
from qdqnp.numerics.profiles import profile_named
from qdqnp.numerics.profiles.neural_art import NEURAL_ART, TIE
from qdqnp.numerics.rules.requantize.narrow import NarrowThenAffine
from qdqnp.stimuli import effort, goals, scan
from qdqnp.stimuli.find import for_one_layer
from qdqnp.stimuli.goals import REACHED, UNREACHABLE
from qdqnp.stimuli.layer import EXTREMES, for_layer
from qdqnp.stimuli.network import for_network
from qdqnp.stimuli.result import StimulusSet
from qdqnp.stimuli.sums import sums_of
from tests.networks import dla
from tests.ops.case import one_node
from tests.oracles import fixed_point as oracle
from tests.oracles.integers import ACCUMULATORS
from tests.oracles.node import attributes, operands
from tests.stimuli import layers
from tests.stimuli.layers import COMPLETE, Array

SCALES = (0.5, 0.25, 0.125, 0.02, 0.037, 0.3)


def accumulators(model: onnx.ModelProto, inputs: Mapping[str, Array]) -> Array:
    """By the integer oracle, channels last."""
    (node,) = model.graph.node
    found = ACCUMULATORS[node.op_type](operands(model, inputs), attributes(model))
    return np.moveaxis(np.asarray(found), 1, -1)


def met(model: onnx.ModelProto, found: StimulusSet, goal: str) -> dict[int, list[int]]:
    """By channel the accumulators at the elements that were made for the goal, by the integer oracle."""
    made: dict[int, list[int]] = {}
    for stimulus in found.stimuli:
        of_goal = [placed for placed in stimulus.placed if placed.target.goal == goal]
        if of_goal:
            acc = accumulators(model, stimulus.inputs)
            for placed in of_goal:
                made.setdefault(placed.target.channel, []).append(int(acc[placed.index]))
    return made


def channels(found: StimulusSet, goal: str, verdict: str) -> set[int | None]:
    return {one.channel for one in found.verdicts if (one.goal, one.verdict) == (goal, verdict)}


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[onnx.ModelProto, list[tuple[int, int]], dict[str, object]]:
    """A small convolution with its bounds: dense, grouped or depthwise; padded, strided, dilated; 1-D and 2-D."""
    rank = draw(st.sampled_from((1, 2)))
    group = draw(st.sampled_from((1, 1, 2, 3)))
    per_group, filters = draw(st.sampled_from((1, 1, 2))), draw(st.integers(1, 2))
    kernel, strides, dilations = ([draw(st.integers(1, most)) for _ in range(rank)] for most in (3, 2, 2))
    pads = [draw(st.integers(0, d * (k - 1))) for d, k in [*zip(dilations, kernel, strict=True)] * 2]
    size = [
        max(1, d * (k - 1) + 1 - pads[i] - pads[i + rank]) + draw(st.integers(0, 4))
        for i, (d, k) in enumerate(zip(dilations, kernel, strict=True))
    ]
    out = group * filters
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    weights = rng.integers(-127, 128, (out, per_group, *kernel)) * draw(st.sampled_from((1, 1, 0, 2)))
    weights = np.clip(weights, -128, 127).astype(np.int8)
    dtype = draw(st.sampled_from((np.int8, np.uint8)))
    info = np.iinfo(dtype)
    zeros = draw(st.integers(info.min, info.max)), draw(st.integers(info.min, info.max))
    bias = [draw(st.integers(-5000, 5000)) for _ in range(out)]
    y = draw(st.sampled_from(SCALES)) * 2.0 ** draw(st.integers(0, 8))
    scales = draw(st.sampled_from(SCALES)), [draw(st.sampled_from(SCALES)) for _ in range(out)], y
    model = layers.conv(
        weights,
        (draw(st.integers(1, 2)), group * per_group, *size),
        scales,
        zeros=zeros,
        bias=bias,
        dtype=dtype,
        group=group,
        strides=strides,
        dilations=dilations,
        pads=pads,
    )
    taps = layers.inside_image(size, kernel, strides, dilations, pads)
    details = {"scales": scales, "bias": bias, "dtype": dtype, "zeros": zeros}
    return model, layers.bounds(weights, taps, zeros[0], dtype, bias), details


@given(convolutions(), st.sampled_from(COMPLETE))
@settings(max_examples=30, deadline=None)
def test_extreme_accumulators_of_convolutions_are_their_bounds(case: tuple, profile: str) -> None:
    model, wanted, _ = case
    found = for_layer(qdqnp.load(model), "node", profile, count=0)
    least, most = met(model, found, goals.MOST_NEGATIVE), met(model, found, goals.MOST_POSITIVE)
    assert {c: v[0] for c, v in least.items()} == {c: low for c, (low, _) in enumerate(wanted)}
    assert {c: v[0] for c, v in most.items()} == {c: high for c, (_, high) in enumerate(wanted)}
    assert found.bound == (min(low for low, _ in wanted), max(high for _, high in wanted))


@given(convolutions(), st.sampled_from(COMPLETE[:6]))
@settings(max_examples=40, deadline=None)
def test_ties_of_convolutions_are_ties_in_fractions(case: tuple, profile: str) -> None:
    model, _, details = case
    x, w, y = (np.float32(scale) for scale in (details["scales"][0], 1, details["scales"][2]))
    found = for_layer(qdqnp.load(model), "node", profile, count=0)
    for sign, goal in goals.TIE_GOALS.items():
        made = met(model, found, goal)
        assert set(made) == channels(found, goal, REACHED)
        for channel, (acc,) in made.items():
            w = np.float32(details["scales"][1][channel])
            assert layers.tie(profile, acc, (float(x), float(w), float(y))) == sign


def test_ties_of_neural_art_are_ties_of_either_narrowing() -> None:
    rng = np.random.default_rng(5)
    weights = rng.integers(-127, 128, (6, 8, 1, 1))
    model = layers.conv(weights, (1, 8, 4, 4), (0.04, [0.01, 0.02, 0.03] * 2, 0.5), zeros=(3, -7), bias=[900] * 6)
    loaded = qdqnp.load(model)
    found = for_layer(loaded, "node", "neural-art", count=0)
    used = loaded.plan("neural-art").steps[0].parameters({"x": np.zeros((1, 8, 4, 4), np.int8)})
    for sign, goal in goals.TIE_GOALS.items():
        made = met(model, found, goal)
        assert set(made) == channels(found, goal, REACHED) != set()
        for channel, (acc,) in made.items():
            s1, s2, a, bc = (int(np.ravel(used[n])[channel % np.size(used[n])]) for n in ("S1", "S2", "A", "BC"))
            assert layers.neural_art_tie(acc - 900, s1, s2, a, bc) == sign


@given(convolutions(), st.sampled_from((("ort", "tflite"), ("tflite", "tflite-single"), ("exact", "neural-art"))))
@settings(max_examples=30, deadline=None)
def test_discriminating_inputs_give_other_codes_under_the_two_profiles(case: tuple, pair: tuple[str, str]) -> None:
    model = case[0]
    loaded = qdqnp.load(model)
    found = for_layer(loaded, "node", "exact", against=pair, count=0)
    made: set[int] = set()
    for stimulus in found.stimuli:
        first, second = (loaded.run(stimulus.inputs, profile=name)["y"] for name in pair)
        assert stimulus.differing == np.count_nonzero(first != second)
        of_goal = [placed for placed in stimulus.placed if placed.target.goal == goals.DIFFERENCE]
        for placed in of_goal:
            assert np.moveaxis(first, 1, -1)[placed.index] != np.moveaxis(second, 1, -1)[placed.index]
            made.add(placed.target.channel)
    assert made == channels(found, goals.DIFFERENCE, REACHED)


# -- verdicts by brute force -------------------------------------------------------------------------------------------
ALL_INPUTS = np.array(list(itertools.product(range(-128, 128), repeat=2)), np.int8)


@st.composite
def tiny_gemms(draw: st.DrawFn) -> tuple[Array, tuple, tuple[int, int], list[int]]:
    """Two inputs, so that all 65,536 can be run; weights with a common divisor among them, scales with and without
    ties."""
    factor = draw(st.sampled_from((1, 1, 2, 5, 16)))
    weights = [[factor * draw(st.integers(-7, 7)) for _ in range(2)] for _ in range(3)]
    scales = (
        draw(st.sampled_from(SCALES)),
        [draw(st.sampled_from(SCALES)) for _ in range(3)],
        draw(st.sampled_from((0.5, 1.0, 4.0, 0.7, 9.3))),
    )
    zeros = draw(st.integers(-128, 127)), draw(st.sampled_from((-128, 0, 7, 127)))
    return np.array(weights), scales, zeros, [draw(st.integers(-300, 300)) for _ in range(3)]


@given(tiny_gemms(), st.sampled_from(("ort", "exact", "tflite-single", "cmsis-nn-single")))
@settings(max_examples=25, deadline=None)
def test_what_is_called_unreachable_no_input_reaches(case: tuple, profile: str) -> None:
    """All 65,536 inputs of a layer with two, against the verdict of every channel and goal; both ways."""
    weights, scales, zeros, bias = case
    pair = ("tflite-single", "exact")
    model = layers.gemm(weights, 4, scales, zeros, bias)
    found = for_layer(qdqnp.load(model), "node", profile, against=pair, count=0)
    every = qdqnp.load(layers.gemm(weights, len(ALL_INPUTS), scales, zeros, bias))
    codes = [every.run({"x": ALL_INPUTS}, profile=name)["y"] for name in pair]
    acc = (ALL_INPUTS.astype(np.int64) - zeros[0]) @ weights.T + bias
    for channel in range(3):
        reals = np.float32(scales[0]), np.float32(scales[1][channel]), np.float32(scales[2])
        triple = tuple(float(real) for real in reals)
        seen = {int(value) for value in np.unique(acc[:, channel])}
        visible = {value for value in seen if not clipped(profile, value, triple, zeros[1])}
        signs = {layers.tie(profile, value, triple) for value in visible}
        for sign, goal in goals.TIE_GOALS.items():
            assert channel in channels(found, goal, REACHED if sign in signs else UNREACHABLE)
        differs = bool((codes[0][:, channel] != codes[1][:, channel]).any())
        assert channel in channels(found, goals.DIFFERENCE, REACHED if differs else UNREACHABLE)
        for goal, end in ((goals.SATURATED_LOW, min(seen)), (goals.SATURATED_HIGH, max(seen))):
            side = side_of_clip(profile, end, triple, zeros[1])
            reached = side == (-1 if goal == goals.SATURATED_LOW else 1)
            assert channel in channels(found, goal, REACHED if reached else UNREACHABLE)


def side_of_clip(profile: str, acc: int, scales: tuple[float, ...], zero: int) -> int:
    """-1 or 1 where the code is clipped at that side. Moving the zero point to where the code is in the middle shows
    the code without its clip."""
    real = acc * scales[0] * scales[1] / scales[2]
    whole = round(max(-(2.0**40), min(real, 2.0**40)))
    if abs(whole) > 2000:
        return 1 if whole > 0 else -1
    code = oracle.requantize(profile, acc, scales, -whole) + whole + zero
    return (code > 127) - (code < -128)


def clipped(profile: str, acc: int, scales: tuple[float, ...], zero: int) -> bool:
    return side_of_clip(profile, acc, scales, zero) != 0


def test_a_gap_in_the_reachable_sums_is_a_reason() -> None:
    """Weights 100 and 90: sums are multiples of 10, near their ends far from all of them; M = 1/4, so that every other
    even number is a tie."""
    weights = np.array([[100, 90]])
    model = layers.gemm(weights, 1, (0.25, [1.0], 1.0), (0, 0), [-100 * 128 - 90 * 128 + 40])
    found = for_layer(qdqnp.load(model), "node", "exact", count=0)
    (verdict,) = [one for one in found.verdicts if one.goal == goals.TIE_NEGATIVE]
    sums = {100 * a + 90 * b for a in range(-128, 128) for b in range(-128, 128)}
    accs = {value - 100 * 128 - 90 * 128 + 40 for value in sums}
    assert (verdict.verdict == UNREACHABLE) == (not any(a % 4 == 2 and -514 <= a < 0 for a in accs))


# -- other operators, shapes and refusals ------------------------------------------------------------------------------
def test_windows_that_never_lie_inside_the_image() -> None:
    """A 3x3 kernel on a 2x2 image padded by 1: each corner sees other taps, and each is the best for some channel."""
    weights = np.zeros((4, 1, 3, 3), int)
    for channel, (row, col) in enumerate(((0, 0), (0, 2), (2, 0), (2, 2))):
        weights[channel, 0, row, col] = 50
        weights[channel, 0, 1, 1] = 1
    model = layers.conv(weights, (1, 1, 2, 2), (0.1, [0.1] * 4, 1.0), pads=[1, 1, 1, 1])
    found = for_layer(qdqnp.load(model), "node", "tflite", count=0)
    assert {c: v[0] for c, v in met(model, found, goals.MOST_NEGATIVE).items()} == dict.fromkeys(range(4), -128 * 51)
    assert {c: v[0] for c, v in met(model, found, goals.MOST_POSITIVE).items()} == dict.fromkeys(range(4), 127 * 51)


@pytest.mark.parametrize("shape", [(3,), (1, 3), (1, 1), (1,)])
@pytest.mark.parametrize("profile", ["ort", "exact", "tflite", "tflite-single", "neural-art"])
def test_a_bias_of_any_shape_that_is_one_value_for_each_channel(shape: tuple[int, ...], profile: str) -> None:
    bias = np.arange(700, 700 + np.prod(shape)).reshape(shape)
    weights = np.array([[3, -4], [50, 6], [-100, 90]])
    model = layers.gemm(weights, 2, (0.3, [0.2] * 3, 1.7), (5, 0), bias)
    found = for_layer(qdqnp.load(model), "node", profile, against=("tflite", "exact"), count=0)
    for goal, sign in ((goals.MOST_NEGATIVE, -1), (goals.MOST_POSITIVE, 1)):
        wanted = sign * np.maximum(sign * weights * (-128 - 5), sign * weights * (127 - 5)).sum(axis=1)
        made = met(model, found, goal)
        assert [made[channel][0] for channel in range(3)] == (wanted + np.broadcast_to(bias.reshape(-1), 3)).tolist()


def test_a_bias_that_differs_by_row_gets_patterns_only() -> None:
    model = layers.gemm(np.array([[3, -4]]), 2, (0.3, [0.2], 1.7), (5, 0), np.array([[7], [9]]))
    found = for_layer(qdqnp.load(model), "node", "tflite", count=0)
    assert [one.reason for one in found.verdicts] == [
        "step node, bias: expected one value per channel, got shape [2, 1]"
    ]


def test_channels_share_inputs_where_they_can() -> None:
    """Depthwise channels read different inputs: one input drives all of them at once. Dense ones share a window, and
    take one position each of those that do not overlap."""
    rng = np.random.default_rng(1)
    depthwise = layers.conv(rng.integers(1, 99, (8, 1, 3, 3)), (1, 8, 5, 5), (0.1, [0.1] * 8, 1.0), group=8)
    dense = layers.conv(rng.integers(1, 99, (8, 2, 3, 3)), (1, 2, 9, 9), (0.1, [0.1] * 8, 1.0))
    for model, wanted in ((depthwise, 2), (dense, 2)):
        found = for_layer(qdqnp.load(model), "node", count=0)
        assert sum(one.kind == EXTREMES for one in found.stimuli) == wanted


def test_a_global_average_and_a_product_of_matrices_have_extremes_too() -> None:
    pool = one_node(
        "QLinearGlobalAveragePool",
        [
            ("x", np.zeros((1, 3, 2, 2), np.uint8)),
            ("xs", np.float32(0.1)),
            ("xz", np.uint8(9)),
            ("ys", np.float32(0.1)),
            ("yz", np.uint8(0)),
        ],
        domain="com.microsoft",
    )
    found = for_layer(qdqnp.load(pool.model), "node", "tflite", count=0)
    assert found.bound == (4 * -9, 4 * 246)
    w = np.array([[3, -4], [5, 6], [-7, 0]], np.int8)
    product = one_node(
        "QLinearMatMul",
        [
            ("x", np.zeros((2, 2, 3), np.int8)),
            ("xs", np.float32(0.1)),
            ("xz", np.int8(0)),
            ("w", w),
            ("ws", np.float32(0.1)),
            ("wz", np.int8(0)),
            ("ys", np.float32(0.1)),
            ("yz", np.int8(0)),
        ],
    )
    found = for_layer(qdqnp.load(product.model), "node", "tflite", count=0)
    assert found.bound == (-3 * 128 - 5 * 128 - 7 * 127, 3 * 127 + 5 * 127 + 7 * 128)


def test_the_coverage_is_that_of_a_trace() -> None:
    rng = np.random.default_rng(3)
    model = layers.conv(
        rng.integers(-127, 128, (4, 3, 3, 3)),
        (1, 3, 6, 6),
        (0.5, [0.25, 0.1, 0.5, 1.0], 64.0),
        zeros=(-5, 3),
        pads=[1] * 4,
    )
    loaded = qdqnp.load(model)
    for profile in COMPLETE:
        for stimulus in for_layer(loaded, "node", profile, count=2).stimuli:
            trace = loaded.trace(stimulus.inputs, profile=profile, events=True)
            events, coverage = trace.events["y"], stimulus.coverage["node"]
            assert coverage.ties_negative + coverage.ties_positive == events.ties
            assert (coverage.saturated_low, coverage.saturated_high) == (events.saturated_low, events.saturated_high)
            assert coverage.inner_saturated == events.inner_saturated
            assert coverage.accumulator_min == events.accumulator_min
            assert coverage.accumulator_max == events.accumulator_max
            assert np.flatnonzero(coverage.seen).tolist() == sorted({int(c) + 128 for c in trace["y"].reshape(-1)})


def test_layers_whose_sums_are_not_those_of_constants_get_patterns_only() -> None:
    w = np.ones((2, 1, 1, 1), np.int8)
    arguments = [
        ("x", np.zeros((1, 1, 2, 2), np.int8)),
        ("xs", np.float32(1)),
        ("xz", np.int8(0)),
        ("w", w),
        ("ws", np.float32(1)),
        ("wz", np.int8(0)),
        ("ys", np.float32(1)),
        ("yz", np.int8(0)),
    ]
    found = for_layer(qdqnp.load(one_node("QLinearConv", arguments, ("x", "w")).model), "node", count=1)
    assert {stimulus.method for stimulus in found.stimuli} == {"pattern", "random"}
    (verdict,) = found.verdicts
    assert verdict.verdict == "undecided"
    assert "weights: expected constants, got a computed tensor" in verdict.reason


def test_an_accumulator_that_wraps_is_looked_at_everywhere() -> None:
    """A bias near 2^31: the rule is not monotone over the reachable sums, and nothing is concluded from the ends."""
    model = layers.conv(np.full((1, 1, 1, 1), 127), (1, 1, 2, 2), (1.0, [2.0**-20], 1.0), bias=[2**31 - 100])
    found = for_layer(qdqnp.load(model), "node", "ort", count=0)
    by_goal = {one.goal: one for one in found.verdicts}
    sums = [127 * d for d in range(-128, 128)]
    wrapped = [oracle.wrap32(total + 2**31 - 100) for total in sums]
    ties = {layers.tie("ort", acc, (1.0, 2.0**-20, 1.0)) for acc in wrapped}
    assert (by_goal[goals.TIE_POSITIVE].verdict == REACHED) == (1 in ties)
    assert (by_goal[goals.TIE_NEGATIVE].verdict == REACHED) == (-1 in ties)


def test_unknown_layers_and_layers_without_arithmetic_are_refused_with_names() -> None:
    model = qdqnp.load(dla())
    label = next(step.label for step in model.program().steps if step.op == "QLinearConv")
    with pytest.raises(qdqnp.InputError, match=rf"no such layer[\s\S]*'{label}'"):
        for_layer(model, label[:-1] + "x")
    with pytest.raises(qdqnp.InputError, match=r"no integer arithmetic[\s\S]*got Flatten[\s\S]*Conv_conv"):
        for_layer(model, "Flatten")
    with pytest.raises(qdqnp.ProfileError, match="expected a rule"):
        for_layer(
            model, next(step.label for step in model.program().steps if step.op == "QLinearAdd"), "ethos-u-natural"
        )
    with pytest.raises(qdqnp.InputError, match="shape of 'input'"):
        for_layer(model, label, shapes={"input": (1, 3, 17, 16)})


def test_a_profile_needs_to_define_no_other_layer() -> None:
    model = qdqnp.load(dla())
    label = next(step.label for step in model.program().steps if step.op == "QLinearConv")
    with pytest.raises(qdqnp.ProfileError):
        model.plan("ethos-u-natural")
    found = for_layer(model, label, "ethos-u-natural", against=("tosa-double", "tflite"), count=0)
    assert channels(found, goals.MOST_POSITIVE, REACHED)


def test_positions_that_see_less_of_the_input_than_another_are_left_out() -> None:
    """A padded 3x3 convolution: only the positions whose window lies inside, three apart, on each of both images."""
    model = layers.conv(np.ones((1, 1, 3, 3), int), (2, 1, 8, 7), (0.1, [0.1], 1.0), pads=[1, 1, 1, 1])
    plan = qdqnp.load(model).plan()
    (site,) = sums_of(plan.steps[0], plan.shapes({"x": (2, 1, 8, 7)})).sites
    assert [place.index for place in site] == [(n, y, x) for n in (0, 1) for y in (1, 4) for x in (1, 4)]
    taken = np.concatenate([place.taps for place in site])
    assert taken.min() >= 0
    assert np.unique(taken).size == taken.size


def test_overrides_of_the_layer_are_used_and_those_of_others_left_out() -> None:
    """A profile that gives numbers for two layers, and stimuli for one of them."""
    model = qdqnp.load(dla())
    first, second = [step.label for step in model.program().steps if step.op == "QLinearConv"][:2]
    given = (("S1", 3), ("A", 5), ("BC", 7), ("S2", 2))
    rule = NarrowThenAffine(TIE, overrides=((first, given), (second, (("S1", 1),))))
    profile = replace(NEURAL_ART, name="mine", conv=rule)
    found = for_layer(model, first, profile, count=1)
    alone = qdqnp.load(found.model)
    (bound,) = alone.plan(for_one_layer(profile, first)).steps
    stimulus = found.stimuli[5]
    used = bound.parameters(stimulus.inputs)
    assert [int(used[name]) for name, _ in given] == [3, 5, 7, 2]
    (x,) = stimulus.inputs.values()
    (output,) = bound.step.output_names
    there = {step.step.label: step for step in model.plan(profile).steps}[first].evaluate(stimulus.inputs)
    assert np.array_equal(alone.run(x, profile=for_one_layer(profile, first))[output], there[output])
    with pytest.raises(qdqnp.ProfileError, match="expected a layer of the model"):
        alone.plan(profile)


def test_profiles_that_run_other_steps_are_not_paired() -> None:
    model = qdqnp.load(dla())
    label = next(step.label for step in model.program().steps if step.op == "QLinearConv")
    other = replace(profile_named("ort"), name="unfused", lowering="none")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(LOWERINGS, "none", Lowering("none", (), int8_allowed=True))
        with pytest.raises(qdqnp.ProfileError, match="profile 'unfused': expected the lowering of 'ort', got another"):
            for_layer(model, label, against=("ort", other), count=0)
        with pytest.raises(qdqnp.ProfileError, match="the profiles run different programs"):
            for_network(model, against=("ort", other), count=0)


@pytest.mark.parametrize("offset", [-1000, 1000])
def test_sums_that_only_one_of_two_profiles_clips_are_looked_at(offset: int) -> None:
    """4 s against 4 s + offset: what one of them clips everywhere, the other does not."""
    model = qdqnp.load(layers.gemm(np.array([[1]]), 1, (1.0, [1.0], 0.25)))
    rule = NarrowThenAffine(TIE, overrides=(("node", (("S1", 0), ("A", 4), ("BC", offset), ("S2", 0))),))
    found = for_layer(model, "node", against=("exact", replace(NEURAL_ART, name="moved", gemm=rule)), count=0)
    assert channels(found, goals.DIFFERENCE, REACHED) == {0}


def test_a_negative_multiplier_makes_a_rule_that_falls() -> None:
    """alpha = -1/2: the most negative sum gives the highest code, and nothing is concluded from the ends of the
    sums."""
    model = qdqnp.load(layers.gemm(np.array([[1]]), 1, (1.0, [1.0], 1.0), zeros=(0, 100), alpha=-0.5))
    for profile in ("ort", "exact"):
        found = for_layer(model, "node", profile, count=0)
        verdicts = {one.goal: one.verdict for one in found.verdicts}
        # 100 - s / 2 at odd s: halves above zero for negative s, below zero for positive ones
        assert verdicts[goals.TIE_POSITIVE] == verdicts[goals.TIE_NEGATIVE] == REACHED
        assert verdicts[goals.SATURATED_LOW] != UNREACHABLE
        assert verdicts[goals.SATURATED_HIGH] != UNREACHABLE


def test_searches_that_were_given_up_are_undecided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(effort, "SUMS", 100)
    monkeypatch.setattr(effort, "SUMS_PER_BYTE", 0)
    monkeypatch.setattr(scan, "BLOCK", 64)
    model = qdqnp.load(layers.gemm(np.array([[1, 2, 3]]), 1, (0.1, [0.1], 0.37)))
    found = for_layer(model, "node", "tflite-single", count=0)
    reasons = {one.goal: (one.verdict, one.reason) for one in found.verdicts}
    verdict, reason = reasons[goals.TIE_POSITIVE]
    assert verdict == "undecided"
    assert re.fullmatch(r"looked at 1\d\d of the 1531 sums in \[-768, 762\] with step 1; --exhaustive: all", reason)
    every = for_layer(model, "node", "tflite-single", count=0, exhaustive=True)
    assert "undecided" not in {one.verdict for one in every.verdicts}


def test_inner_saturations_are_decided_by_the_extremes() -> None:
    """Weights that add up to little, so that S1 is 0, but whose products pass 16 bits in one channel and not in the
    other."""
    weights = np.array([[127, 127, 127, -127, -127, -126], [1, -1, 1, -1, 1, -1]])
    model = qdqnp.load(layers.gemm(weights, 1, (1.0, [2.0**-9] * 2, 1.0)))
    found = for_layer(model, "node", replace(NEURAL_ART, gemm=NarrowThenAffine(TIE)), count=0)
    assert channels(found, goals.INNER_SATURATED, REACHED) == {0}
    assert channels(found, goals.INNER_SATURATED, UNREACHABLE) == {1}
    assert sum(one.coverage["node"].inner_saturated for one in found.stimuli) > 0
    assert not channels(for_layer(model, "node", "tflite", count=0), goals.INNER_SATURATED, REACHED)


def test_accumulators_that_saturate_on_the_way_are_not_taken_for_plain_sums() -> None:
    """ort-avx2 adds uint8 x int8 products in pairs of 16 bits: large weights saturate there, small ones do not."""
    pair = ("ort-avx2", "ort-x64")
    for weight, plain in ((100, False), (20, True)):
        weights = np.full((2, 4, 1, 1), weight)
        model = qdqnp.load(layers.conv(weights, (1, 4, 2, 2), (0.1, [0.1] * 2, 9.0), zeros=(3, 0), dtype=np.uint8))
        found = for_layer(model, "node", "ort-avx2", count=0)
        reason = "the sums of 'ort-avx2' are not plain sums of products: some saturate"
        assert ({one.reason for one in found.verdicts} == {reason}) != plain
        other = for_layer(model, "node", "ort-x64", against=pair, count=0)
        assert channels(other, goals.MOST_POSITIVE, REACHED) == {0, 1}
        verdict = next(one for one in other.verdicts if one.goal == goals.DIFFERENCE)
        assert (verdict.reason == reason) != plain
