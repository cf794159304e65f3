"""Opsets 7 to 9, the oldest that ONNX Runtime promises to run, where they differ from later ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import qdqnp
from qdqnp.peers.ort.peer import OrtPeer

SHAPE = (1, 4, 6, 5)
SESSIONS = ("ort", "ort-x64", "ort-unfused")

#: Operator, further inputs, attributes, and the opsets at which it is asked.
NODES: list[tuple[str, list[np.ndarray], dict[str, Any], tuple[int, ...]]] = [
    ("Slice", [], {"starts": [1, -4], "ends": [9, -1], "axes": [2, -1]}, (7, 8, 9)),
    ("Slice", [], {"starts": [0, 2], "ends": [2**63 - 1, 3]}, (7, 9)),
    ("TopK", [], {"k": 2, "axis": 1}, (7, 9)),
    ("Upsample", [], {"scales": [1.0, 1.0, 2.0, 1.5]}, (7, 8)),
    ("Upsample", [np.array([1, 1, 2, 2], np.float32)], {"mode": "linear"}, (9,)),
    ("MaxPool", [], {"kernel_shape": [2, 2], "strides": [2, 2], "pads": [0, 0, 1, 1]}, (7, 8, 9)),
    ("AveragePool", [], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}, (7, 8, 9)),
    ("BatchNormalization", [np.arange(1, 5, dtype=np.float32)] * 4, {}, (7, 8, 9)),
    ("BatchNormalization", [np.arange(1, 5, dtype=np.float32)] * 4, {"spatial": 1}, (7, 8)),
    ("Dropout", [], {"ratio": 0.3}, (7, 9)),
    ("Clip", [], {"min": -0.5, "max": 0.5}, (7, 9)),
    ("Pad", [], {"pads": [0, 0, 1, 1, 0, 0, 0, 2], "value": 0.5}, (7, 9)),
    ("Unsqueeze", [], {"axes": [0, 3]}, (7, 9)),
    ("ReduceMean", [], {"axes": [2], "keepdims": 0}, (7, 9)),
    ("Split", [], {"axis": 1, "split": [1, 3]}, (7, 9)),
    ("Softmax", [], {"axis": 2}, (7, 9)),
    ("Cast", [], {"to": TensorProto.INT32}, (7, 9)),
    ("Sum", [np.ones(SHAPE, np.float32)], {}, (7, 8)),
    ("Max", [np.zeros(SHAPE, np.float32)], {}, (7, 8)),
    ("PRelu", [np.array([[[0.1]], [[0.2]], [[0.3]], [[0.4]]], np.float32)], {}, (7, 9)),
    ("Flatten", [], {"axis": 2}, (7, 9)),
    ("Conv", [np.linspace(-1, 1, 24, dtype=np.float32).reshape(2, 4, 3, 1)], {"kernel_shape": [3, 1]}, (7, 9)),
]


def _model(
    op: str, further: list[np.ndarray], attributes: dict[str, Any], opset: int, *, moved: bool
) -> onnx.ModelProto:
    """x, the node, and y; moved: between two Transposes, which ONNX Runtime takes through it."""
    names = [f"c{index}" for index in range(len(further))]
    count = 2 if op in ("Split", "TopK") else 1
    outputs = ["y", "z"][:count]
    nodes = [helper.make_node(op, ["a" if moved else "x", *names], ["b" if moved else "y", *outputs[1:]], **attributes)]
    if moved:
        nodes.insert(0, helper.make_node("Transpose", ["x"], ["a"], perm=[0, 3, 1, 2]))
        nodes.append(helper.make_node("Transpose", ["b"], ["y"], perm=[0, 2, 3, 1]))
    dims = tuple(SHAPE[axis] for axis in (0, 2, 3, 1)) if moved else SHAPE
    kinds = {("TopK", "z"): TensorProto.INT64, ("Cast", "y"): TensorProto.INT32}
    graph = helper.make_graph(
        nodes,
        "old",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, dims)],
        [helper.make_tensor_value_info(name, kinds.get((op, name), TensorProto.FLOAT), None) for name in outputs],
        [onnx.numpy_helper.from_array(array, name) for array, name in zip(further, names, strict=True)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=4)


def _cases() -> list[Any]:
    ranks = ("Flatten", "Unsqueeze", "ReduceMean")
    found = []
    for at, (op, *others, opsets) in enumerate(NODES):
        for opset in opsets:
            for moved in (False, True) if op not in ranks else (False,):
                found.append(pytest.param((op, *others, opset), moved, id=f"{op}-{at}-{opset}{'-moved' * moved}"))
    return found


@pytest.mark.parametrize(("node", "moved"), _cases())
def test_old_opsets_are_onnx_runtimes(node: Any, moved: bool, rng: np.random.Generator) -> None:
    given = _model(*node, moved=moved)
    loaded = qdqnp.load(given)
    shape = tuple(dim.dim_value for dim in given.graph.input[0].type.tensor_type.shape.dim)
    feeds = {"x": rng.standard_normal(shape).astype(np.float32)}
    for profile in SESSIONS:
        ours, theirs = loaded.run(feeds, profile=profile), OrtPeer(given, profile).tensors(feeds)
        for name, array in ours.items():
            assert array.dtype == theirs[name].dtype
            assert array.tobytes() == theirs[name].tobytes(), (profile, name)


@pytest.mark.parametrize(
    ("op", "inputs", "attributes", "opset", "expected"),
    [
        ("Slice", 3, {}, 9, "1 before opset 10, got 3"),
        ("Slice", 1, {"starts": [0], "ends": [1]}, 10, "input 1: expected a tensor, got nothing"),
        ("TopK", 1, {}, 9, "attribute 'k'"),
        ("BatchNormalization", 5, {"spatial": 0}, 7, "attribute 'spatial'"),
        ("Upsample", 1, {"scales": [1.0, 1.0, 0.5, 1.0]}, 7, "finite float32 >= 1"),
        ("Upsample", 1, {"scales": [1.0] * 4}, 10, "Upsample"),
        ("Where", 3, {}, 8, "opset 9 or later"),
    ],
)
def test_what_an_opset_does_not_have(
    op: str, inputs: int, attributes: dict[str, Any], opset: int, expected: str
) -> None:
    further = [np.ones(4 if op == "BatchNormalization" else 1, np.int64 if op == "Slice" else np.float32)] * (
        inputs - 1
    )
    with pytest.raises(qdqnp.ModelError, match=expected):
        qdqnp.load(_model(op, further, attributes, opset, moved=False))
