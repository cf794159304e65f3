"""Codes in float8 move with their operators as those of integers do, at every opset that has them."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper

import qdqnp
from qdqnp.peers.ort.peer import OrtPeer

KINDS = (
    *(TensorProto.FLOAT8E4M3FN, TensorProto.FLOAT8E4M3FNUZ),
    *(TensorProto.FLOAT8E5M2, TensorProto.FLOAT8E5M2FNUZ),
)


@pytest.mark.parametrize("saturate", [0, 1])
@pytest.mark.parametrize("opset", [19, 21, 23])
@pytest.mark.parametrize("kind", KINDS)
def test_a_pair_moves_as_in_onnx_runtime(kind: int, opset: int, saturate: int, rng: np.random.Generator) -> None:
    """x, also far out of range, -> Q -> DQ -> Transpose -> LeakyRelu: a second pair comes behind the Transpose."""
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"], saturate=saturate),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["d"]),
        helper.make_node("Transpose", ["d"], ["t"], perm=[1, 0]),
        helper.make_node("LeakyRelu", ["t"], ["y"]),
    ]
    constants = [
        helper.make_tensor("scale", TensorProto.FLOAT, [], [0.05]),
        helper.make_tensor("zero", kind, [], [0.0]),
    ]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, dims) for name, dims in (("x", [9, 7]), ("y", None)))
    graph = helper.make_graph(nodes, "moves", [x], [y], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    loaded = qdqnp.load(model)
    for scale in (1, 1000):
        feeds = {"x": (rng.standard_normal((9, 7)) * scale).astype(np.float32)}
        for profile in ("ort", "ort-x64"):
            theirs = OrtPeer(model, profile).tensors(feeds)["y"]
            assert loaded.run(feeds, profile=profile)["y"].tobytes() == theirs.tobytes()
        assert [step.op for step in loaded.program("ort-x64").steps].count("QuantizeLinear") == 2
