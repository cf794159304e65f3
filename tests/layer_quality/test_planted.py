"""The layer that was quantized badly on purpose is the first row; tools/verify/quality_table.py does so at length."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import qdqnp
from qdqnp.layer_quality import quality
from tests.layer_quality.nets import zoo
from tools.models.plant import KINDS, Planting, planted
from tools.models.quantize import Recipe

KEPT = Recipe(keep_activations=True)


def constants(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("network", "recipe"), [("mlp", Recipe()), ("residual", KEPT)], ids=["mlp", "residual keep"])
def test_it_is_found(network: str, recipe: Recipe, kind: str) -> None:
    real, codes, inputs = zoo(network, 1, recipe)
    model = onnx.load_from_string(codes)
    layers = len(Planting(model).layers())
    for number in np.random.default_rng(len(kind)).choice(layers, 2, replace=False):
        tensor, worse = planted(model, int(number), kind)
        report = quality(real, worse.SerializeToString(), inputs[:4])
        assert report.rows[0].tensor == tensor and report.rows[0].findings, (number, report.verdict())
        assert report.rows[0].label in report.verdict()


def test_healthy_networks_have_no_findings() -> None:
    for network, recipe in (("mlp", Recipe()), ("residual", KEPT)):
        real, codes, inputs = zoo(network, 1, recipe)
        assert not quality(real, codes, inputs).bad


def test_nothing_but_the_layer_is_changed() -> None:
    _, codes, inputs = zoo("mlp", 1)
    model = onnx.load_from_string(codes)
    before = constants(model)
    for kind in KINDS:
        tensor, worse = planted(model, 1, kind)
        changed = {name for name, array in constants(worse).items() if not np.array_equal(array, before[name])}
        assert 0 < len(changed) <= 4, changed
        feeds = {"input": inputs[0]}
        first = [qdqnp.load(each.SerializeToString()).trace(feeds) for each in (model, worse)]
        made = list(first[0])
        for name in made[: made.index(tensor)]:
            assert np.array_equal(first[0][name], first[1][name]), name
        assert not np.array_equal(first[0][tensor], first[1][tensor])
    assert constants(model).keys() == before.keys()
