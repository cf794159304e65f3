"""What a trace says of its tensors: real values, layers, a table, a file; it is pickled without the weights."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import qdqnp
from qdqnp.trace import COLUMNS
from tests.networks import Builder, dla

X = np.random.default_rng(0).standard_normal((1, 3, 16, 16), dtype=np.float32)


@pytest.fixture(scope="module")
def model() -> qdqnp.Model:
    return qdqnp.load(dla())


@pytest.fixture(scope="module")
def trace(model: qdqnp.Model) -> qdqnp.Trace:
    return model.trace(X, accumulators=True, events=True)


def test_real_values_are_those_of_the_dequantized_codes(model: qdqnp.Model, trace: qdqnp.Trace) -> None:
    """The reference is NumPy on the numbers that the file states, for every tensor of codes."""
    count = 0
    for layer in trace.layers:
        for tensor in layer.outputs:
            codes = trace[tensor.name]
            if tensor.quant is None:
                assert trace.real(tensor.name) is codes
                continue
            count += 1
            scale, zero = np.float32(tensor.scale), np.float32(tensor.zero_point)
            expected = (codes.astype(np.float32) - zero) * scale
            np.testing.assert_array_equal(trace.real(tensor.name), expected)
            assert trace.real(tensor.name).dtype == np.float32
    assert count > 20
    last = model.graph.outputs[0]
    codes_name = next(step for step in model.program().steps if last in step.output_names).input_names[0]
    np.testing.assert_array_equal(trace.real(codes_name), trace[last])


def test_codes_that_the_lowering_moved_have_the_same_real_values(model: qdqnp.Model) -> None:
    moved = model.trace(X, profile="ort-x64")
    input_codes = model.layers[0].name
    np.testing.assert_array_equal(moved.real(input_codes), model.trace(X).real(input_codes))


def test_a_layer_has_all_that_is_known_of_it(model: qdqnp.Model, trace: qdqnp.Trace) -> None:
    name = next(layer.label for layer in model.layers if layer.op == "QLinearConv")
    found = trace.layer(name)
    assert found.layer.label == name and found.codes is trace[found.layer.name]
    assert list(found.inputs) == [found.layer.inputs[0].name] and found.accumulators is not None
    assert found.accumulators.dtype == np.int32
    assert found.events is not None and "multiplier" in found.parameters
    np.testing.assert_array_equal(found.real, trace.real(found.layer.name))
    np.testing.assert_array_equal(trace.real(name), found.real)
    without = model.trace(X).layer(name)
    assert without.accumulators is None and without.events is None
    assert repr(found).startswith("<traced <layer 1 ")


@pytest.mark.parametrize("profile", ["ort", "tflite", "neural-art", "ort-avx2"])
def test_numbers_that_a_user_overwrites_are_not_those_that_the_model_uses(profile: str) -> None:
    model = qdqnp.load(dla())
    first, again = model.trace(X, profile=profile), model.trace(X, profile=profile)
    arrays = [value for used in first.parameters.values() for value in used.values() if isinstance(value, np.ndarray)]
    for array in arrays:
        array[...] = 0
    assert len(arrays) > 10
    np.testing.assert_equal(again.parameters, qdqnp.load(dla()).trace(X, profile=profile).parameters)
    for bound in model.plan(profile).steps:
        for name, made in bound.compute(again).items():
            np.testing.assert_array_equal(made, again[name], strict=True)


def test_numbers_are_those_of_the_run_also_where_its_arrays_were_changed_since() -> None:
    """Weights that are inputs decide how far Neural-ART's arithmetic narrows their sums."""
    fixed = {"scale": np.float32(0.1), "zero": np.uint8(3)}
    node = helper.make_node("QLinearMatMul", ["a", "scale", "zero", "b", "scale", "zero", "scale", "zero"], ["y"])
    inputs = [helper.make_tensor_value_info(name, TensorProto.UINT8, [8, 8]) for name in "ab"]
    output = helper.make_tensor_value_info("y", TensorProto.UINT8, [8, 8])
    constants = [numpy_helper.from_array(np.asarray(value), name) for name, value in fixed.items()]
    graph = helper.make_graph([node], "net", inputs, [output], constants)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    model = qdqnp.load(proto)
    feeds = {name: np.full((8, 8), code, np.uint8) for name, code in (("a", 200), ("b", 250))}
    trace = model.trace(feeds, profile="neural-art")
    feeds["b"][...] = 4
    other = model.trace(feeds, profile="neural-art").parameters["y"]
    trace["b"][...] = 4
    assert trace.parameters["y"]["S1"] > other["S1"]


