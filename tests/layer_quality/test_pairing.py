"""Which tensor stands for which: by name, by layer, by structure, by a mapping, and what is not guessed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import qdqnp
from qdqnp.errors import InputError
from qdqnp.inputs.shipped import shipped_model
from qdqnp.layer_quality.layers import OPEN, Connections, kind_of
from qdqnp.layer_quality.pairing import Matcher, TensorPairing
from tests.layer_quality.nets import float_net, int8_net, zoo
from tools.models.exporters.nets import NETWORKS
from tools.models.exporters.styles import STYLES
from tools.models.quantize import Recipe

Source = bytes | onnx.ModelProto


def loaded(model: Source) -> qdqnp.Model:
    return qdqnp.load(model if isinstance(model, bytes) else model.SerializeToString())


def paired(
    real: Source, codes: Source, mapping: Mapping[str, str] | None = None, profile: str = "ort"
) -> TensorPairing:
    left, right = loaded(real), loaded(codes)
    wirings = (
        Connections.of(left.program("ort-unfused"), left.graph),
        Connections.of(right.program(profile), right.graph),
    )
    return Matcher(*wirings, right.graph).pair(mapping or {})


NAMES = {"x_q": "x", "r1_q": "r1", "c2_q": "c2", "a_q": "a", "g_q": "g", "f_q": "f", "y_q": "y"}


def test_names_tell() -> None:
    found = paired(float_net(), int8_net())
    assert {pair.codes: pair.real for pair in found.pairs} == NAMES
    assert {pair.told_by for pair in found.pairs} == {"name"}
    assert not found.unmatched and not found.unmatched_float


def test_structure_tells_where_no_name_does() -> None:
    found = paired(float_net(lambda name: f"other_{name}"), int8_net())
    real = {pair.codes: pair.real for pair in found.pairs}
    assert real == {key: name if name in "xy" else f"other_{name}" for key, name in NAMES.items()}
    assert Counter(pair.told_by for pair in found.pairs) == {"structure": 5, "name": 2}


def test_a_name_that_means_another_layer_does_not_tell() -> None:
    """Numbers in place of names, as exporters give them: c2 of the one is r1 of the other."""
    swapped = {"c2": "r1", "r1": "c2"}
    found = paired(float_net(lambda name: swapped.get(name, name)), int8_net())
    real = {pair.codes: pair.real for pair in found.pairs}
    assert (real["r1_q"], real["c2_q"]) == ("c2", "r1")
    assert {pair.codes for pair in found.pairs if pair.told_by == "structure"} == {"r1_q", "c2_q"}


def twins(names: tuple[str, str], quantized: bool) -> onnx.ModelProto:
    """Two convolutions of the same input, added up: nothing but names tells them apart."""
    rng = np.random.default_rng(0)
    constants = {"s": np.float32(0.05), "z": np.int8(0)}
    nodes, read = [], "x"
    if quantized:
        nodes.append(helper.make_node("QuantizeLinear", ["x", "s", "z"], ["x_q"]))
        nodes.append(helper.make_node("DequantizeLinear", ["x_q", "s", "z"], ["x_d"]))
        read = "x_d"
    made = []
    for name in names:
        weights = rng.standard_normal((2, 2, 1, 1)).astype(np.float32)
        constants[f"{name}_w"] = weights if not quantized else np.rint(weights * 40).astype(np.int8)
        factor = f"{name}_w"
        if quantized:
            constants[f"{name}_s"] = np.float32(1 / 40)
            nodes.append(helper.make_node("DequantizeLinear", [factor, f"{name}_s", "z"], [f"{name}_wd"]))
            factor = f"{name}_wd"
        nodes.append(helper.make_node("Conv", [read, factor], [name], f"{name}_node"))
        made.append(name)
        if quantized:
            nodes.append(helper.make_node("QuantizeLinear", [name, "s", "z"], [f"{name}_q"]))
            nodes.append(helper.make_node("DequantizeLinear", [f"{name}_q", "s", "z"], [f"{name}_d"]))
            made[-1] = f"{name}_d"
    nodes.append(helper.make_node("Add", made, ["y"]))
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2, 3, 3]) for name in ("x", "y")]
    tensors = [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "twins", values[:1], values[1:], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def test_twins_are_not_guessed_and_a_mapping_tells_them_apart() -> None:
    real, codes = twins(("p", "q"), False), twins(("m", "n"), True)
    found = paired(real, codes)
    assert set(found.unmatched) == {"m_q", "n_q"} and sorted(found.unmatched_float) == ["p", "q"]
    mapped = paired(real, codes, {"m_q": "p", "n_node": "q_node"})  # a tensor, and a layer
    assert {pair.codes: (pair.real, pair.told_by) for pair in mapped.pairs} == {
        "x_q": ("x", "name"),
        "m_q": ("p", "mapping"),
        "n_q": ("q", "mapping"),
    }
    assert not mapped.unmatched and not mapped.unmatched_float


@pytest.mark.parametrize(
    ("mapping", "text"),
    [
        ({"nobody": "p"}, "mapping of 'nobody'"),
        ({"m_q": "nobody"}, "'nobody'"),
        ({"r1_q": "y"}, "a tensor of the shape"),
    ],
)
def test_a_mapping_that_does_not_fit_is_refused(mapping: dict[str, str], text: str) -> None:
    models = (float_net(), int8_net()) if "r1_q" in mapping else (twins(("p", "q"), False), twins(("m", "n"), True))
    with pytest.raises(InputError, match=text):
        paired(*models, mapping)


def test_a_kept_relu_is_compared_behind_itself() -> None:
    found = {pair.codes: pair for pair in paired(float_net(), int8_net(kept_relu=True)).pairs}
    assert found["c1_q"].real == "r1" and found["c1_q"].clamp == (0.0, np.inf)
    assert found["r1_q"].real == "r1" and found["r1_q"].clamp == OPEN


@pytest.mark.parametrize("recipe", [Recipe(), Recipe("uint8", format="qoperator"), Recipe(keep_activations=True)])
@pytest.mark.parametrize("network", ["residual", "mlp"])
def test_every_form_of_onnxruntimes_quantizer(network: str, recipe: Recipe) -> None:
    real, codes, _ = zoo(network, 0, recipe)
    found = paired(real, codes)
    assert found.pairs and not found.unmatched and not found.unmatched_float


@pytest.mark.parametrize("style", ["qcdq", "torch_eager", "channels_last", "powers_of_two"])
def test_other_tools(style: str) -> None:
    model = NETWORKS["mlp"](0)
    found = paired(model, STYLES[style](model))
    assert not found.unmatched and not found.unmatched_float


def test_weights_alone_are_measured_too() -> None:
    model = NETWORKS["mlp"](0)
    found = paired(model, STYLES["weight_only"](model))
    assert len(found.pairs) == 5 and not found.unmatched_float


def test_batch_normalization_is_part_of_the_layer() -> None:
    found = paired(*(shipped_model(f"dla46_c_{kind}").read_bytes() for kind in ("float", "int8")))
    assert len(found.pairs) == 74 and not found.unmatched and not found.unmatched_float


def test_kinds() -> None:
    operators = ("QLinearConv", "QGemm", "QLinearGlobalAveragePool", "QuantizeLinear", "Quux", "FusedConv")
    assert [kind_of(op) for op in operators] == ["Conv", "Gemm", "GlobalAveragePool", "QuantizeLinear", "Quux", "Conv"]
