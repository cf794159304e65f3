"""TopK: values and indices, against ONNX Runtime; of equal elements the first comes first."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import qdqnp
from qdqnp.errors import ModelError, ProfileError
from qdqnp.ops.origin import origin_of
from tests.oracles import ort

F = np.float32


def model(x: np.ndarray, k: int, opset: int = 11, outputs: Any = ("v", "i"), **attributes: Any) -> onnx.ModelProto:
    kind = helper.np_dtype_to_tensor_dtype(x.dtype)
    kinds = {"v": kind, "i": onnx.TensorProto.INT64}
    graph = helper.make_graph(
        [helper.make_node("TopK", ["x", "k"], list(outputs), "node", **attributes)],
        "g",
        [helper.make_tensor_value_info("x", kind, x.shape)],
        [helper.make_tensor_value_info(name, kinds[name], None) for name in outputs if name],
        [numpy_helper.from_array(np.array([k], np.int64), "k")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


@pytest.mark.parametrize("kind", [F, np.int32, np.int64])
@pytest.mark.parametrize("largest", [0, 1])
def test_against_onnxruntime(kind: Any, largest: int, rng: np.random.Generator) -> None:
    """Many of the elements are equal."""
    for _ in range(60):
        dims = tuple(int(n) for n in rng.integers(1, 7, int(rng.integers(1, 4))))
        axis = int(rng.integers(-len(dims), len(dims)))
        x = rng.integers(-3, 4, dims).astype(kind)
        if kind == F:
            x = np.where(x == 0, rng.choice(np.array([0.0, -0.0, np.inf, -np.inf, 1e-45], F), dims), x)
        opset = int(rng.integers(10, 13)) if kind == F and largest else 11
        given = {} if opset == 10 else {"largest": largest}
        made = model(x, int(rng.integers(1, dims[axis] + 1)), opset, axis=axis, **given)
        wanted, found = ort.run(made, {"x": x}), qdqnp.load(made).run({"x": x})
        for name in ("v", "i"):
            assert found[name].dtype == wanted[name].dtype
            assert found[name].tobytes() == wanted[name].tobytes()


def test_where_an_element_comes_from() -> None:
    x = np.arange(6, dtype=F).reshape(2, 3)
    (bound,) = qdqnp.load(model(x, 2)).plan("ort-unfused").steps
    for output in (0, 1):
        origin = origin_of(bound.operator, bound.step, [x], output, (1, 0))
        assert origin.elements.tolist() == [4, 5, 6]


REFUSED = {
    "k": (model(np.zeros(3, F), 4), r"k in \[0, 3\], got 4"),
    "negative k": (model(np.zeros(3, F), -1), r"k in \[0, 3\], got -1"),
    "axis": (model(np.zeros(3, F), 1, axis=1), "an axis in"),
    "order": (model(np.zeros(3, F), 1, sorted=0), "'sorted'"),
    "no name": (model(np.zeros(3, F), 1, outputs=("", "i")), "output 0: expected a name, got none"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    wrong, message = REFUSED[name]
    with pytest.raises(ModelError, match=message):
        qdqnp.load(wrong)


def test_not_a_number_is_refused() -> None:
    x = np.array([1, np.nan], F)
    with pytest.raises(ProfileError, match="a NaN"):
        qdqnp.load(model(x, 1)).run({"x": x})