def test_unknown_names_suggest(trace: qdqnp.Trace) -> None:
    name = list(trace)[3]
    with pytest.raises(qdqnp.UnknownNameError, match=f"Did you mean '{name}'"):
        trace[name + "_"]
    with pytest.raises(KeyError):
        trace["nothing"]
    assert "nothing" not in trace and trace.get("nothing") is None and 3 not in trace
    for ask in (trace.real, trace.layer):
        with pytest.raises(qdqnp.InputError, match="no such layer"):
            ask("nothing like it")
    again = pickle.loads(pickle.dumps(qdqnp.UnknownNameError("a", [qdqnp.Problem("b", "c", "d")])))
    assert str(again) == "a\n  - b: expected c, got d" and isinstance(again, qdqnp.InputError)


def test_the_table_has_a_row_for_each_tensor(trace: qdqnp.Trace) -> None:
    rows = trace.rows()
    assert [row["tensor"] for row in rows] == list(trace) and all(tuple(row) == COLUMNS for row in rows)
    row = next(row for row in rows if row["op"] == "QLinearConv")
    codes = trace[row["tensor"]]
    assert (row["least"], row["largest"]) == (codes.min(), codes.max())
    real = trace.real(row["tensor"])
    assert (row["real_least"], row["real_largest"]) == pytest.approx((float(real.min()), float(real.max())))


def test_a_step_of_several_outputs_and_a_tensor_without_elements() -> None:
    """All have their step's label, and what has no elements has no ends."""
    nodes = [helper.make_node("Split", ["x", "sizes"], ["whole", "nothing"], name="cut")]
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("whole", "nothing")]
    given = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4, 3])]
    sizes = numpy_helper.from_array(np.array([4, 0]), "sizes")
    graph = helper.make_graph(nodes, "net", given, value, [sizes])
    model = qdqnp.load(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9))
    trace = model.trace(np.ones((4, 3), np.float32))
    cut = trace.layer("cut")
    assert list(cut.outputs) == ["whole", "nothing"] and cut.real is cut.codes is trace["whole"]
    rows = {row["tensor"]: row for row in trace.rows()}
    assert [rows[name]["label"] for name in ("x", "whole", "nothing")] == ["", "cut", "cut"]
    assert (rows["whole"]["least"], rows["whole"]["real_largest"]) == (1, 1)
    assert rows["nothing"]["least"] is rows["nothing"]["real_largest"] is None


def test_parameters_are_those_of_layers_that_use_numbers(model: qdqnp.Model, trace: qdqnp.Trace) -> None:
    assert all(trace.parameters.values())
    assert list(trace.parameters) == [name for name in trace if name in trace.parameters]
    pool = next(layer for layer in model.layers if layer.op == "MaxPool")
    assert trace.layer(pool.label).parameters == {} and pool.name not in trace.parameters


def test_the_table_is_a_frame_where_pandas_is(trace: qdqnp.Trace) -> None:
    pytest.importorskip("pandas")
    assert trace.to_frame().shape == (len(trace), len(COLUMNS))


