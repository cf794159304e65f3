"""The faults of the reduced networks: each finds its pattern in a small graph, and not in another."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tools.verify.reduce_zoo import FAULTS

NODES = {
    "requantized_add": [("QuantizeLinear", "x s", "q"), ("DequantizeLinear", "q s", "d"), ("Add", "d x", "y")],
    "depthwise_then_relu": [("Conv", "x w", "c"), ("Relu", "c", "y")],
    "gate": [
        ("Sigmoid", "x", "g"),
        ("QuantizeLinear", "g s", "q"),
        ("DequantizeLinear", "q s", "d"),
        ("Mul", "x d", "y"),
    ],
    "negative_weight": [("DequantizeLinear", "w8 s", "w"), ("Conv", "x w", "y")],
    "shuffled": [("Reshape", "x shape", "r"), ("Transpose", "r", "y")],
}


def graph(name: str) -> onnx.ModelProto:
    nodes = [helper.make_node(op, inputs.split(), [output]) for op, inputs, output in NODES[name]]
    for node in nodes:
        if node.op_type == "Conv":
            node.attribute.append(helper.make_attribute("group", 2))
    constant = numpy_helper.from_array(np.full((2, 1, 1, 1), -127, np.int8), "w8")
    info = [helper.make_tensor_value_info(one, TensorProto.FLOAT, None) for one in "xy"]
    return helper.make_model(helper.make_graph(nodes, "g", info[:1], info[1:], [constant]))


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_where_it_is_and_nowhere_else(name: str) -> None:
    found = FAULTS[name][2]
    assert set(NODES) == set(FAULTS)
    assert found(graph(name))
    assert not any(found(graph(other)) for other in NODES if other != name)
