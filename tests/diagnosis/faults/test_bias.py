"""Biases that are dropped, in a network whose convolution has few of them."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import qdqnp
from qdqnp.diagnosis.align import align
from qdqnp.diagnosis.compare.compare import compare
from qdqnp.diagnosis.compare.report import CompareRow
from qdqnp.diagnosis.replay import Reference
from qdqnp.numerics.profiles import PROFILES
from tests.diagnosis import small
from tests.networks import Builder

CHANNELS = 6


def network(biases: dict[int, int]) -> onnx.ModelProto:
    """One Conv of six channels, with these biases by channel and 0 in the others."""
    net = Builder(2)
    made = net.model(net.conv(net.quantized("input", 3, 1.0), CHANNELS, kernel=3), [1, 3, 16, 16])
    (codes,) = (item for item in made.graph.initializer if item.name.startswith("b_codes"))
    values = np.array([biases.get(channel, 0) for channel in range(CHANNELS)], np.int32)
    codes.CopyFrom(numpy_helper.from_array(values, codes.name))
    return made


def compared(right: dict[int, int], wrong: dict[int, int]) -> CompareRow:
    """The first wrong layer of a device that has the biases `wrong` in place of `right`."""
    reference = Reference(qdqnp.load(network(right)), PROFILES["ort"], small.feeds(2))
    device = qdqnp.load(network(wrong))
    traces = [device.trace(x) for x in small.feeds(2)]
    dump = small.dump({name: [trace[name] for trace in traces] for name in traces[0] if name != "input"})
    first = compare(reference, align(dump, reference.targets, 2)).first
    assert first is not None and first.op == "QLinearConv"
    return first


@pytest.mark.parametrize(
    ("right", "wrong", "found"),
    [
        ({2: 9000}, {}, "all biases dropped"),  # the layer has but one
        ({2: 9000, 4: 8000}, {4: 8000}, "one channel's bias dropped (channel 2)"),
        ({2: 9000, 4: 8000}, {}, "all biases dropped"),
        ({1: 7000, 2: 9000, 4: 8000}, {1: 7000}, "all biases dropped (channels 2, 4)"),
    ],
)
def test_dropped_biases_are_counted_against_those_that_there_are(
    right: dict[int, int], wrong: dict[int, int], found: str
) -> None:
    assert found in [str(finding) for finding in compared(right, wrong).findings]


def test_biases_of_the_neighbours() -> None:
    right = {channel: 4000 * channel for channel in range(CHANNELS)}
    wrong = {channel: 4000 * ((channel - 1) % CHANNELS) for channel in range(CHANNELS)}
    texts = [str(finding) for finding in compared(right, wrong).findings]
    assert texts == ["neighbour's bias (each from channel c - 1: 6 of 6 channels)"]
