"""InferenceSession beside onnxruntime's: what it says, what it computes, and how it refuses."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import qdqnp
import qdqnp.ort
from qdqnp.inputs.shipped import model_names, shipped_model
from tests.networks import dla

X = np.random.default_rng(0).standard_normal((1, 3, 16, 16), dtype=np.float32)


def types() -> onnx.ModelProto:
    """An Identity of each of several element types, with sizes that are open or have a name."""
    kinds = [TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.INT8, TensorProto.UINT8]
    kinds += [TensorProto.INT32, TensorProto.INT64, TensorProto.BOOL]
    shapes: list[list[int | str | None]] = [[1, 2], ["N", 2], [None, 2], [3], [], ["N"], [2, "M", 2], [1]]
    nodes, inputs, outputs = [], [], []
    for number, (kind, shape) in enumerate(zip(kinds, shapes, strict=True)):
        nodes.append(helper.make_node("Identity", [f"x{number}"], [f"y{number}"]))
        inputs.append(helper.make_tensor_value_info(f"x{number}", kind, shape))
        outputs.append(helper.make_tensor_value_info(f"y{number}", kind, shape))
    graph = helper.make_graph(nodes, "types", inputs, outputs, doc_string="of the graph")
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    made.producer_name, made.domain, made.model_version, made.doc_string = "a test", "org.example", 7, "of the model"
    helper.set_model_props(made, {"key": "value"})
    return made


def described(session: Any) -> list[tuple[str, list[Any], str, str]]:
    given = (*session.get_inputs(), *session.get_outputs(), *session.get_overridable_initializers())
    return [(one.name, one.shape, one.type, str(one)) for one in given]


META = ("producer_name", "graph_name", "domain", "description", "graph_description", "version", "custom_metadata_map")


def test_a_session_says_what_onnxruntimes_says() -> None:
    ort = pytest.importorskip("onnxruntime")
    sources = [types().SerializeToString(), *(shipped_model(name).read_bytes() for name in model_names())]
    for source in sources:
        theirs, mine = ort.InferenceSession(source), qdqnp.InferenceSession(source)
        assert described(mine) == described(theirs)
        meta = [[getattr(session.get_modelmeta(), name) for name in META] for session in (mine, theirs)]
        if meta[0][5] != 0:  # of a file without a version onnxruntime says 2^63 - 1
            assert meta[0] == meta[1]
        assert meta[0][:5] == meta[1][:5] and meta[0][6] == meta[1][6]


def test_a_session_computes_what_the_model_computes() -> None:
    model = qdqnp.load(dla())
    (name,) = model.graph.outputs
    session = qdqnp.InferenceSession(dla().SerializeToString(), profile="tflite")
    (found,) = session.run(None, {"input": X})
    np.testing.assert_array_equal(found, model.run(X, profile="tflite")[name])
    assert not np.array_equal(found, qdqnp.InferenceSession(model).run([name], {"input": X}, None)[0])
    assert session.get_provider_options() == {"QdqnpExecutionProvider": {"profile": "tflite"}}
    assert "tflite" in repr(session) and session.get_providers() == qdqnp.ort.get_available_providers()


def test_outputs_come_in_the_order_that_is_asked_for() -> None:
    session = qdqnp.InferenceSession(types())
    feeds = {
        one.name: np.ones([size if isinstance(size, int) else 2 for size in one.shape], value.dtype)
        for one, value in ((one, session._model.graph.values[one.name]) for one in session.get_inputs())
    }
    found = session.run(["y5", "y0"], feeds)
    assert [array.dtype for array in found] == [np.int32, np.float32]
    assert len(session.run([], feeds)) == len(session.run(None, feeds)) == 8


@pytest.mark.parametrize(
    ("names", "feeds", "kind", "text"),
    [
        (None, {}, ValueError, "required inputs are missing"),
        (None, {"inptu": X}, ValueError, "'input': expected an array, got 'inptu' alone"),
        (["x"], {"input": X}, qdqnp.InputError, "output 'x'"),
        (
            ["flat_239"],
            {"input": X},
            qdqnp.InputError,
            r"Did you mean 'flat_239_dq'\? The model's outputs: 'flat_239_dq'",
        ),
        (None, {"input": X.astype(np.float64)}, qdqnp.InputError, "expected float32, got float64"),
        (None, {"input": np.zeros(X.shape, np.int8)}, qdqnp.InputError, "expected float32, got int8"),
        (None, {"input": X[..., :5]}, qdqnp.InputError, "axis 3: expected 16, got 5"),
        (None, {"input": X[0]}, qdqnp.InputError, "rank 4"),
        (None, {"input": X, "more": X}, qdqnp.InputError, "input 'more'"),
    ],
)
def test_what_onnxruntime_refuses_is_refused(names: Any, feeds: Any, kind: type[Exception], text: str) -> None:
    session = qdqnp.InferenceSession(dla())
    with pytest.raises(kind, match=text) as caught:
        session.run(names, feeds)
    assert isinstance(caught.value, qdqnp.QdqnpError)
    ort = pytest.importorskip("onnxruntime")
    with pytest.raises(Exception) as theirs:
        ort.InferenceSession(dla().SerializeToString()).run(names, feeds)
    assert isinstance(theirs.value, ValueError) == isinstance(caught.value, ValueError)


def test_models_that_cannot_be_read_are_refused_at_once(tmp_path: Path) -> None:
    for source in (tmp_path / "no.onnx", b"x"):
        with pytest.raises(qdqnp.ModelError):
            qdqnp.InferenceSession(source)
    with pytest.raises(qdqnp.ProfileError):
        qdqnp.InferenceSession(dla(), profile="nvdla")


def test_bindings_are_refused() -> None:
    session = qdqnp.InferenceSession(dla())
    for call in (session.io_binding, lambda: session.run_with_iobinding(None)):
        with pytest.raises(qdqnp.InputError, match=r"run\(output_names, input_feed\)"):
            call()


def test_what_is_ignored_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "qdqnp"):
        qdqnp.InferenceSession(dla(), qdqnp.ort.SessionOptions(), ["CPUExecutionProvider"], disabled_optimizers=["x"])
    (said,) = [record.getMessage() for record in caplog.records if "ignored" in record.getMessage()]
    assert said.endswith(": sess_options, providers, disabled_optimizers")


def test_the_names_that_scripts_use_are_onnxruntimes() -> None:
    ort = pytest.importorskip("onnxruntime")
    for name in qdqnp.ort.__all__:
        assert name == "MissingInputError" or hasattr(ort, name)
    for kind in (qdqnp.ort.GraphOptimizationLevel, qdqnp.ort.ExecutionMode):
        theirs = getattr(ort, kind.__name__).__members__
        assert {name: int(value) for name, value in theirs.items()} == {one.name: int(one) for one in kind}
    options = qdqnp.ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    assert options.intra_op_num_threads == 1
