"""Random inputs: seeded, of the declared form, and over the whole code range of the quantizer behind them."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import qdqnp
from qdqnp.errors import InputError
from qdqnp.inputs.random_inputs import random_feeds
from qdqnp.program import Program
from tests.inputs.test_files import program
from tests.networks import dla


def quantized(dtype: type, scale: float, zero: int, shape: list) -> Program:
    """x -> QuantizeLinear -> DequantizeLinear -> y."""
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"]),
    ]
    constants = [numpy_helper.from_array(np.float32(scale), "s"), numpy_helper.from_array(np.array(zero, dtype), "z")]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        constants,
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return qdqnp.load(made).program()


def test_the_same_seed_gives_the_same_arrays() -> None:
    net = qdqnp.load(dla()).program()
    first, again = (list(random_feeds(net, 3, seed=7)) for _ in range(2))
    assert [feeds["input"].tobytes() for feeds in first] == [feeds["input"].tobytes() for feeds in again]
    assert len({feeds["input"].tobytes() for feeds in first}) == 3
    (other,) = random_feeds(net, 1, seed=8)
    assert other["input"].tobytes() != first[0]["input"].tobytes()


@pytest.mark.parametrize(("dtype", "zero"), [(np.int8, -128), (np.int8, 5), (np.uint8, 0), (np.uint8, 200)])
@pytest.mark.parametrize("scale", [1e-4, 0.02, 30.0])
def test_every_code_occurs_and_both_ends_saturate(dtype: type, zero: int, scale: float) -> None:
    (feeds,) = random_feeds(quantized(dtype, scale, zero, [64, 256]), 1, seed=0)
    x = feeds["x"]
    assert x.dtype == np.float32
    real = np.rint(x.astype(np.float64) / np.float32(scale)) + zero
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    assert len(np.unique(np.clip(real, low, high))) == 256
    assert real.min() < low and real.max() > high
    assert real.min() > low - 10 and real.max() < high + 10


def test_unknown_sizes_become_1() -> None:
    (feeds,) = random_feeds(quantized(np.int8, 0.1, 0, ["n", 3, None]), 1, seed=0)
    assert feeds["x"].shape == (1, 3, 1)


def test_floats_without_a_quantizer_are_standard_normal() -> None:
    (feeds,) = random_feeds(program(x=(np.float32, [100, 100])), 1, seed=0)
    assert feeds["x"].dtype == np.float32
    assert abs(feeds["x"].mean()) < 0.05 and abs(feeds["x"].std() - 1) < 0.05


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.int64])
def test_integers_cover_their_range(dtype: type) -> None:
    (feeds,) = random_feeds(program(x=(dtype, [100, 100])), 1, seed=0)
    x, info = feeds["x"], np.iinfo(dtype)
    assert x.dtype == dtype
    width = int(info.max) - int(info.min)
    assert int(x.min()) < int(info.min) + width // 100 and int(x.max()) > int(info.max) - width // 100


def test_several_inputs_and_other_floats() -> None:
    (feeds,) = random_feeds(program(a=(np.float32, [2]), b=(np.uint8, [3])), 1, seed=0)
    assert {key: array.shape for key, array in feeds.items()} == {"a": (2,), "b": (3,)}
    kinds = {"d": np.float64, "h": np.float16, "t": np.bool_}
    (feeds,) = random_feeds(program(**{name: (kind, [50]) for name, kind in kinds.items()}), 1, seed=0)
    assert {name: array.dtype.type for name, array in feeds.items()} == kinds
    assert all(len(np.unique(array)) > 1 for array in feeds.values())


def test_inputs_out_of_proportion_are_refused_before_they_are_made() -> None:
    small = random_feeds(quantized(np.int8, 0.1, 0, [2**13, 2**13]), 1, seed=0)
    large = random_feeds(quantized(np.int8, 0.1, 0, [2**13, 2**13 + 1]), 1, seed=0)
    huge = random_feeds(quantized(np.int8, 0.1, 0, [1, 48, 4096, 4096]), 1, seed=0)
    with pytest.raises(InputError, match=r"input 'x': expected at most 256.0 MiB .* in all inputs together, got shape"):
        next(large)
    with pytest.raises(
        InputError, match=r"got shape \[1, 48, 4096, 4096\], 3.0 GiB .* Pass arrays of your own: --input"
    ):
        next(huge)
    assert next(small)["x"].nbytes == 2**28


@pytest.mark.parametrize("moved", [False, True])
@pytest.mark.parametrize("op", ["Gather", "GatherElements", "GatherND"])
def test_indices_name_places_that_are_there(op: str, moved: bool) -> None:
    """Whatever lies between the input and the operator that reads it as indices."""
    sizes = {"Gather": [3, 2], "GatherElements": [3, 7], "GatherND": [3, 2]}[op]
    nodes = [
        helper.make_node(op, ["table", "wide" if moved else "i"], ["y"], **({} if op == "GatherND" else {"axis": 0}))
    ]
    if moved:
        nodes.insert(0, helper.make_node("Cast", ["t"], ["wide"], to=TensorProto.INT64))
        nodes.insert(0, helper.make_node("Transpose", ["i"], ["t"], perm=[0, 1]))
    kind = TensorProto.INT32 if moved else TensorProto.INT64
    inputs = [helper.make_tensor_value_info("i", kind, sizes)]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    table = numpy_helper.from_array(np.ones((5, 7), np.float32), "table")
    graph = helper.make_graph(nodes, "g", inputs, [output], [table])
    model = qdqnp.load(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9))
    drawn = [feeds["i"] for feeds in random_feeds(model.program(), 20, seed=1)]
    assert set(np.concatenate(drawn, axis=None).tolist()) == set(range(5))
    for indices in drawn:
        model.run({"i": indices})


def test_a_first_axis_that_must_be_longer_is() -> None:
    """Transposed, it is what a window moves over."""
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[2, 1, 0]),
        helper.make_node("MaxPool", ["t"], ["y"], kernel_shape=[3]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2, 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    (feeds,) = random_feeds(qdqnp.load(proto).program(), 1, seed=0)
    assert feeds["x"].shape == (4, 2, 1)


def test_indices_behind_a_computed_reshape_are_places() -> None:
    nodes = [
        helper.make_node("Shape", ["i"], ["sizes"]),
        helper.make_node("Concat", ["sizes", "one"], ["longer"], axis=0),
        helper.make_node("Reshape", ["i", "longer"], ["column"]),
        helper.make_node("Gather", ["table", "column"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("i", TensorProto.INT64, ["N"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [
            numpy_helper.from_array(np.array([1]), "one"),
            numpy_helper.from_array(np.zeros((3, 4), np.float32), "table"),
        ],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    model = qdqnp.load(proto)
    for feeds in random_feeds(model.program(), 20, seed=0):
        assert 0 <= feeds["i"].min() <= feeds["i"].max() < 3
