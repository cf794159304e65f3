"""The whole card: ten networks, and figures that are the network's own."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import onnx
import pytest

import qdqnp
from qdqnp.errors import InputError, ProfileError
from qdqnp.evaluation.evaluate import evaluate
from qdqnp.inputs.shipped import CIFAR10, pictures_path, shipped_model
from qdqnp.inspection.layers import inspect
from qdqnp.model_card import card as card_module
from qdqnp.model_card import model_card
from qdqnp.render import model_card as render_module
from qdqnp.render.model_card import html, markdown
from tests.inspection.test_memory import chain
from tests.networks import dla
from tests.st.writing import random_network, write_folder
from tools.models.zoo_nets import NETWORKS

TEN = {
    "int8": dla(seed=1),
    "uint8": dla(seed=2, dtype=np.uint8),
    "per tensor": dla(seed=3, per_channel=False),
    "grouped": dla(seed=4, group=4),
    "large": dla(seed=5, size=32),
    "open batch": dla(seed=6, batch="N"),
    "batch of 2": dla(seed=7, batch=2),
    **{name: build(0) for name, build in NETWORKS.items()},
}


@pytest.mark.parametrize("name", TEN)
def test_a_card_of_each_network(name: str) -> None:
    card = model_card(TEN[name], device="stm32n6")
    found = inspect(qdqnp.load(TEN[name]).plan())
    assert card.macs == found["totals"]["macs"]
    assert all(need.placement is not None and need.placement.nbytes >= need.peak for need in card.memory)
    assert card.memory[0].peak == max(layer.alive for layer in card.layers)
    assert min(need.peak for need in card.memory[1::2]) <= card.memory[0].peak  # in place needs no more
    # all constants but scales and zero points, which steps hold in their operands
    flash = card.flash
    assert flash.total - flash.scales - flash.zero_points == found["totals"]["weight_bytes"]
    document = json.loads(json.dumps(card.as_json()))
    assert document["macs"] == card.macs and len(document["layers"]) == len(card.layers)
    text, page = markdown(card), html(card)
    for figure in (f"{card.parameters:,}", f"{card.macs:,}", f"{card.memory[0].peak:,}"):
        assert figure in text and figure in page
    assert page.count("<rect") == len(card.memory[0].pieces)


def test_the_layer_of_the_peak() -> None:
    """A chain with a skip connection: x -> a -> b, a + b -> y; three tensors of 20 bytes are alive at the end."""
    card = model_card(chain(5))
    assert (card.memory[0].peak, card.memory[0].peak_layer) == (60, "third")
    assert card.layers[2].tensors == ("a", "b", "y")
    assert card.memory[1].peak == 40 and card.memory[2].peak == 60  # y in the place of a or b


def test_float_ends() -> None:
    inner, whole = model_card(TEN["int8"]), model_card(TEN["int8"], float_ends=True)
    assert len(whole.layers) == len(inner.layers) + 2 and whole.operators != inner.operators
    assert whole.memory[0].peak == 5 * 3 * 16 * 16 > inner.memory[0].peak
    (given,), (got,) = inner.inputs, inner.outputs
    assert given["dtype"] == got["dtype"] == "int8" and given["in_file"] == "input" and "scale" in given
    assert [end["dtype"] for end in (*whole.inputs, *whole.outputs)] == ["float32", "float32"]


def test_sizes_that_a_run_decides() -> None:
    """A Reshape whose size is an input: shapes are not known before, and what depends on them is said to be unknown."""
    nodes = [onnx.helper.make_node("Expand", ["x", "n"], ["a"]), onnx.helper.make_node("Relu", ["a"], ["y"])]
    ends = [
        onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1]),
        onnx.helper.make_tensor_value_info("n", onnx.TensorProto.INT64, [1]),
        onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None),
    ]
    graph = onnx.helper.make_graph(nodes, "open", ends[:2], ends[2:])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    try:
        card = model_card(model, device="stm32n6")
    except qdqnp.ModelError:
        pytest.skip("such a model is refused")
    assert card.macs is None and card.memory == () and card.time is None
    assert "Unknown: the model leaves sizes open" in markdown(card) and "unknown: sizes are open" in html(card)


def test_what_the_compiler_made_stands_beside(tmp_path: Path) -> None:
    write_folder(tmp_path / "st", random_network(np.random.default_rng(0)), False)
    card = model_card(TEN["int8"], st=[tmp_path / "st"])
    assert card.compiled and "What ST's compiler uses" in markdown(card)
    constants = sum(use.parameters for use in card.compiled)
    assert f"constants {constants:,} bytes" in markdown(card) and f"constants {constants:,} bytes" in html(card)


def test_what_is_refused() -> None:
    with pytest.raises(InputError, match="no such device"):
        model_card(TEN["int8"], device="stm32f4")
    with pytest.raises(ProfileError):
        model_card(TEN["residual"], profile="neural-art")
    assert model_card(TEN["residual"], profile="neural-art", host_float=True, device="stm32n6").time is not None


def test_the_same_card_each_time() -> None:
    first, again = (model_card(TEN["grouped"], device="stm32n6") for _ in range(2))
    assert first.as_json() == again.as_json() and html(first) == html(again) and markdown(first) == markdown(again)


def test_the_estimate_is_called_one() -> None:
    text = markdown(model_card(TEN["int8"], device="stm32n6"))
    assert "An estimate, not a measurement" in text and text.count("It assumes that") == 5
    assert re.search(r"## Time on STM32N6570-DK: an estimate", text)


def test_the_accuracy_is_that_of_eval() -> None:
    network, data = shipped_model("dla46_c_int8"), pictures_path()
    card = model_card(network, data=data, preprocessing=CIFAR10)
    found = evaluate({"ort": network}, data, preprocessing=CIFAR10)
    assert card.accuracy == found and found.columns[0].top1 == 35
    text, page = markdown(card), html(card)
    assert "## Accuracy" in text and text.count("87.50") == page.count("87.50") >= 1
    assert json.loads(json.dumps(card.as_json()))["accuracy"]["columns"][0]["top1"]["count"] == 35
    assert model_card(network).accuracy is None and "## Accuracy" not in markdown(model_card(network))


def test_an_accuracy_without_data_or_file_is_refused() -> None:
    network = shipped_model("dla46_c_int8")
    with pytest.raises(InputError, match="nothing to evaluate"):
        model_card(network, preprocessing=CIFAR10)
    with pytest.raises(InputError, match="whole model"):
        model_card(qdqnp.load(network), data=pictures_path())


def test_many_tensors_are_counted_and_not_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    card = model_card(TEN["int8"])
    assert all(len(layer.tensors) == min(layer.count, 16) for layer in card.layers)
    monkeypatch.setattr(card_module, "MOST_TO_LIST", 10)
    short = model_card(TEN["int8"])
    assert [layer.alive for layer in short.layers] == [layer.alive for layer in card.layers]
    assert not any(layer.tensors for layer in short.layers)
    assert "tensors are alive during layer" in markdown(short)
    monkeypatch.setattr(render_module, "MOST_ROWS", 3)
    assert f"and {len(card.layers) - 3} more layers" in markdown(card) and html(card).count("more layers") == 1
