"""Parts of a model, and models with other constants: each computes what the whole, or the quantizer, would say."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import qdqnp
from tests.networks import dla

X = np.random.default_rng(0).standard_normal((1, 3, 16, 16), dtype=np.float32)
PROFILES = ("ort", "ort-x64", "tflite")


@pytest.fixture(scope="module")
def model() -> qdqnp.Model:
    return qdqnp.load(dla())


def convs(model: qdqnp.Model) -> list[str]:
    return [layer.label for layer in model.layers if layer.op == "QLinearConv"]


# -- parts -------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("profile", PROFILES)
def test_a_part_gives_what_the_whole_gives(model: qdqnp.Model, profile: str) -> None:
    """Every pair of convolutions one of which leads to the other."""
    whole = model.trace(X, profile=profile)
    tensors = model.program(profile).tensors

    def in_file(name: str) -> np.ndarray[Any, Any]:
        return tensors[name].as_in_file(whole[name])

    names, found = convs(model), 0
    for start in names[::5]:
        for end in names[::4]:
            try:
                part = model.between(start, end)
            except qdqnp.InputError:
                continue
            found += 1
            feeds = {one.name: in_file(one.name) for one in part.inputs}
            for name, array in part.run(feeds, profile=profile).items():
                np.testing.assert_array_equal(array, in_file(name))
    assert found > 5


def test_a_part_begins_and_ends_where_it_is_said(model: qdqnp.Model) -> None:
    names = convs(model)
    part = model.between(names[1], names[2])
    assert {names[1], names[2]} <= {layer.label for layer in part.layers}
    assert part.inputs[0].name == model[names[1]].inputs[0].name and part.outputs[0].name == model[names[2]].name
    assert model.between(names[1]).graph.outputs == model.graph.outputs
    first = model.between("0", names[0])  # reads the model's own input
    assert first.graph.inputs == model.graph.inputs and first.layers[0].label == model.layers[0].label
    assert model.between(end=names[1]).graph.inputs == model.graph.inputs
    (name,) = model.graph.outputs
    np.testing.assert_array_equal(model.between().run(X)[name], model.run(X)[name])


def test_no_way_back(model: qdqnp.Model) -> None:
    names = convs(model)
    with pytest.raises(qdqnp.InputError, match=f"layer '{names[3]}': expected one that '{names[0]}' depends on"):
        model.between(names[3], names[0])
    beside = next(
        one for one in model.layers if one.inputs[0].name == model[names[0]].name
    )  # reads what the other makes
    with pytest.raises(qdqnp.InputError, match=f"expected one that '{names[0]}' depends on"):
        model.between(beside.label, names[0])
    with pytest.raises(qdqnp.InputError, match="Did you mean"):
        model.between(names[0] + "x")
    with pytest.raises(qdqnp.InputError, match="the model's file is not known"):
        qdqnp.Model(model.graph).between(names[0])


def test_a_part_is_a_model_like_any_other(model: qdqnp.Model, tmp_path: Path) -> None:
    """It is verified, written as a golden set, cut again and pickled."""
    names = convs(model)
    part = model.between(names[0], names[3])
    again = pickle.loads(pickle.dumps(part))
    feeds = {one.name: np.zeros([int(str(size)) for size in one.shape], one.dtype) for one in part.inputs}
    np.testing.assert_array_equal(next(iter(again.run(feeds).values())), next(iter(part.run(feeds).values())))
    made = qdqnp.golden(part, feeds, out=tmp_path / "set")
    assert qdqnp.compare(made, part.trace(feeds)).equal
    assert part.between(names[1]).inputs[0].name == model[names[1]].inputs[0].name
    pytest.importorskip("onnxruntime")
    assert qdqnp.verify(part, random=2).equal


# -- other constants ---------------------------------------------------------------------------------------------------
def rebuilt(changes: dict[str, np.ndarray[Any, Any]]) -> qdqnp.Model:
    """The network with other initializers, written by onnx alone: what `replace` is held against."""
    proto = dla()
    for tensor in proto.graph.initializer:
        if tensor.name in changes:
            tensor.CopyFrom(numpy_helper.from_array(changes[tensor.name], tensor.name))
    return qdqnp.load(proto)


def test_other_weights_are_those_of_another_file(model: qdqnp.Model) -> None:
    layer = model[convs(model)[2]]
    name = layer.inputs[1].name
    weights = np.random.default_rng(1).integers(-127, 128, layer.inputs[1].shape, np.int8)
    other = model.replace(layer.label, weight=weights)
    trace, expected = other.trace(X), rebuilt({name: weights}).trace(X)
    assert all(np.array_equal(trace[one], expected[one]) for one in expected)
    assert not np.array_equal(trace[layer.name], model.trace(X)[layer.name])
    real = layer.inputs[1].real(weights)
    assert np.array_equal(model.replace(layer.label, weight=real).trace(X)[layer.name], trace[layer.name])


def test_other_biases(model: qdqnp.Model) -> None:
    layer = model[convs(model)[2]]
    (bias,) = [one for one in layer.inputs if one.dtype == np.int32]
    codes = np.arange(bias.shape[0], dtype=np.int32) * 100 - 50
    trace, expected = model.replace(layer.label, bias=codes).trace(X), rebuilt({bias.name: codes}).trace(X)
    assert all(np.array_equal(trace[one], expected[one]) for one in expected)
    scale = np.float64(layer.inputs[0].scale or 0) * np.float64(layer.inputs[1].scale or 0)
    real = (codes * scale).astype(np.float32)
    found = model.replace(layer.label, bias=real).program().tensors
    again = model.replace(layer.label, bias=real)[layer.label]
    assert np.array_equal(found[again.inputs[2].name].const, codes)


def test_another_scale_moves_codes_and_keeps_real_values(model: qdqnp.Model) -> None:
    """Half the precision: the layer's real values are the same to a step of the new scale, and so are the readers'
    biases, whose products have the new scale."""
    layer = model[convs(model)[2]]
    old, new = model.trace(X), model.replace(layer.label, scale=2 * np.float32(layer.scale)).trace(X)
    reals = old.real(layer.name), new.real(layer.name)
    inside = np.abs(old[layer.name].astype(int)) < 120
    assert np.abs(reals[0] - reals[1])[inside].max() <= 1.01 * 2 * np.float32(layer.scale)
    assert not np.array_equal(old[layer.name], new[layer.name])
    other = model.replace(layer.label, scale=2 * np.float32(layer.scale))
    assert [one.op for one in other.layers] == [one.op for one in model.layers]
    for one, two in zip(model.layers, other.layers, strict=True):
        if one.op == "QLinearConv" and one.inputs[0].name == layer.name:
            mine, theirs = (m.program().tensors[step.inputs[2].name].const for m, step in ((model, one), (other, two)))
            assert mine is not None and theirs is not None
            assert np.abs(mine / 2 - theirs).max() <= 0.5


def test_a_zero_point_moves_every_code(model: qdqnp.Model) -> None:
    layer = model[convs(model)[2]]
    zero = int(np.float32(layer.zero_point))
    other = model.replace(layer.label, zero_point=zero + 3)
    old, new = model.trace(X)[layer.name].astype(int), other.trace(X)[layer.name].astype(int)
    inside = (old > -128) & (old < 124)
    assert inside.any() and np.array_equal(new[inside], old[inside] + 3)


def test_replaced_models_are_compared_with_onnxruntime(model: qdqnp.Model) -> None:
    pytest.importorskip("onnxruntime")
    layer = model[convs(model)[1]]
    other = model.replace(layer.label, scale=1.5 * np.float32(layer.scale))
    assert qdqnp.verify(other, random=2).equal
    assert qdqnp.diff(other, "ort,tflite").report.inputs == 1


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({}, "a weight, bias, scale or zero_point"),
        ({"weight": np.zeros((1, 2), np.int8)}, "weight: expected int8"),
        ({"weight": np.zeros(3, np.uint8)}, "weight: expected int8"),
        ({"weight": np.float32(1e9)}, "weight: expected int8"),
        ({"weight": np.full((16, 8, 3, 3), 1e9, np.float32)}, "real values that its scale holds"),
        ({"scale": 0.0}, "finite numbers above 0"),
        ({"scale": float("nan")}, "finite numbers above 0"),
        ({"scale": [1.0, 2.0]}, "finite numbers above 0"),
        ({"zero_point": 200}, "whole numbers from -128 to 127"),
        ({"zero_point": 1.5}, "whole numbers from -128 to 127"),
    ],
)
def test_constants_that_do_not_fit_are_refused(model: qdqnp.Model, arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(qdqnp.InputError, match=text):
        model.replace(convs(model)[1], **arguments)


def test_layers_without_such_a_constant_are_refused(model: qdqnp.Model) -> None:
    add = next(layer.label for layer in model.layers if layer.op == "QLinearAdd")
    with pytest.raises(qdqnp.InputError, match="a constant of the file"):
        model.replace(add, weight=np.zeros(3, np.int8))
    with pytest.raises(qdqnp.InputError, match="a layer that has one"):
        model.replace(add, bias=np.zeros(3, np.int32))
    last = model.layers[-1]
    assert last.scale is None
    with pytest.raises(qdqnp.InputError, match="a layer that makes codes"):
        model.replace(last.label, scale=1.0)


def qlinear() -> onnx.ModelProto:
    """Two QLinearConv that share their weights, and the codes between them."""
    scale, zero = numpy_helper.from_array(np.float32(0.1), "s"), numpy_helper.from_array(np.int8(0), "z")
    weights = numpy_helper.from_array(np.full((1, 1, 1, 1), 20, np.int8), "w")
    nodes = [
        helper.make_node("QLinearConv", [x, "s", "z", "w", "s", "z", "s", "z"], [y], name=y)
        for x, y in (("x", "a"), ("a", "b"))
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.INT8, (1, 1, 2, 2)) for name in ("x", "b")]
    graph = helper.make_graph(nodes, "two", ends[:1], ends[1:], [scale, zero, weights])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_shared_constants_are_replaced_for_one_layer_alone() -> None:
    model, x = qdqnp.load(qlinear()), np.array([[[[1, 2], [3, 4]]]], np.int8)
    other = model.replace("b", weight=np.full((1, 1, 1, 1), 40, np.int8))
    assert model.trace(x)["a"].tolist() == other.trace(x)["a"].tolist() == [[[[2, 4], [6, 8]]]]
    assert other.run(x)["b"].tolist() == [[[[8, 16], [24, 32]]]]
    half = model.replace("a", scale=0.05, zero_point=5).trace(x)
    assert half["a"].tolist() == [[[[9, 13], [17, 21]]]] and half["b"].tolist() == model.run(x)["b"].tolist()
