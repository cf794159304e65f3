"""Replay: what a device dumped is what later layers read, and a device that is asked for changes makes another one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import helper

import qdqnp
from qdqnp.diagnosis.align import align
from qdqnp.diagnosis.dump import Dump, DumpEntry
from qdqnp.diagnosis.identify.layers import Layers
from qdqnp.diagnosis.replay import Device, Reference, Segment, segment
from qdqnp.model import Model
from qdqnp.numerics.profiles import profile_named

X = np.arange(6, dtype=np.int8).reshape(1, 6)
DEVICE = {"b": np.array([[9, 9, 9]], np.int8), "z": np.array([[0, 1, 2, 9, 9, 9]], np.int8)}
ORT = profile_named("ort")


def model() -> Model:
    """z puts the two halves of x together again."""
    nodes = [
        helper.make_node("Split", ["x"], ["a", "b"], "split", axis=1),
        helper.make_node("Concat", ["a", "b"], ["z"], "concat", axis=1),
    ]
    x, z = (helper.make_tensor_value_info(name, 3, [1, 6]) for name in ("x", "z"))
    graph = helper.make_graph(nodes, "g", [x], [z])
    return qdqnp.load(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=10))


def device() -> Device:
    reference = Reference(model(), ORT, [{"x": X}])
    dump = Dump(Path("d"), tuple(DumpEntry(name, array) for name, array in DEVICE.items()))
    return Device(reference, align(dump, reference.targets, 1))


def test_a_segment_ends_at_what_is_known() -> None:
    program = model().program("ort")
    assert segment(program, "z", {"x", "b"}) == Segment((0, 1), ("x", "b"))
    assert segment(program, "z", {"x"}) == Segment((0, 1), ("x",))
    assert segment(program, "z", {"a", "b", "z"}) == Segment((1,), ("a", "b"))
    assert segment(program, "z", {"b"}) is None


def test_a_dumped_output_is_read_though_its_step_runs_for_another_one() -> None:
    dumped = device()
    assert dumped.segments["z"].starts == ("x", "b")
    assert np.array_equal(dumped.run_segment("z", dumped.values(0)), DEVICE["z"])
    assert np.array_equal(dumped.replay(0)["z"], DEVICE["z"])
    assert np.array_equal(dumped.replay(0)["b"], X[:, 3:])
    assert np.array_equal(Layers(model(), ORT).replay("z", {"x": X, **DEVICE}), DEVICE["z"])


def test_a_device_never_changes() -> None:
    dumped = device()
    right = dumped.distrusting("b", [X[:, 3:]])
    other = right.under({"Concat": profile_named("exact")})
    assert np.array_equal(right.replay(0)["z"], X) and np.array_equal(other.replay(0)["z"], X)
    assert other.profile("Concat").name == "exact" and right.profile("Concat") is dumped.profile("Concat")
    assert not dumped.corrected and np.array_equal(dumped.replay(0)["z"], DEVICE["z"])
