"""What a network needs at least, counted by hand for a chain with a skip connection."""

from __future__ import annotations

import onnx
import pytest
from onnx import TensorProto, helper

import qdqnp
from qdqnp.inspection.memory import memory_need
from tests.networks import dla


def chain(size: int | str) -> onnx.ModelProto:
    """x (float32) -> a, b, then a + b -> y: three tensors are alive at the end."""
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], name="first"),
        helper.make_node("Neg", ["a"], ["b"], name="second"),
        helper.make_node("Add", ["a", "b"], ["y"], name="third"),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, size]) for name in "xy"]
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("size", [1, 100])
def test_tensors_that_are_alive_at_once(size: int) -> None:
    need = memory_need(qdqnp.load(chain(size)).plan())
    assert need is not None
    assert (need.constants, need.peak, need.peak_step) == (0, 3 * 4 * size, "third")


def test_sizes_that_are_open_count_as_one() -> None:
    need = memory_need(qdqnp.load(chain("n")).plan())
    assert need is not None and need.peak == 12


def test_the_shipped_network_needs_what_its_largest_layers_hold() -> None:
    plan = qdqnp.load(dla(seed=1)).plan()
    need = memory_need(plan)
    assert need is not None
    # the picture in float32 beside its codes: 3 * 16 * 16 of each
    assert need.peak == 5 * 3 * 16 * 16 and need.peak_step == "Q_input"
    assert need.constants == sum(array.nbytes for array in plan.consts.values())
