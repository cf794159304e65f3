"""Stimuli for whole networks: measured as a trace measures them, the same for the same seed, and called search."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pytest
from onnx import TensorProto, helper

import qdqnp
from qdqnp.stimuli.layer import for_layer
from qdqnp.stimuli.network import Tries, climb, for_network, gain, inputs_tried, known_coverage, worth
from qdqnp.stimuli.patterns import Slot
from qdqnp.stimuli.result import PATTERN, RANDOM, SEARCH, Stimulus
from tests.networks import dla
from tests.stimuli import layers


@pytest.fixture(scope="module")
def model() -> qdqnp.Model:
    return qdqnp.load(dla(seed=1, size=8, batch="N"))


def test_coverage_is_what_a_trace_counts(model: qdqnp.Model) -> None:
    for profile in ("ort", "neural-art"):
        found = for_network(model, profile, count=1, steps=2)
        for stimulus in found.stimuli:
            trace = model.trace(stimulus.inputs, profile=profile, events=True)
            labels = {step.output_names[0]: step.label for step in model.program(profile).steps}
            for name, events in trace.events.items():
                coverage = stimulus.coverage[labels[name]]
                assert coverage.ties_negative + coverage.ties_positive == events.ties
                assert (coverage.saturated_low, coverage.saturated_high) == (
                    events.saturated_low,
                    events.saturated_high,
                )
                assert int(coverage.seen.sum()) == np.unique(trace[name]).size


def test_differing_elements_are_those_of_two_traces(model: qdqnp.Model) -> None:
    found = for_network(model, "ort", against=("tflite", "neural-art"), count=1, steps=2)
    for stimulus in found.stimuli:
        first, second = (model.trace(stimulus.inputs, profile=name) for name in ("tflite", "neural-art"))
        assert stimulus.differing == sum(np.count_nonzero(first[name] != second[name]) for name in first)
    methods = [stimulus.method for stimulus in found.stimuli]
    assert methods == [PATTERN] * 5 + [RANDOM, SEARCH, SEARCH]


def test_the_same_seed_finds_the_same_and_another_seed_others(model: qdqnp.Model) -> None:
    first, again, other = (for_network(model, count=1, steps=5, seed=seed).stimuli for seed in (1, 1, 2))
    assert all(np.array_equal(a.inputs["input"], b.inputs["input"]) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[-1].inputs["input"], other[-1].inputs["input"])


def test_more_steps_never_find_less(model: qdqnp.Model) -> None:
    """Hill climbing keeps the best so far, and what it adds is measured against what the set has."""
    gains = []
    for steps in (1, 3, 12):
        stimuli = for_network(model, count=1, steps=steps).stimuli
        gains.append(gain(known_coverage(list(stimuli[:-1])), stimuli[-1]))
    assert gains == sorted(gains)
    assert gains[-1] > gains[0] > 0
    known = known_coverage(list(for_network(model, count=1, steps=1).stimuli))
    assert all(0 <= worth(coverage) <= 6 for coverage in known.values())


def test_the_number_of_inputs_tried_is_told_as_they_are_tried(model: qdqnp.Model) -> None:
    calls: list[None] = []
    for_network(model, against=("ort", "tflite"), count=2, steps=3, notify=lambda: calls.append(None))
    assert len(calls) == inputs_tried(2, 3, True) == 5 + 2 + 12


def test_symbolic_sizes_are_one_or_as_given(model: qdqnp.Model) -> None:
    assert for_network(model, count=0).stimuli[0].inputs["input"].shape == (1, 3, 8, 8)
    shapes = {"input": (2, 3, 8, 8)}
    assert for_network(model, count=0, shapes=shapes).stimuli[0].inputs["input"].shape == (2, 3, 8, 8)
    label = next(step.label for step in model.program().steps if step.op == "QLinearConv")
    assert next(iter(for_layer(model, label, count=0, shapes=shapes).stimuli[0].inputs.values())).shape[0] == 2
    for wrong in ({"input": (0, 3, 8, 8)}, {"input": (1, 3, 8)}, {"other": (1,)}):
        with pytest.raises(qdqnp.InputError, match="shapes that do not fit"):
            for_network(model, shapes=wrong)


@pytest.mark.parametrize("ahead", [1, 3])
def test_climbing_keeps_the_best_it_has_met_and_changes_that_one(ahead: int) -> None:
    slots = {"x": Slot(np.dtype(np.int8), (4, 4), 0)}
    tried: list[Stimulus] = []

    def run(several: Sequence[Mapping[str, np.ndarray]]) -> Iterator[Stimulus]:
        for inputs in several:
            tried.append(Stimulus("", SEARCH, inputs, {}))
            yield tried[-1]

    scores = iter([1, 9, 3, 2, 8, 7])
    best = climb(run, ahead, lambda one: next(scores), slots, np.random.default_rng(0), 6, Tries(6))
    assert best is tried[1]
    # after one start of each kind, all are changes of the best: boxes of it, drawn anew
    for one in tried[3:]:
        assert np.count_nonzero(one.inputs["x"] == best.inputs["x"]) > 0


@pytest.mark.parametrize("shape", [(), (1,), (0, 3), (2, 3, 5)])
def test_inputs_of_every_rank_are_started_and_changed(shape: tuple[int, ...]) -> None:
    slots = {"x": Slot(np.dtype(np.int8), shape, 3)}
    tried: list[np.ndarray] = []

    def run(several: Sequence[Mapping[str, np.ndarray]]) -> Iterator[Stimulus]:
        for inputs in several:
            tried.append(inputs["x"])
            yield Stimulus("", SEARCH, inputs, {})

    climb(run, 1, lambda _: float(len(tried)), slots, np.random.default_rng(0), 9, Tries(9))
    assert len(tried) == 9 and all(np.shape(codes) == shape for codes in tried)
    assert any(not np.array_equal(tried[0], codes) for codes in tried) == bool(np.prod(shape))


def test_an_input_that_others_read_beside_its_quantizer_has_no_codes() -> None:
    proto = dla(size=8)
    proto.graph.node.append(helper.make_node("Relu", ["input"], ["beside"]))
    proto.graph.output.append(helper.make_tensor_value_info("beside", TensorProto.FLOAT, None))
    with pytest.raises(qdqnp.InputError, match="an input that only one quantizer reads"):
        for_network(qdqnp.load(proto))


def test_inputs_of_integer_codes_and_of_no_codes() -> None:
    integers = qdqnp.load(layers.conv(np.full((1, 1, 1, 1), 3), (1, 1, 2, 2), (0.5, [0.5], 1.0), zeros=(9, 0)))
    found = for_network(integers, count=1, steps=1)
    assert found.stimuli[2].inputs["x"].reshape(-1).tolist() == [9] * 4  # the zero point
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    floats = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    with pytest.raises(qdqnp.InputError, match="input 'x': expected 8-bit codes"):
        for_network(qdqnp.load(floats))
