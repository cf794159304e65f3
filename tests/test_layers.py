"""A model's tensors and layers, by all their names, and what is said of a name that none goes by."""

from __future__ import annotations

import numpy as np
import pytest

import qdqnp
from qdqnp.layers import ModelTensor
from qdqnp.quant import Quant
from tests.networks import dla


@pytest.fixture(scope="module")
def model() -> qdqnp.Model:
    return qdqnp.load(dla())


def test_every_layer_is_found_by_each_of_its_names(model: qdqnp.Model) -> None:
    assert [layer.index for layer in model.layers] == list(range(len(model.program().steps)))
    for layer in model.layers:
        for name in (layer.label, layer.name, str(layer.index)):
            assert model[name].index == model.layer(name).index
        assert model[layer.name].index == layer.index


def test_a_layer_says_what_it_makes(model: qdqnp.Model) -> None:
    for layer, step in zip(model.layers, model.program().steps, strict=True):
        quant = step.outputs[0].quant
        assert (layer.op, layer.origin, layer.output_names) == (step.op, step.origin, step.output_names)
        assert layer.dtype == model.program().tensors[layer.name].dtype
        assert layer.shape == model.program().tensors[layer.name].shape
        if quant is not None and quant.per_tensor:
            assert layer.scale == float(quant.scale) and layer.zero_point == int(quant.zero_point)
    weights = next(layer for layer in model.layers if layer.op == "QLinearConv").inputs[1]
    assert isinstance(weights.scale, tuple) and len(weights.scale) == weights.shape[0]


def test_inputs_and_outputs_are_those_of_the_file(model: qdqnp.Model) -> None:
    assert [(one.name, str(one.dtype), one.shape) for one in model.inputs] == [("input", "float32", (1, 3, 16, 16))]
    assert [one.name for one in model.outputs] == list(model.graph.outputs)
    assert repr(model.inputs[0]) == "<input float32[1, 3, 16, 16]>"


def test_unknown_names_suggest(model: qdqnp.Model) -> None:
    label = next(layer.label for layer in model.layers if layer.op == "QLinearConv")
    with pytest.raises(qdqnp.InputError, match=f"Did you mean .*'{label}'"):
        model[label + "x"]
    with pytest.raises(TypeError, match="named by a text"):
        model[0]  # type: ignore[index]
    with pytest.raises(TypeError):
        list(model)  # type: ignore[call-overload]
    assert label in model and model.layer(label).name in model and "0" in model
    assert label + "x" not in model and 0 not in model and "*" not in model  # the glob fits several


def test_a_profile_has_steps_of_its_own(model: qdqnp.Model) -> None:
    assert model.layer("1", "ort-unfused").op != model.layer("1").op


def test_real_values_follow_the_slices() -> None:
    quant = Quant(np.dtype(np.int8), np.float32([0.5, 2.0]), np.array([0, 1], np.int8), axis=0)
    tensor = ModelTensor("x", np.dtype(np.int8), (2, 3), quant)
    assert tensor.real(np.array([[3, 3, 4], [3, 3, 4]], np.int8)).tolist() == [[1.5, 1.5, 2.0], [4.0, 4.0, 6.0]]
    assert repr(tensor) == "<x int8[2, 3] scale of 2 slices zero point of 2 slices>"
