"""`qdqnp.backend` speaks ONNX's backend interface; ONNX Runtime's own backend is its oracle."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime.backend as peer
import pytest
from onnx import TensorProto, helper
from onnx.backend.base import Backend, BackendRep

import qdqnp
from qdqnp import backend
from qdqnp.errors import InputError, ModelError, ProfileError
from tests.networks import dla


@pytest.fixture(scope="module")
def network() -> onnx.ModelProto:
    model = dla(size=8)
    (output,) = model.graph.output
    for size in qdqnp.load(model).graph.values[output.name].shape:  # which onnx's checker asks for
        output.type.tensor_type.shape.dim.add(dim_value=size)
    return model


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(1, 3, 8, 8)).astype(np.float32)


def model_of(op: str, names: list[str], domain: str = "", **attributes: object) -> onnx.ModelProto:
    node = helper.make_node(op, names, ["y"], domain=domain, **attributes)
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in names]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    graph = helper.make_graph([node], "g", inputs, outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def test_it_is_a_backend_of_onnx(
    network: onnx.ModelProto, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = "onnxruntime.backend.backend.OnnxRuntimeBackend.allowReleasedOpsetsOnly"
    monkeypatch.setattr(released, False)  # else it skips the test
    assert issubclass(backend.QdqnpBackend, Backend)
    prepared = backend.prepare(network)
    assert isinstance(prepared, BackendRep)
    outputs = prepared.run([picture])
    assert isinstance(outputs, tuple) and len(outputs) == 1
    assert outputs[0] is outputs[network.graph.output[0].name]
    expected = peer.prepare(network).run([picture])
    assert np.array_equal(outputs[0], expected[0])


def test_inputs_are_taken_in_order_by_name_and_alone(network: onnx.ModelProto, picture: np.ndarray) -> None:
    prepared = backend.prepare(network)
    whole = prepared.run([picture])[0]
    assert np.array_equal(prepared.run({"input": picture})[0], whole)
    assert np.array_equal(prepared.run(picture)[0], whole)
    two = backend.prepare(model_of("Sub", ["a", "b"]))
    a, b = np.float32([5, 7]), np.float32([1, 2])
    assert two.run([a, b])[0].tolist() == [4, 5]
    assert two.run({"b": a, "a": b})[0].tolist() == [-4, -5]
    with pytest.raises(InputError, match="expected 2, got 1"):
        two.run([a])


def test_the_profile_is_chosen_when_a_model_is_prepared(network: onnx.ModelProto, picture: np.ndarray) -> None:
    model = qdqnp.load(network)
    for profile in ("ort", "tflite"):
        found = backend.prepare(network, profile=profile).run([picture])[0]
        assert np.array_equal(found, model.run(picture, profile=profile)[network.graph.output[0].name])
    assert backend.is_compatible(model_of("Exp", ["a"]))
    assert not backend.is_compatible(model_of("Exp", ["a"]), profile="tflite")
    with pytest.raises(ProfileError):
        backend.prepare(model_of("Exp", ["a"]), profile="tflite")


def test_what_qdqnp_does_not_have_is_not_compatible_and_says_why() -> None:
    known = model_of("Relu", ["a"])
    assert backend.is_compatible(known) == peer.is_compatible(known) == True  # noqa: E712
    text = model_of("StringNormalizer", ["a"])
    assert not backend.is_compatible(text)
    with pytest.raises(ModelError, match="StringNormalizer"):
        backend.run_model(text, [np.float32([1, 2])])


def test_the_device_is_the_cpu(network: onnx.ModelProto) -> None:
    assert backend.supports_device("CPU") and backend.supports_device("CPU:0")
    assert not backend.supports_device("CUDA") and not backend.supports_device("CPUX")
    assert not backend.is_compatible(network, "CUDA:0")
    with pytest.raises(InputError, match="expected 'CPU', got 'CUDA'"):
        backend.prepare(network, "CUDA")


def test_unknown_keywords_are_refused(network: onnx.ModelProto, picture: np.ndarray) -> None:
    with pytest.raises(TypeError, match="'profil'"):
        backend.prepare(network, profil="tflite")
    with pytest.raises(TypeError, match=r"run\(\).*'codes'"):
        backend.prepare(network).run([picture], codes=True)


def test_a_node_runs_alone() -> None:
    a, b = np.float32([[1, -2], [3, 4]]), np.float32([[2, 0], [1, 1]])
    node = helper.make_node("MatMul", ["a", "b"], ["c"])
    assert np.array_equal(backend.run_node(node, [a, b])["c"], a @ b)
    assert np.array_equal(backend.run_node(node, {"b": b, "a": a})[0], a @ b)
    with pytest.raises(InputError, match="input 'b'"):
        backend.run_node(node, {"a": a})


def test_the_same_tensor_twice_is_one_input_of_a_node() -> None:
    node = helper.make_node("Mul", ["a", "a"], ["c"])
    assert backend.run_node(node, [np.float32([3, 4])])[0].tolist() == [9, 16]


def test_inputs_of_a_node_that_decide_sizes_are_constants() -> None:
    node = helper.make_node("Reshape", ["x", "shape"], ["y"])
    assert backend.run_node(node, [np.zeros((2, 3), np.float32), np.int64([3, -1])])[0].shape == (3, 2)
    topk = helper.make_node("TopK", ["x", "k"], ["v", "i"], axis=0)
    values, indices = backend.run_node(topk, [np.float32([1, 5, 3]), np.int64([2])])
    assert values.tolist() == [5, 3] and indices.tolist() == [1, 2]


def test_absent_inputs_of_a_node_are_left_out() -> None:
    node = helper.make_node("Clip", ["x", "", "high"], ["y"])
    assert backend.run_node(node, [np.float32([-5, 1, 9]), np.float32(2)])[0].tolist() == [-5, 1, 2]


def test_opset_version_and_outputs_info_are_heeded() -> None:
    node = helper.make_node("ReduceSum", ["x"], ["y"], axes=[0], keepdims=0)
    x = np.float32([[1, 2], [3, 4]])
    assert backend.run_node(node, [x], opset_version=11)[0].tolist() == [4, 6]
    with pytest.raises(ModelError, match="axes"):
        backend.run_node(node, [x])  # the newest opset has axes as an input
    backend.run_node(node, [x], outputs_info=[(np.float32, (2,))], opset_version=11)
    with pytest.raises(ModelError, match=r"\[3\]"):
        backend.run_node(node, [x], outputs_info=[(np.float32, (3,))], opset_version=11)


def test_operators_of_the_user_s_may_be_given() -> None:
    kind = type("Twice", (), {"op_domain": "com.example", "_run": lambda self, x: x + x})
    node = helper.make_node("Twice", ["x"], ["y"], domain="com.example")
    assert backend.run_node(node, [np.float32([1, 2])], operators=[kind])[0].tolist() == [2, 4]
    with pytest.raises(ModelError, match="Twice"):
        backend.run_node(node, [np.float32([1, 2])])


def test_nodes_of_other_domains_run_alone() -> None:
    scale, zero = np.float32(0.5), np.int8(0)
    node = helper.make_node("QLinearAdd", ["a", "s", "z", "b", "s", "z", "s", "z"], ["y"], domain="com.microsoft")
    found = backend.run_node(node, [np.int8([1, 127]), scale, zero, np.int8([2, 1])])
    assert found[0].tolist() == [3, 127]
