"""The exporters' zoo: each style is what it says, and ONNX Runtime computes about what the float network computes."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from tools.models.exporters.nets import NETWORKS
from tools.models.exporters.styles import CLIPPED, OF_MATMUL, STYLES
from tools.models.make_exporters import made

MODELS = dict(made(("mlp", "neck")))


def constants(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def nodes(model: onnx.ModelProto, op: str) -> list[onnx.NodeProto]:
    return [node for node in model.graph.node if node.op_type == op]


def run(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return session.run(None, {model.graph.input[0].name: x})[0]


def test_every_network_in_every_style_but_those_of_matmul_where_there_is_none() -> None:
    assert set(MODELS) == {f"mlp_{style}" for style in STYLES} | {
        f"neck_{style}" for style in STYLES if style not in OF_MATMUL
    }


@pytest.mark.parametrize("name", MODELS)
def test_quantized_networks_stay_close_to_the_float_one(name: str) -> None:
    float_model = NETWORKS[name.split("_")[0]](0)
    shape = [dim.dim_value for dim in float_model.graph.input[0].type.tensor_type.shape.dim]
    x = np.random.default_rng(7).standard_normal(shape, dtype=np.float32)
    wanted = run(float_model, x)
    error = np.abs(run(MODELS[name], x) - wanted).mean() / wanted.std()
    assert 0 < error < 0.3


@pytest.mark.parametrize("network", ["mlp", "neck"])
def test_powers_of_two(network: str) -> None:
    model = MODELS[f"{network}_powers_of_two"]
    values, used = constants(model), [node.input[1] for node in nodes(model, "DequantizeLinear")]
    assert used and all((np.frexp(values[name])[0] == 0.5).all() for name in used)


@pytest.mark.parametrize("network", ["mlp", "neck"])
def test_biases_have_the_scale_of_their_sums(network: str) -> None:
    for style in ("powers_of_two", "qcdq"):
        model = MODELS[f"{network}_{style}"]
        values, makers = constants(model), {node.output[0]: node for node in nodes(model, "DequantizeLinear")}
        products = [node for op in ("Conv", "Gemm") for node in nodes(model, op)]
        for node in products:
            x, w, b = (values[makers[name].input[1]] for name in node.input)
            assert np.array_equal(b, x * w)
        assert products


@pytest.mark.parametrize("network", ["mlp", "neck"])
def test_codes_are_clipped(network: str) -> None:
    model = MODELS[f"{network}_qcdq"]
    values, clips = constants(model), {node.input[0]: node for node in nodes(model, "Clip")}
    quantized = nodes(model, "QuantizeLinear")
    assert quantized and all(node.output[0] in clips for node in quantized)
    assert {tuple(int(values[name]) for name in node.input[1:]) for node in clips.values()} == {CLIPPED}


@pytest.mark.parametrize("network", ["mlp", "neck"])
def test_zero_points_are_computed_and_codes_are_cast(network: str) -> None:
    model = MODELS[f"{network}_torch_eager"]
    makers = {node.output[0]: node.op_type for node in model.graph.node}
    assert all(makers[node.input[2]] == "Identity" for node in nodes(model, "QuantizeLinear"))
    assert {makers.get(node.input[0], "") for node in nodes(model, "DequantizeLinear")} == {"Cast", ""}


def test_inputs_alone_are_quantized() -> None:
    model = MODELS["neck_inputs_only"]
    makers = {node.output[0]: node.op_type for node in model.graph.node}
    for conv in nodes(model, "Conv"):
        assert [makers.get(name) for name in conv.input] == ["DequantizeLinear", "DequantizeLinear", None]
    assert "Conv" in {makers[node.input[0]] for node in model.graph.node if node.op_type == "Sigmoid"}


def test_element_types() -> None:
    kinds = {style: {t.data_type for t in MODELS[f"mlp_{style}"].graph.initializer} for style in STYLES}
    assert TensorProto.UINT16 in kinds["16_bit"]
    assert TensorProto.INT4 in kinds["int4"] & kinds["blocked_int4"]
    assert TensorProto.UINT8 in kinds["nbits"] & kinds["dynamic"]


def test_blocks() -> None:
    (first, *_) = nodes(MODELS["mlp_blocked_int4"], "DequantizeLinear")
    given = {attribute.name: helper.get_attribute_value(attribute) for attribute in first.attribute}
    assert given == {"axis": 0, "block_size": 16}
