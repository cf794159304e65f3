"""The estimate of time, by hand for one layer, and its parts for networks."""

from __future__ import annotations

import copy

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import qdqnp
from qdqnp.executor.plan import Plan
from qdqnp.inspection.lifetimes import lifetimes
from qdqnp.model_card.device import device_of
from qdqnp.model_card.roofline import COMPUTE, TimeEstimate, time_estimate
from tests.model_card.test_device import GOOD
from tests.networks import dla
from tools.models.zoo_nets import NETWORKS


def convolution() -> onnx.ModelProto:
    """x int8 (1, 2, 4, 4) -> QLinearConv 1x1 with 3 channels -> y int8 (1, 3, 4, 4)."""
    constants = {
        "s": np.float32(0.1),
        "z": np.int8(0),
        "w": np.ones((3, 2, 1, 1), np.int8),
        "b": np.zeros(3, np.int32),
    }
    node = helper.make_node(
        "QLinearConv", ["x", "s", "z", "w", "s", "z", "s", "z", "b"], ["y"], "conv", kernel_shape=[1, 1]
    )
    x, y = (helper.make_tensor_value_info(n, TensorProto.INT8, [1, c, 4, 4]) for n, c in (("x", 2), ("y", 3)))
    listed = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph([node], "conv", [x], [y], listed)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def estimated(plan: Plan, ram: int = 1000, flash: int = 2000) -> TimeEstimate:
    document = copy.deepcopy(GOOD)
    document["memories"][0]["bytes"], document["memories"][1]["bytes"] = ram, flash
    document["memories"].insert(1, {"name": "slow", "holds": "activations", "bytes": 10**6, "megabytes_per_second": 1})
    found = lifetimes(plan, codes_at_ends=True)
    assert found is not None
    return time_estimate(plan, found, device_of(document, "board.toml"))


def test_one_layer_by_hand() -> None:
    """96 MACs at 64 in a cycle of 2 ns; 80 bytes at 100 MB/s; 6 weights and 3 biases of 4 bytes at 12.5 MB/s."""
    made = estimated(qdqnp.load(convolution()).plan())
    (layer,) = made.layers
    assert layer.parts == pytest.approx({COMPUTE: 3e-9, "ram": 80 / 100e6, "slow": 0.0, "flash": 18 / 12.5e6})
    assert layer.limit == "flash" and made.seconds == pytest.approx(18 / 12.5e6)
    assert made.seconds_apart == pytest.approx(3e-9 + 80 / 100e6 + 18 / 12.5e6)
    assert dict(made.used) == {"ram": 80, "slow": 0, "flash": 18} and made.without_room == made.left_out == ()


def test_a_tensor_that_a_layer_takes_twice_is_read_once() -> None:
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "s", "z"], ["d"]),
        helper.make_node("Add", ["d", "d"], ["sum"]),
        helper.make_node("QuantizeLinear", ["sum", "s", "z"], ["y"]),
    ]
    held = [numpy_helper.from_array(np.asarray(v), n) for n, v in (("s", np.float32(0.1)), ("z", np.int8(0)))]
    x, y = (helper.make_tensor_value_info(name, TensorProto.INT8, [1, 32]) for name in "xy")
    graph = helper.make_graph(nodes, "twice", [x], [y], held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (layer,) = estimated(qdqnp.load(model).plan()).layers
    assert layer.parts["ram"] == pytest.approx((32 + 32) / 100e6)


def test_what_does_not_fit_goes_to_the_next_memory() -> None:
    plan = qdqnp.load(convolution()).plan()
    made = estimated(plan, ram=50)
    assert made.layers[0].parts["ram"] == pytest.approx(48 / 100e6)  # y, the larger
    assert made.layers[0].parts["slow"] == pytest.approx(32 / 1e6) and dict(made.used) == {
        "ram": 48,
        "slow": 32,
        "flash": 18,
    }


def test_constants_without_room_are_named() -> None:
    made = estimated(qdqnp.load(convolution()).plan(), flash=10)
    assert made.without_room == ("<constants>",) and made.used["flash"] == 6


def test_tensors_without_room_are_named() -> None:
    model = qdqnp.load(dla(seed=1, size=16))
    found = lifetimes(model.plan(), codes_at_ends=True)
    assert found is not None
    document = copy.deepcopy(GOOD)
    document["memories"][0]["bytes"] = 500
    made = time_estimate(model.plan(), found, device_of(document, "board.toml"))
    size = {tensor.name: tensor.nbytes for tensor in found.tensors}
    assert made.without_room and all(size[name] > 0 for name in made.without_room if name != "<constants>")


def test_layers_of_floats_are_left_out() -> None:
    plan = qdqnp.load(NETWORKS["mlp"](0)).plan()
    made = estimated(plan)
    assert made.layers == () and len(made.left_out) == len(plan.steps) and made.seconds == 0


def test_the_sums() -> None:
    plan = qdqnp.load(dla(seed=1)).plan()
    made = estimated(plan, ram=10**6, flash=10**6)
    assert made.seconds_computing <= made.seconds <= made.seconds_apart
    macs = sum(plan.macs(bound, plan.shapes({"input": (1, 3, 16, 16)})) for bound in plan.steps)
    assert made.seconds_computing == pytest.approx(macs / 64 / 500e6)
    found = lifetimes(plan, codes_at_ends=True)
    assert found is not None and made.used["flash"] == sum(array.nbytes for array in plan.consts.values())
