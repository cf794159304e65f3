"""Split, the operator with several outputs: against plain slices and ONNX Runtime, through everything that walks."""

from __future__ import annotations

import math

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

import qdqnp
from qdqnp.diagnosis.verify import verify
from qdqnp.errors import InputError, ModelError
from qdqnp.inspection.layers import inspect
from qdqnp.peers.ort.peer import OrtPeer
from tests.ops import draw
from tests.oracles import ort


def split(
    x: np.ndarray,
    parts: int,
    sizes: list[int] | None = None,
    opset: int = 13,
    shape: list[int | str] | None = None,
    **attributes: int | list[int],
) -> onnx.ModelProto:
    """A model of one Split of x; the sizes are an attribute before opset 13."""
    constants = []
    if sizes is not None and opset < 13:
        attributes["split"] = sizes
    elif sizes is not None:
        constants = [numpy_helper.from_array(np.array(sizes, np.int64), "sizes")]
    names = [f"y{index}" for index in range(parts)]
    node = helper.make_node("Split", ["x", *(["sizes"] if constants else [])], names, "split", **attributes)
    kind = helper.np_dtype_to_tensor_dtype(x.dtype)
    outputs = [helper.make_tensor_value_info(name, kind, None) for name in names]
    inputs = [helper.make_tensor_value_info("x", kind, shape or x.shape)]
    graph = helper.make_graph([node], "g", inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1))
def test_random_splits(seed: int) -> None:
    rng = np.random.default_rng(seed)
    dims = list(draw.shape(rng))
    axis = int(rng.integers(len(dims)))
    dtype = draw.pick(rng, (np.int8, np.uint8, np.float32))
    way, opset = draw.pick(rng, (("sizes", 11), ("sizes", 13), ("sizes", 18), ("equal", 13), ("number", 18)))
    parts = draw.size(rng, 4)
    if way == "sizes":
        sizes = [int(size) for size in rng.integers(0, 4, parts)]
    elif way == "equal":
        sizes = [draw.size(rng, 3)] * parts
    else:
        total = draw.size(rng, 9)
        most = math.ceil(total / parts)
        sizes = [most] * (parts - 1) + [max(total - most * (parts - 1), 0)]  # what is below zero is refused, see there
    dims[axis] = sum(sizes)
    x = draw.codes(rng, np.int8, dims).astype(dtype)
    model = split(
        x,
        parts,
        sizes if way == "sizes" else None,
        opset,
        axis=axis - (len(dims) if draw.chance(rng, 0.4) else 0),
        **({"num_outputs": parts} if way == "number" else {}),
    )
    found, theirs = qdqnp.load(model).run({"x": x}), ort.run(model, {"x": x})
    start = 0
    for index, size in enumerate(sizes):
        part = found[f"y{index}"]
        wanted = np.array([x[at] for at in np.ndindex(*x.shape) if start <= at[axis] < start + size], dtype)
        assert part.dtype == dtype
        assert part.shape == (*dims[:axis], size, *dims[axis + 1 :])
        assert part.reshape(-1).tolist() == wanted.tolist()
        assert np.array_equal(part, theirs[f"y{index}"])
        start += size


X = np.arange(12, dtype=np.int8).reshape(2, 6)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (split(X, 2, [3, 4], axis=1), "parts of 6 elements together"),
        (split(X, 2, [7, -1], axis=1), "2 sizes >= 0"),
        (split(X, 2, [2, 2, 2], axis=1), "at most 2 numbers"),
        (split(X, 3, [3, 3], axis=1), "3 sizes >= 0"),
        (split(X, 4, axis=1), "an axis that 4 parts can share"),
        (split(X, 2, axis=2), r"an axis in \[-2, 1\]"),
        (split(X, 2, axis=1, opset=18), "'num_outputs': expected one of them, got none"),
        (split(X, 2, [3, 3], axis=1, opset=18, num_outputs=2), "got both"),
        (split(X, 2, axis=1, opset=18, num_outputs=3), "2, the number of outputs"),
        (split(X, 2, axis=1, num_outputs=2), "no such attribute before opset 18"),
        (split(X, 5, axis=1, opset=18, num_outputs=5), "an axis that 5 parts can share"),
    ],
)
def test_refused(model: onnx.ModelProto, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        qdqnp.load(model)


def test_sizes_in_the_place_of_another_opset() -> None:
    late, early = split(X, 2, [2, 4], 11, axis=1), split(X, 2, [2, 4], 13, axis=1)
    late.opset_import[0].version, early.opset_import[0].version = 13, 11
    with pytest.raises(ModelError, match="an input since opset 13"):
        qdqnp.load(late)
    with pytest.raises(ModelError, match="no such input before opset 13"):
        qdqnp.load(early)


def test_an_unnamed_part() -> None:
    model = split(X, 2, [3, 3], axis=1)
    model.graph.node[0].output[0] = ""
    del model.graph.output[0]
    with pytest.raises(ModelError, match="a name for each part"):
        qdqnp.load(model)


def test_what_only_a_run_knows_is_checked_then() -> None:
    model = qdqnp.load(split(X, 2, [3, 3], shape=["N", 6], axis=0))
    with pytest.raises(InputError, match="parts of 4 elements"):
        model.run({"x": np.zeros((4, 6), np.int8)})
    assert model.run({"x": np.ones((6, 6), np.int8)})["y1"].shape == (3, 6)


def test_every_part_is_traced_inspected_and_verified() -> None:
    model = split(X, 3, [1, 2, 3], axis=1)
    loaded = qdqnp.load(model)
    assert list(loaded.trace({"x": X}, events=True, accumulators=True)) == ["x", "y0", "y1", "y2"]
    assert inspect(loaded.plan())["totals"]["operators"] == {"Split": 1}
    report = verify(loaded, OrtPeer(model), [{"x": X}])
    assert [(layer.name, layer.tally.elements) for layer in report.layers] == [("y0", 2), ("y1", 4), ("y2", 6)]
    assert report.equal


def test_parts_share_no_memory_with_the_input() -> None:
    x = np.arange(6, dtype=np.int8)
    found = qdqnp.load(split(x, 2, axis=0)).run({"x": x})
    x[:] = 0
    assert [found[name].tolist() for name in ("y0", "y1")] == [[0, 1, 2], [3, 4, 5]]
