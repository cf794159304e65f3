"""Constants in flash and the summary of a quantization, counted by hand from the file."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import qdqnp
from qdqnp.model_card.constants import count_parameters, flash_need, quantization_summary
from tests.networks import dla
from tools.models.zoo_nets import NETWORKS


@pytest.mark.parametrize("per_channel", [True, False])
def test_a_quantized_network_by_its_file(per_channel: bool) -> None:
    model = dla(seed=4, per_channel=per_channel)
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    weights = sum(array.size for name, array in arrays.items() if name.startswith("w_codes"))
    biases = sum(array.size for name, array in arrays.items() if name.startswith("b_codes"))
    scales = sum(array.size for name, array in arrays.items() if name.startswith("w_scale"))
    plan = qdqnp.load(model).plan()
    found = flash_need(plan)
    assert (found.weights, found.biases, found.float_weights, found.others) == (weights, 4 * biases, 0, 0)
    assert count_parameters(plan) == weights + biases
    tensors = {
        name for name, tensor in plan.program.tensors.items() if tensor.const is None and tensor.dtype == np.int8
    }
    # a tensor that MaxPool or Flatten alone makes or reads has the scale of another
    coded = {
        operand.name
        for step in plan.program.steps
        for operand in (*step.inputs, *step.outputs)
        if operand and operand.quant
    }
    assert found.scales == 4 * (scales + len(tensors & coded))
    assert found.zero_points == scales + len(tensors & coded)
    assert found.total == sum((found.weights, found.biases, found.scales, found.zero_points))


def test_the_summary_of_a_quantization() -> None:
    found = quantization_summary(qdqnp.load(dla(seed=4)).plan())
    convs = sum(node.op_type == "Conv" for node in dla(seed=4).graph.node)
    assert found.weight_types == {"int8": convs} and found.weight_scales == {"per channel": convs}
    assert found.weight_symmetry == {"symmetric": convs} and found.tensor_types["float32"] == 2
    other = quantization_summary(qdqnp.load(dla(seed=4, per_channel=False, dtype=np.uint8)).plan())
    assert other.weight_scales == {"per tensor": convs} and "uint8" in other.tensor_types


def test_a_float_network() -> None:
    plan = qdqnp.load(NETWORKS["mlp"](0)).plan()
    found = flash_need(plan)
    assert found.weights == found.scales == found.zero_points == 0
    matrices = [c for c in plan.consts.values() if c.ndim == 2]
    assert found.float_weights == sum(array.nbytes for array in matrices)
    assert quantization_summary(plan).weight_types == {"float32": len(matrices)}


def test_a_constant_that_two_layers_read_counts_once() -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["a"]), helper.make_node("MatMul", ["a", "w"], ["y"])]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 5]) for name in "xy"]
    weights = [numpy_helper.from_array(np.ones((5, 5), np.float32), "w")]
    graph = helper.make_graph(nodes, "twice", ends[:1], ends[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    assert flash_need(qdqnp.load(model).plan()).float_weights == 100


def test_two_codes_of_four_bits_take_a_byte() -> None:
    codes = np.arange(-7, 8, dtype=np.int8).reshape(3, 5).astype(ml_dtypes.int4)
    nodes = [helper.make_node("DequantizeLinear", ["w", "s"], ["wd"]), helper.make_node("MatMul", ["x", "wd"], ["y"])]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, size]) for name, size in (("x", 3), ("y", 5))]
    held = [numpy_helper.from_array(codes, "w"), numpy_helper.from_array(np.float32(0.1), "s")]
    graph = helper.make_graph(nodes, "four bits", ends[:1], ends[1:], held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    found = flash_need(qdqnp.load(model).plan("ort-unfused"))
    assert found.total == 8 + 4 + 1  # 15 codes, a scale, a zero point
