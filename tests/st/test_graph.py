"""The compiled graph with its integers written out: the same numbers, and integer operators in ONNX Runtime too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from click.testing import CliRunner
from onnx import numpy_helper

import qdqnp
from qdqnp.cli import cli
from qdqnp.errors import InputError, ModelError
from qdqnp.st.graph import compiled_graph, integer_graph
from tests.lowering.test_scaled_weights import KINDS, drawn, model
from tests.st.writing import random_network, write_folder

NARROW = tuple(kind for kind in KINDS if kind != "transposed")


def written(folder: Path, kind: str, seed: int) -> tuple[Path, dict[str, Any]]:
    """A graph as ST writes it, DQ -> Relu -> operator -> Q with float weights, and the document of *_Q.json."""
    codes, scale, bias = drawn(kind, True, seed)
    made = model(kind, codes, scale, bias, True, seed)
    given = {one.name: numpy_helper.to_array(one) for one in made.graph.initializer}

    def row(scales: Any, zeros: Any) -> dict[str, Any]:
        params = [np.ravel(scales).tolist(), np.ravel(zeros).tolist()]
        return {"format": {"params": params, "class": "integer", "type": "S8"}}

    tensors = {name: row(given["xs"], given["xz"]) for name in ("real", "positive")}
    tensors |= {"sum": row(given["ys"], given["yz"]), "w": row(scale, np.zeros(scale.size, int))}
    path = folder / "net_OE_3_3_0.onnx"
    path.write_bytes(made.SerializeToString())
    return path, {"tensors": tensors, "nodes": {}}


@pytest.mark.parametrize("kind", NARROW)
@pytest.mark.parametrize("seed", range(3))
def test_the_same_integers_everywhere(tmp_path: Path, kind: str, seed: int) -> None:
    path, document = written(tmp_path, kind, seed)
    floats, data = qdqnp.load(path), integer_graph(path, document)
    integers = qdqnp.load(data)
    shape: Any = floats.program().tensors["x"].shape
    x = np.random.default_rng(seed).integers(-128, 128, shape).astype(np.int8)
    for profile in ("tflite", "neural-art", "neural-art-1.1.1"):
        assert np.array_equal(floats.run(x, profile=profile)["y"], integers.run(x, profile=profile)["y"])
    if "gemm" not in kind:  # of which ONNX Runtime fuses those with one scale only
        assert "Conv" not in {step.op for step in integers.program().steps}
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    assert np.array_equal(session.run(None, {"x": x})[0], integers.run(x)["y"])


def test_weights_that_do_not_fit_their_scales(tmp_path: Path) -> None:
    path, document = written(tmp_path, "conv", 1)
    document["tensors"]["w"]["format"]["params"][0][2] *= 1.5
    with pytest.raises(ModelError, match="node layer: expected weights that are codes times their scales"):
        integer_graph(path, document)
    del document["tensors"]["w"]
    with pytest.raises(ModelError, match="scales of its input and of its weights"):
        integer_graph(path, document)
    for wrong in (None, [], {"tensors": 3}, {"tensors": {"w": {"format": {"params": ["x", 1], "type": "S8"}}}}):
        with pytest.raises(InputError, match=r"\*_Q\.json"):
            integer_graph(path, wrong)


def test_the_command_writes_it(tmp_path: Path) -> None:
    write_folder(tmp_path / "st", random_network(np.random.default_rng(0)))
    out = tmp_path / "net.onnx"
    words = ["st", "read", str(tmp_path / "st"), "--graph", str(out)]
    (tmp_path / "st" / "net_OE_3_3_0_Q.json").unlink()
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 2 and "_OE_" in result.output and "_Q.json" in result.output and not out.exists()
    path, document = written(tmp_path / "st", "conv", 2)
    (tmp_path / "st" / "net_OE_3_3_0_Q.json").write_text(json.dumps(document), encoding="utf-8")
    assert CliRunner().invoke(cli, words).exit_code == 0
    assert out.read_bytes() == compiled_graph([tmp_path / "st"]) == integer_graph(path, document)