def test_a_saved_trace_is_a_dump(model: qdqnp.Model, trace: qdqnp.Trace, tmp_path: Path) -> None:
    trace.save(tmp_path / "t.npz")
    with np.load(tmp_path / "t.npz") as arrays:
        assert arrays.files == list(trace)
        assert all(np.array_equal(arrays[name], trace[name]) for name in trace)
    made = qdqnp.golden(dla(), X, out=tmp_path / "vectors")
    assert qdqnp.compare(made, tmp_path / "t.npz").equal
    with pytest.raises(qdqnp.InputError, match="force"):
        trace.save(tmp_path / "t.npz")
    trace.save(tmp_path / "t.npz", force=True)
    with pytest.raises(qdqnp.InputError, match=r"a name that ends in \.npz"):
        trace.save(tmp_path / "t.npy")


def test_a_trace_is_pickled_with_its_layers_and_without_the_weights(model: qdqnp.Model) -> None:
    trace = model.trace(X)
    data = pickle.dumps(trace)
    again = pickle.loads(data)
    assert again.rows() == trace.rows() and list(again) == list(trace)
    np.testing.assert_array_equal(again.real("1"), trace.real("1"))
    np.testing.assert_equal(again.parameters, trace.parameters)
    weights = sum(value.const.nbytes for value in model.graph.values.values() if value.const is not None)
    assert len(data) < sum(array.nbytes for array in trace.values()) + weights // 2 + 100_000
    assert repr(again) == repr(trace) and f"{len(trace)} tensors" in repr(trace)


@pytest.mark.parametrize("op", ["Shape", "ConstantOfShape"])
def test_a_trace_of_one_tensor_or_none_says_so(op: str) -> None:
    """What does not depend on the elements of an input is a constant."""
    given = [helper.make_tensor_value_info("x", TensorProto.INT64, [3])] if op == "Shape" else []
    constants = [] if given else [numpy_helper.from_array(np.array([3], np.int64), "x")]
    output = helper.make_tensor_value_info("y", TensorProto.INT64 if given else TensorProto.FLOAT, None)
    graph = helper.make_graph([helper.make_node(op, ["x"], ["y"])], "net", given, [output], constants)
    model = qdqnp.load(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9))
    trace = model.trace({"x": np.zeros(3, np.int64)} if given else {})
    assert (
        repr(trace) == f"<Trace: {len(given)} tensors of 0 layers, from '{'x' * len(given)}' to '{'x' * len(given)}'>"
    )


@pytest.mark.parametrize("profile", ["ort", "tflite", "cmsis-nn", "neural-art", "exact"])
def test_numbers_of_a_mean_are_those_of_the_pictures_size(profile: str) -> None:
    """They depend on how many elements it is of, and are kept for the next run."""
    net = Builder(3)
    net.nodes.append(helper.make_node("GlobalAveragePool", [net.conv(net.quantized("input", 3, 1.0), 8, 3)], ["mean"]))
    proto = net.model(net.quantized("mean", 8, 0.3), [1, 3, "H", "W"])
    model, seen = qdqnp.load(proto), []
    for size, seed in ((6, 0), (9, 1), (9, 2), (6, 3)):
        x = np.random.default_rng(seed).normal(0, 1, (1, 3, size, size)).astype(np.float32)
        found = model.trace(x, profile=profile).parameters
        np.testing.assert_equal(found, qdqnp.load(proto).trace(x, profile=profile).parameters)
        seen.append(str(found))
    assert seen[0] == seen[3] != seen[1] == seen[2]


def test_a_trace_of_codes_is_one_of_values_without_these(trace: qdqnp.Trace, model: qdqnp.Model) -> None:
    """The steps before the codes are not evaluated; a trace of values before that changes nothing."""
    values, codes = list(trace)[:2]
    for _ in range(2):
        found = model.trace({values: trace[codes]})
        assert list(found) == [name for name in trace if name != values]
        for name, array in found.items():
            np.testing.assert_array_equal(array, trace[name], strict=True)
        assert list(model.trace({values: trace[values]})) == list(trace)
