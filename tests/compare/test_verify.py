"""verify finds what differs, where it starts, and never calls an empty comparison equal."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import qdqnp
from qdqnp.compare.metrics import difference
from qdqnp.compare.verify import verify
from qdqnp.errors import PeerError
from qdqnp.sources import ort
from qdqnp.sources.random_inputs import random_feeds
from tests.networks import dla


def mutated(proto: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """The model with one weight code changed."""
    other = onnx.ModelProto()
    other.CopyFrom(proto)
    (tensor,) = [t for t in other.graph.initializer if t.name == name]
    array = numpy_helper.to_array(tensor).copy()
    array.reshape(-1)[0] = -array.reshape(-1)[0] or 1
    tensor.CopyFrom(numpy_helper.from_array(array, name))
    return other


def test_one_changed_weight_is_found_at_its_layer() -> None:
    proto = dla(seed=5)
    model = qdqnp.load(proto)
    steps = [step for step in model.program().steps if step.op == "QLinearConv"]
    middle = steps[len(steps) // 2]
    peer = ort.OrtPeer(mutated(proto, middle.inputs[1].name))
    report = verify(model, peer, random_feeds(model.program(), 2, seed=0))
    assert not report.equal
    assert report.first_difference.name == middle.output_names[0]
    assert f"first at '{middle.output_names[0]}'" in report.verdict()
    before = model.program().steps.index(middle)
    assert all(layer.equal for layer in report.layers[:before])
    assert report.as_json()["differing"] == report.differing > 0


def test_no_input_is_not_equal() -> None:
    proto = dla()
    model = qdqnp.load(proto)
    report = verify(model, ort.OrtPeer(proto), [])
    assert not report.equal and "nothing was compared" in report.verdict()


def test_float_tensors_are_compared_but_carry_no_promise() -> None:
    weights = np.random.default_rng(0).standard_normal((4, 3, 3, 3), dtype=np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1]), helper.make_node("Relu", ["y"], ["z"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in ("y", "z")],
        [numpy_helper.from_array(weights, "w")],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    model = qdqnp.load(proto)
    report = verify(model, ort.OrtPeer(proto), random_feeds(model.program(), 1, seed=0))
    assert [layer.promise for layer in report.layers] == [
        "float32 Conv 'Conv(y)': its order of sums is not specified"
    ] * 2


def test_a_tensor_that_onnxruntime_lacks_is_no_success() -> None:
    proto = dla()
    model = qdqnp.load(proto)
    peer = ort.OrtPeer(proto)
    name = model.program().steps[3].output_names[0]
    tensors = peer.tensors
    peer.tensors = lambda feeds: {key: value for key, value in tensors(feeds).items() if key != name}
    report = verify(model, peer, random_feeds(model.program(), 1, seed=0))
    assert not report.equal
    assert "ONNX Runtime's graph has no such tensor" in report.verdict()


def test_an_instrumented_graph_that_computes_otherwise_is_refused() -> None:
    proto = dla()
    model = qdqnp.load(proto)
    peer, other = ort.OrtPeer(proto), ort.OrtPeer(dla(seed=1))
    peer._plain, peer._output_names = other._plain, other._output_names
    name = model.program().outputs[0]
    assert other._output_names == [name]
    with pytest.raises(PeerError, match="instrumented run is not its plain run"):
        list(map(peer.tensors, random_feeds(model.program(), 1, seed=0)))


def test_a_missing_onnxruntime_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(PeerError, match=r'pip install "qdqnp\[ort\]"'):
        ort.import_onnxruntime()


# -- metrics ------------------------------------------------------------------------------------------------------
def test_difference_counts_bits_not_values() -> None:
    zeros = np.array([0.0, -0.0], np.float32)
    assert difference(zeros, zeros[::-1]).differing == 2
    nans = np.array([np.nan], np.float32)
    assert difference(nans, nans.copy()).equal
    codes = np.array([[1, 2], [3, -128]], np.int8)
    found = difference(codes, np.array([[1, 2], [4, 127]], np.int8))
    assert (found.elements, found.differing, found.largest, found.first) == (4, 2, 255, (1, 0))


def test_difference_of_other_types_and_shapes_says_so() -> None:
    a = np.zeros((2, 2), np.int8)
    assert difference(a, a.astype(np.uint8)).note == "int8[2, 2] against uint8[2, 2]"
    assert not difference(a, a.reshape(4)).equal
