"""Constants that a compiler got wrong: the network with other weights or biases in its file, run by the engine."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest

import qdqnp
from qdqnp.executor.plan import BoundStep
from tests.diagnosis.small import Array, feeds, model, report, row
from tests.networks import dla

STEPS = [bound for bound in model().plan().steps if bound.step.op == "QLinearConv"]
SPATIAL = next(bound for bound in STEPS[1:] if bound.consts[bound.step.input_names[1]].shape[2] == 3)


def weights(bound: BoundStep) -> str:
    return bound.step.input_names[1]


def device(changes: dict[str, Array]) -> dict[str, list[Array]]:
    """What a device makes whose compiler wrote these constants."""
    proto = dla(seed=1)
    for tensor in proto.graph.initializer:
        if tensor.name in changes:
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.ascontiguousarray(changes.pop(tensor.name)), tensor.name))
    assert not changes
    traces = [qdqnp.load(proto).trace(x) for x in feeds()]
    return {name: [trace[name] for trace in traces] for name in traces[0] if name != "input"}


def named(bound: BoundStep, changes: dict[str, Array]) -> list[str]:
    found = report(device(changes))
    assert found.first is not None and found.first.label == bound.step.label
    return [str(finding) for finding in row(found, bound.step.output_names[0]).findings]


def relaid(w: Array) -> Array:
    return np.ascontiguousarray(w.transpose(0, 2, 3, 1)).reshape(w.shape)


def stored(w: Array) -> Array:
    o, i, h, width = w.shape
    return w.reshape(o, h, width, i).transpose(0, 3, 1, 2)


@pytest.mark.parametrize(
    ("turn", "text"),
    [
        (lambda w: w.transpose(0, 1, 3, 2), "kernel transposed (rows and columns exchanged)"),
        (lambda w: w[:, :, ::-1, ::-1], "kernel flipped (taps in reverse)"),
        (lambda w: w[:, :, ::-1], "kernel flipped (rows in reverse)"),
        (lambda w: w[:, :, :, ::-1], "kernel flipped (columns in reverse)"),
        (relaid, "kernel in another layout (OHWI read as OIHW)"),
        (stored, "kernel in another layout (OIHW read as OHWI)"),
    ],
)
def test_of_a_kernel(turn: Callable[[Array], Array], text: str) -> None:
    assert named(SPATIAL, {weights(SPATIAL): turn(SPATIAL.consts[weights(SPATIAL)])}) == [text]


@pytest.mark.parametrize(
    ("turn", "text"),
    [
        (lambda w: w[:, ::-1], "in reverse"),
        (lambda w: np.concatenate(np.split(w, 2, axis=1)[::-1], axis=1), "2 groups in reverse"),
        (lambda w: np.concatenate(np.split(w, 4, axis=1)[::-1], axis=1), "4 groups in reverse"),
        (lambda w: w[:, np.arange(w.shape[1]).reshape(-1, 2).T.reshape(-1)], "shuffled in"),
        (lambda w: np.roll(w, 1, axis=1), "moved back by one"),
    ],
)
def test_the_input_channels_in_another_order(turn: Callable[[Array], Array], text: str) -> None:
    """Weights that are read in another order cannot be told from an input that is."""
    (found,) = named(SPATIAL, {weights(SPATIAL): turn(SPATIAL.consts[weights(SPATIAL)])})
    assert found.startswith(f"channels permuted ({text}") and "input '" in found


def test_the_bias_of_another_layer() -> None:
    bias = SPATIAL.step.input_names[2]
    size = SPATIAL.consts[bias].size
    other = next(b for b in STEPS if b is not SPATIAL and b.consts[b.step.input_names[2]].size >= size)
    theirs = other.consts[other.step.input_names[2]][:size]
    assert named(SPATIAL, {bias: theirs}) == [f"another layer's constants (bias of layer {other.step.label})"]


def test_the_weights_of_another_layer() -> None:
    own = SPATIAL.consts[weights(SPATIAL)]
    other = next(b for b in STEPS if b is not SPATIAL and b.consts[weights(b)].size >= own.size)
    theirs = other.consts[weights(other)].reshape(-1)[: own.size].reshape(own.shape)
    assert named(SPATIAL, {weights(SPATIAL): theirs}) == [
        f"another layer's constants (weights of layer {other.step.label})"
    ]
