"""A layer as a model of its own computes what it does in its network."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx
import pytest

import qdqnp
from qdqnp.stimuli.alone import alone
from tests.networks import dla
from tests.ops import draw
from tests.ops.case import Case
from tests.ops.cases import binary, conv, matrix, pool, unary

MAKERS = (
    conv.qlinear_conv,
    matrix.qgemm,
    matrix.qlinear_matmul,
    binary.qlinear_add,
    binary.qlinear_mul,
    binary.qlinear_concat,
    pool.qlinear_average_pool,
    pool.qlinear_global_average_pool,
    unary.qlinear_leaky_relu,
    unary.qlinear_sigmoid,
    unary.qlinear_softmax,
)


def plain(attributes: object) -> dict[str, object]:
    """With floats as the float32 that ONNX has."""
    values = dataclasses.asdict(attributes)  # type: ignore[call-overload]
    return {key: float(np.float32(value)) if isinstance(value, float) else value for key, value in values.items()}


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_every_operator_comes_back_as_it_was(make: object, rng: draw.Rng) -> None:
    """Random nodes with all their attributes, types and optional inputs, through their model of one layer."""
    for _ in range(25):
        case: Case = make(rng)  # type: ignore[operator]
        model = qdqnp.load(case.model)
        plan = model.plan()
        (bound,) = plan.steps
        shapes = plan.shapes({name: array.shape for name, array in case.inputs.items()})
        data = alone(bound, shapes)
        onnx.checker.check_model(onnx.load_from_string(data))
        (again,) = qdqnp.load(data).plan().steps
        assert (again.step.op, again.step.label) == (bound.step.op, bound.step.label)
        assert plain(again.step.attributes) == plain(bound.step.attributes)
        assert again.evaluate(case.inputs)["y"].tobytes() == bound.evaluate(case.inputs)["y"].tobytes()


def test_every_layer_of_a_network_computes_alone_what_it_does_there() -> None:
    model = qdqnp.load(dla(seed=3, group=2))
    trace = model.trace(np.random.default_rng(0).standard_normal((1, 3, 16, 16), dtype=np.float32), profile="tflite")
    plan = model.plan("tflite")
    shapes = plan.shapes({"input": (1, 3, 16, 16)})
    layers = [bound for bound in plan.steps if bound.operator.rule]
    assert len({bound.step.op for bound in layers}) == 4
    for bound in layers:
        single = qdqnp.load(alone(bound, shapes))
        inputs = {name: trace[name] for name in single.program().inputs}
        (output,) = bound.step.output_names
        assert np.array_equal(single.run(inputs, profile="tflite")[output], trace[output])


def test_names_that_are_in_the_way_are_not_taken() -> None:
    """Tensors of the model that are called as the parameters would be."""
    from tests.stimuli import layers

    proto = layers.conv(np.full((1, 1, 1, 1), 3), (1, 1, 2, 2), (0.5, [0.5], 1.0), bias=[7])
    for old, new in (("x", "scale_0"), ("w", "zero_point_1"), ("b", "scale_2"), ("y", "scale_4")):
        for holder in (*proto.graph.initializer, *proto.graph.input, *proto.graph.output):
            holder.name = new if holder.name == old else holder.name
        for names in (proto.graph.node[0].input, proto.graph.node[0].output):
            names[:] = [new if name == old else name for name in names]
    model = qdqnp.load(proto)
    (bound,) = model.plan().steps
    data = alone(bound, {"scale_0": (1, 1, 2, 2), "scale_4": (1, 1, 2, 2)})
    x = np.arange(4, dtype=np.int8).reshape(1, 1, 2, 2)
    assert np.array_equal(qdqnp.load(data).run(x)["scale_4"], model.run(x)["scale_4"])
