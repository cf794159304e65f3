"""Little is tried where a small model has huge tensors, and what is not tried is said to be undecided."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

import qdqnp
from qdqnp.stimuli import effort, goals
from qdqnp.stimuli.goals import REACHED, UNDECIDED
from qdqnp.stimuli.layer import for_layer
from qdqnp.stimuli.network import for_network
from qdqnp.stimuli.patterns import PATTERNS
from tests.ops.case import one_node
from tests.stimuli import layers

F = np.float32


def convolution(size: int) -> onnx.ModelProto:
    return layers.conv(np.array([[[[5]]], [[[-3]]]]), (1, 1, size, size), (0.5, [0.25, 0.25], 0.75))


def pool(size: int) -> onnx.ModelProto:
    """A windowed average over all but a row and a column."""
    quants = [F(0.1), np.int8(3), F(0.07), np.int8(-5)]
    arguments = [("x", np.zeros((1, 1, size, size), np.int8)), *zip(("xs", "xz", "ys", "yz"), quants, strict=True)]
    return one_node("QLinearAveragePool", arguments, domain="com.microsoft", kernel_shape=[size - 1, size - 1]).model


def relu(size: int) -> onnx.ModelProto:
    quants = [F(0.1), np.int8(3), F(0.07), np.int8(-5)]
    arguments = [("x", np.zeros((1, size), np.int8)), *zip(("xs", "xz", "ys", "yz"), quants, strict=True)]
    return one_node("QLinearLeakyRelu", arguments, domain="com.microsoft", alpha=0.1).model


def allow(monkeypatch: pytest.MonkeyPatch, model: qdqnp.Model, inputs: int) -> None:
    """Have the model's one layer run on at most so many inputs."""
    plan = model.plan("ort")
    monkeypatch.setattr(effort, "ELEMENTS_PER_BYTE", 0)
    monkeypatch.setattr(effort, "ELEMENTS", 2**40)
    shapes = plan.shapes({"x": plan.program.tensors["x"].shape})
    monkeypatch.setattr(effort, "ELEMENTS", inputs * (2**40 // effort.effort(plan.steps, shapes).inputs))


@pytest.mark.parametrize("make", [convolution, pool, relu])
def test_a_layer_is_run_on_as_many_inputs_as_its_work_allows(make: object, monkeypatch: pytest.MonkeyPatch) -> None:
    model = qdqnp.load(make(20))  # type: ignore[operator]
    every = for_layer(model, "node")
    assert not [one for one in every.verdicts if one.goal == "inputs"]
    monkeypatch.setattr(effort, "ELEMENTS", 1)
    monkeypatch.setattr(effort, "ELEMENTS_PER_BYTE", 0)
    few = for_layer(model, "node")
    assert 1 <= len(few.stimuli) <= 5 < len(every.stimuli)
    (said,) = [one for one in few.verdicts if one.goal == "inputs" and "of 9 inputs" in one.reason]
    assert said.verdict == UNDECIDED
    assert "--exhaustive" in said.reason
    assert len(for_layer(model, "node", exhaustive=True).stimuli) == len(every.stimuli)


def test_what_was_not_run_is_not_called_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    """Extremes fit into the inputs that are allowed, ties do not."""
    model = qdqnp.load(convolution(4))
    every = for_layer(model, "node", count=0)
    assert {one.verdict for one in every.verdicts if one.goal == goals.TIE_POSITIVE} == {REACHED}
    for inputs in range(1, 12):
        allow(monkeypatch, model, inputs)
        found = for_layer(model, "node", count=0)
        run = {(one.target.goal, one.target.channel) for stimulus in found.stimuli for one in stimulus.placed}
        constructed = (*goals.TIE_GOALS.values(), goals.MOST_NEGATIVE, goals.MOST_POSITIVE)
        reached = {(o.goal, o.channel) for o in found.verdicts if o.goal in constructed and o.verdict == REACHED}
        assert reached == run
        assert len(found.stimuli) <= max(1, inputs)


def test_a_network_is_run_on_as_many_inputs_as_its_work_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    model = qdqnp.load(convolution(8))
    assert not for_network(model, count=2, steps=3).verdicts
    for most, kinds in ((1, ["minimum"]), (4, list(PATTERNS)[:4]), (8, [*PATTERNS, "random", "random", "coverage"])):
        allow(monkeypatch, model, most)
        calls: list[None] = []
        found = for_network(model, count=2, steps=3, notify=lambda calls=calls: calls.append(None))  # type: ignore[misc]
        assert [one.kind for one in found.stimuli] == kinds
        assert len(calls) == most
        (said,) = found.verdicts
        assert f"{13 - most} of 13 inputs" in said.reason
    assert len(for_network(model, count=2, steps=3, exhaustive=True).stimuli) == 9


def test_a_layer_whose_measures_do_not_fit_the_memory_is_refused() -> None:
    for found in (for_network, lambda model: for_layer(model, "node")):
        with pytest.raises(qdqnp.InputError, match="measuring the layer would take too much memory"):
            found(qdqnp.load(relu(2**24 + 2**20)))
