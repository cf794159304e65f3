"""Scales and zero points as graph inputs: the results are those of the same constants, and ONNX Runtime's."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import qdqnp
from qdqnp.inputs.random_inputs import random_feeds
from qdqnp.ops.origin import origin_of
from tests.ops import draw
from tests.ops.case import Array, Case, assert_same, computed
from tests.ops.cases import CASES
from tests.oracles import ort

F = np.float32
# The numbers of the inputs that are scales and zero points.
PARAMETERS = {
    "QuantizeLinear": (1, 2),
    "DequantizeLinear": (1, 2),
    "QLinearConv": (1, 2, 4, 5, 6, 7),
    "QLinearMatMul": (1, 2, 4, 5, 6, 7),
    "QGemm": (1, 2, 4, 5, 7, 8),
    "QLinearAdd": (1, 2, 4, 5, 6, 7),
    "QLinearMul": (1, 2, 4, 5, 6, 7),
    "QLinearLeakyRelu": (1, 2, 3, 4),
    "QLinearSigmoid": (1, 2, 3, 4),
    "QLinearSoftmax": (1, 2, 3, 4),
    "QLinearAveragePool": (1, 2, 3, 4),
    "QLinearGlobalAveragePool": (1, 2, 3, 4),
    "QLinearConcat": (0, 1, 3, 4),
    "QLinearWhere": (2, 3, 5, 6, 7, 8),
}

#: Operators of which a session of onnxruntime 1.32 with computed scales ends its process.
CRASHES = ("QLinearWhere",)


def at_run_time(case: Case, rng: draw.Rng, chosen: float = 0.6) -> Case:
    """The case with some of its parameters as graph inputs."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    (node,) = model.graph.node
    names = {node.input[at] for at in PARAMETERS[node.op_type] if at < len(node.input) and node.input[at]}
    moved = {}
    for tensor in [t for t in model.graph.initializer if t.name in names and draw.chance(rng, chosen)]:
        moved[tensor.name] = numpy_helper.to_array(tensor)
        model.graph.initializer.remove(tensor)
        model.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    return Case(model, {**case.inputs, **moved})


@pytest.mark.parametrize("name", PARAMETERS)
def test_as_with_constants(name: str, rng: np.random.Generator) -> None:
    moved = 0
    for _ in range(40):
        case = CASES[name](rng)
        other = at_run_time(case, rng)
        moved += len(other.inputs) > len(case.inputs)
        found = computed(other)
        assert_same(found, computed(case), "the same of constants", other)
        if ort.comparable(other.model) and name not in CRASHES:
            assert_same(found, ort.run(other.model, other.inputs)["y"], "ONNX Runtime", other)
    assert moved > 20


def per_channel(x: Array) -> Case:
    """A QuantizeLinear with a scale for each slice of axis 1, which is an input."""
    scale, zero = np.array([0.5, 2, 1], F), np.array([1, 2, 3], np.int8)
    node = helper.make_node("QuantizeLinear", ["x", "s", "z"], ["y"], name="node", axis=1)
    infos = [helper.make_tensor_value_info(n, k, [s]) for n, k, s in (("s", 1, 3), ("z", 3, 3))]
    x_info = helper.make_tensor_value_info("x", 1, list(x.shape))
    y_info = helper.make_tensor_value_info("y", 3, None)
    graph = helper.make_graph([node], "case", [x_info, *infos], [y_info])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return Case(model, {"x": x, "s": scale, "z": zero})


def test_each_slice_comes_from_its_own_scale() -> None:
    case = per_channel(np.ones((2, 3), F))
    (bound,) = qdqnp.load(case.model).plan().steps
    origin = origin_of(bound.operator, bound.step, bound.arrays(case.inputs), 0, (1, 2))
    found = [(origin.element(int(n)).operand, origin.element(int(n)).index) for n in origin.elements]
    assert found == [(0, (1, 2)), (1, (2,)), (2, (2,))]


@pytest.mark.parametrize("scale", [0.0, -1.0, np.nan, np.inf])
def test_a_scale_that_is_none(scale: float) -> None:
    case = per_channel(np.ones((2, 3), F))
    given = {**case.inputs, "s": np.array([1, scale, 1], F)}
    with pytest.raises(qdqnp.InputError, match=r"input 1 \(scale\) 's', index 1: expected a finite scale > 0"):
        qdqnp.load(case.model).run(given)


def test_scales_whose_number_is_open_are_refused() -> None:
    case = per_channel(np.ones((2, 3), F))
    case.model.graph.input[1].type.tensor_type.shape.dim[0].dim_param = "n"
    with pytest.raises(qdqnp.ModelError, match="of rank 0 or 1 of known sizes"):
        qdqnp.load(case.model)


def test_so_many_scales_that_nobody_means_them_are_refused() -> None:
    case = per_channel(np.ones((2, 3), F))
    case.model.graph.input[1].type.tensor_type.shape.dim[0].dim_value = 10**8
    with pytest.raises(qdqnp.ModelError, match="at most 65536"):
        qdqnp.load(case.model)


def test_random_scales_are_positive() -> None:
    case = per_channel(np.ones((2, 3), F))
    program = qdqnp.load(case.model).program()
    (feeds,) = random_feeds(program, 1, 0)
    assert (feeds["s"] > 0).all() and feeds["z"].dtype == np.int8
    qdqnp.load(case.model).run(feeds)
