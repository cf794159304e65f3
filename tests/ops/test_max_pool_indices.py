"""MaxPool: where each maximum lies, in one to three axes, against ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

import qdqnp
from qdqnp.ops.origin import origin_of
from tests.ops import draw
from tests.ops.case import assert_same, computed, one_node
from tests.ops.cases.pool import pooling
from tests.oracles import ort

F = np.float32


def model(x: np.ndarray, **attributes: Any) -> Any:
    kind = helper.np_dtype_to_tensor_dtype(x.dtype)
    graph = helper.make_graph(
        [helper.make_node("MaxPool", ["x"], ["y", "i"], "node", **attributes)],
        "g",
        [helper.make_tensor_value_info("x", kind, x.shape)],
        [helper.make_tensor_value_info(name, k, None) for name, k in (("y", kind), ("i", TensorProto.INT64))],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 12)], ir_version=8)


@pytest.mark.parametrize("kind", [F, np.int8, np.uint8])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_against_onnxruntime(kind: Any, rank: int, rng: np.random.Generator) -> None:
    """Many elements are equal."""
    for _ in range(40):
        sizes = tuple(draw.size(rng, 6) for _ in range(rank))
        given = {name: value for name, value in pooling(rng, sizes).items() if value is not None}
        x = rng.integers(0, 4, (draw.size(rng, 2), 2, *sizes)).astype(kind)
        made = model(x, storage_order=int(rng.integers(2)), **given)
        wanted, found = ort.run(made, {"x": x}), qdqnp.load(made).run({"x": x})
        for name in "yi":
            assert found[name].dtype == wanted[name].dtype
            assert found[name].tolist() == wanted[name].tolist(), (made, x)


def test_with_zeros_of_both_signs_and_nan(rng: np.random.Generator) -> None:
    rare = np.array([0.0, -0.0, np.nan, -np.inf, np.inf, -1.0], F)
    for _ in range(60):
        x = rng.choice(rare, (1, 2, 4, 5))
        made = model(x, kernel_shape=[2, 3], strides=[1, 2], pads=[1, 1, 0, 1])
        wanted, found = ort.run(made, {"x": x}), qdqnp.load(made).run({"x": x})
        assert found["i"].tolist() == wanted["i"].tolist()
        assert found["y"].tobytes() == wanted["y"].tobytes()


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_three_axes_with_zeros_of_both_signs_and_nan(stride: int, rng: np.random.Generator) -> None:
    """Without indices, where MLAS computes: its order decides between them."""
    rare = np.array([0.0, -0.0, np.nan, -np.inf, np.inf, -1.0], F)
    for _ in range(30):
        x = rng.choice(rare, (1, 2, 3, 4, draw.size(rng, 9)))
        kernel = [2, 2, min(2, x.shape[4])]
        given = {"kernel_shape": kernel, "strides": [1, 1, stride], "pads": [1, 0, 0, 0, 1, 0]}
        case = one_node("MaxPool", [("x", x)], **given)
        assert_same(computed(case), ort.run(case.model, case.inputs)["y"], "ONNX Runtime", case)


def test_where_an_index_comes_from() -> None:
    x = np.arange(6, dtype=F).reshape(1, 1, 6)
    (bound,) = qdqnp.load(model(x, kernel_shape=[2], strides=[2])).plan("ort-unfused").steps
    assert origin_of(bound.operator, bound.step, [x], 1, (0, 0, 1)).elements.tolist() == [3, 4]
