"""When tensors are alive, counted by hand, and held against what a run holds."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import qdqnp
from qdqnp.inspection.lifetimes import Lifetime, lifetimes, live_bytes
from tests.inspection.test_memory import chain
from tests.networks import dla


def test_from_the_step_that_makes_it_to_the_last_that_reads_it() -> None:
    found = lifetimes(qdqnp.load(chain(5)).plan())
    assert found is not None
    assert found.tensors == (
        Lifetime("x", 20, 0, 0),
        Lifetime("a", 20, 0, 2),
        Lifetime("b", 20, 1, 2),
        Lifetime("y", 20, 2, 2),
    )
    assert live_bytes(found.tensors, 3).tolist() == [40, 40, 60]


def test_bytes_alive_are_those_of_the_tensors_of_each_step() -> None:
    found = lifetimes(qdqnp.load(dla(seed=1)).plan())
    assert found is not None
    by_hand = [
        sum(tensor.nbytes for tensor in found.tensors if tensor.first <= step <= tensor.last)
        for step in range(len(found.steps))
    ]
    assert live_bytes(found.tensors, len(found.steps)).tolist() == by_hand


def test_codes_at_both_ends() -> None:
    plan = qdqnp.load(dla(seed=1)).plan()
    whole, inner = lifetimes(plan), lifetimes(plan, codes_at_ends=True)
    assert whole is not None and inner is not None
    assert [plan.program.tensors[name].dtype for name in (*inner.inputs, *inner.outputs)] == [np.int8] * 2
    assert len(inner.steps) == len(whole.steps) - 2
    gone = {tensor.name for tensor in whole.tensors} - {tensor.name for tensor in inner.tensors}
    assert gone == {*plan.program.inputs, *plan.program.outputs}


def ended(twice: bool, read: bool) -> onnx.ModelProto:
    """x -> Q -> y codes -> DQ -> z; `twice`: a second Q reads x; `read`: z is read by a Relu too."""
    constants = [
        helper.make_tensor("s", TensorProto.FLOAT, [], [0.5]),
        helper.make_tensor("k", TensorProto.INT8, [], [1]),
    ]
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "k"], ["q"]),
        helper.make_node("MaxPool", ["q"], ["m"], kernel_shape=[1, 2]),
        helper.make_node("DequantizeLinear", ["m", "s", "k"], ["z"]),
    ]
    outputs = ["z"]
    if twice:
        nodes.append(helper.make_node("Relu", ["x"], ["other"]))
        outputs.append("other")
    if read:
        nodes.append(helper.make_node("Relu", ["z"], ["again"]))
        outputs.append("again")
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, 2, 4] if name == "x" else None)
        for name in ["x", *outputs]
    ]
    graph = helper.make_graph(nodes, "ended", ends[:1], ends[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize(("twice", "read", "kept"), [(False, False, 0), (True, False, 1), (False, True, 0)])
def test_conversions_that_others_need_are_counted(twice: bool, read: bool, kept: int) -> None:
    plan = qdqnp.load(ended(twice, read)).plan()
    whole, inner = lifetimes(plan), lifetimes(plan, codes_at_ends=True)
    assert whole is not None and inner is not None
    assert len(whole.steps) - len(inner.steps) == 2 - kept  # each reader of codes has a DequantizeLinear of its own
    floats = {tensor.name for tensor in inner.tensors if plan.program.tensors[tensor.name].dtype == np.float32}
    assert floats == ({"x", "other"} if twice else {"z/duplicated", "again"} if read else set())


def test_packed_types_take_what_they_take() -> None:
    constants = [
        helper.make_tensor("s", TensorProto.FLOAT, [], [0.5]),
        helper.make_tensor("k", TensorProto.INT4, [], [1]),
    ]
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "k"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "k"], ["y"]),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [7]) for name in "xy"]
    graph = helper.make_graph(nodes, "packed", ends[:1], ends[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    found = lifetimes(qdqnp.load(model).plan())
    assert found is not None and {t.name: t.nbytes for t in found.tensors} == {"x": 28, "q": 4, "y": 28}
