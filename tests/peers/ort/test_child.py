"""ONNX Runtime in a process of its own: the same answers, and what kills it is an error."""

from __future__ import annotations

import gc
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper

from qdqnp.cli import cli
from qdqnp.errors import PeerError
from qdqnp.inputs.random_inputs import random_feeds
from qdqnp.model import load
from qdqnp.peers.ort.child import Child
from qdqnp.peers.ort.peer import OrtPeer
from qdqnp.peers.ort.session import OFF, Here, Sessions
from tests.networks import dla


def adder(kind: int = TensorProto.FLOAT) -> bytes:
    """y = x + x."""
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "x"], ["y"])],
        "adder",
        [helper.make_tensor_value_info("x", kind, ["N", 2])],
        [helper.make_tensor_value_info("y", kind, ["N", 2])],
    )
    return bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    )


def test_a_child_gives_the_same_bits() -> None:
    proto = dla()
    feeds = next(iter(random_feeds(load(proto).program(), 1, seed=3)))
    here, there = OrtPeer(proto), OrtPeer(proto, sessions=Child())
    ours, theirs = here.tensors(feeds), there.tensors(feeds)
    assert list(ours) == list(theirs) and len(ours) > 30
    for name, array in ours.items():
        assert (array.dtype, array.shape, array.tobytes()) == (
            theirs[name].dtype,
            theirs[name].shape,
            theirs[name].tobytes(),
        )
    assert here.fused == there.fused and here.config == there.config


@pytest.mark.parametrize("shape", [(0, 2), (1, 2), (3, 2)])
def test_arrays_of_any_size_pass(shape: tuple[int, ...]) -> None:
    x = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    child = Child()
    y = child.run(child.open(adder(), OFF, {}), ["y"], {"x": x})[0]
    assert y.shape == shape and np.array_equal(y, x + x)


def test_what_onnxruntime_refuses_it_refuses_in_the_same_words() -> None:
    said = []
    for sessions in (Here(), Child()):
        with pytest.raises(PeerError) as caught:
            sessions.open(b"no model", OFF, {})
        said.append(str(caught.value))
        session = sessions.open(adder(), OFF, {})
        with pytest.raises(PeerError) as caught:
            sessions.run(session, ["y"], {"x": np.zeros((1, 3), np.float32)})
        said.append(str(caught.value))
        assert sessions.run(session, ["y"], {"x": np.ones((1, 2), np.float32)})[0].tolist() == [[2, 2]]
    assert said[:2] == said[2:]


DEATHS = {
    "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)": "signal SIGSEGV",
    "import os; os.write(2, b'first\\nlast words\\n'); os.abort()": "signal SIGABRT: last words",
    "raise SystemExit(7)": "exit code 7",
    "import sys; sys.stdin.readline(); print('{'); sys.stdout.flush(); raise SystemExit(3)": "exit code 3",
    'import sys; sys.stdin.readline(); print(\'{"arrays": [["|O", [9]]]}\'); print("x" * 99)': "exit code 0",
}


@pytest.mark.skipif(sys.platform == "win32", reason="processes end by signals")
@pytest.mark.parametrize("code", DEATHS)
def test_a_child_that_dies_is_an_error(code: str) -> None:
    child = Child(code)
    with pytest.raises(PeerError, match="ended while it opened the model") as caught:
        child.open(adder(), OFF, {})
    assert DEATHS[code] in str(caught.value) and len(str(caught.value).splitlines()) == 2


def test_a_child_that_talks_nonsense_and_stays_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qdqnp.peers.ort.child.PATIENCE", 0.1)
    child = Child("import sys, time; sys.stdin.readline(); print('[]', flush=True); time.sleep(600)")
    with pytest.raises(PeerError, match="an answer"):
        child.open(adder(), OFF, {})


def test_a_child_ends_with_its_object() -> None:
    child = Child()
    child.open(adder(), OFF, {})
    process = child._process
    del child
    gc.collect()
    for _ in range(1200):
        if process.poll() is not None:
            break
        time.sleep(0.05)
    assert process.poll() is not None


@pytest.mark.skipif(sys.platform == "win32", reason="processes end by signals")
def test_verify_survives_a_model_that_kills_onnxruntime(tmp_path: Path) -> None:
    """QLinearSigmoid without its optional last zero point, on which onnxruntime 1.32 aborts."""
    constants = {"s": np.float32(0.1), "z": np.int8(0)}
    graph = helper.make_graph(
        [helper.make_node("QLinearSigmoid", ["x", "s", "z", "s"], ["y"], domain="com.microsoft")],
        "killer",
        [helper.make_tensor_value_info("x", TensorProto.INT8, [2, 3])],
        [helper.make_tensor_value_info("y", TensorProto.INT8, [2, 3])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), tmp_path / "killer.onnx")
    result = CliRunner().invoke(cli, ["verify", str(tmp_path / "killer.onnx")])
    assert result.exit_code == 2 and "Traceback" not in result.output
    assert "ONNX Runtime ended while it opened the model" in result.stderr and "signal SIGABRT" in result.stderr


@pytest.mark.parametrize(
    "kind",
    [
        TensorProto.BFLOAT16,
        *(TensorProto.FLOAT8E4M3FN, TensorProto.FLOAT8E4M3FNUZ, TensorProto.FLOAT8E5M2, TensorProto.FLOAT8E5M2FNUZ),
        *(TensorProto.INT4, TensorProto.UINT4, TensorProto.INT2, TensorProto.UINT2),
    ],
)
@pytest.mark.parametrize("sessions", [Here, Child])
def test_tensors_of_types_that_numpy_cannot_name(kind: int, sessions: type[Sessions]) -> None:
    """onnxruntime gives no array of them; an odd count of elements ends within a byte."""
    graph = helper.make_graph(
        [helper.make_node("QuantizeLinear", ["x", "s", "z"], ["y"])]
        if kind != TensorProto.BFLOAT16
        else [helper.make_node("Cast", ["x"], ["y"], to=kind)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [3, 3])],
        [helper.make_tensor_value_info("y", kind, [3, 3])],
        [helper.make_tensor("s", TensorProto.FLOAT, [], [0.5]), helper.make_tensor("z", kind, [], [0])]
        if kind != TensorProto.BFLOAT16
        else [],
    )
    opset = helper.make_opsetid("", 25 if kind in (TensorProto.INT2, TensorProto.UINT2) else 21)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=11)
    x = np.linspace(-3, 3, 9, dtype=np.float32).reshape(3, 3)
    there = sessions()
    (found,) = there.run(there.open(model.SerializeToString(), OFF, {}), ["y"], {"x": x})
    wanted = load(model).run({"x": x}, profile="ort-unfused")["y"]
    assert found.dtype == wanted.dtype and found.shape == (3, 3)
    assert found.tobytes() == wanted.tobytes() and len(set(found.reshape(-1).tolist())) > 2
