"""Stored orders of axes: named as they are, and turned back exactly."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from onnx import TensorProto, helper, numpy_helper

from qdqnp.golden_sets import Options, read, write
from qdqnp.golden_sets.layouts import DEPTHWISE, activation_layout, matrix_layout, weight_layout


@given(st.data())
def test_back_and_forth(data: st.DataObject) -> None:
    rank = data.draw(st.integers(0, 5))
    array = data.draw(hnp.arrays(np.int16, data.draw(hnp.array_shapes(min_dims=rank, max_dims=rank, max_side=4))))
    choices = [activation_layout(rank, order) for order in ("NCHW", "NHWC")]
    choices += [weight_layout(rank, order) for order in DEPTHWISE]
    for layout in choices:
        stored = layout.stored(array)
        assert stored.flags.c_contiguous and stored.dtype == np.dtype("<i2")
        np.testing.assert_array_equal(layout.logical(stored), array, strict=True)


def test_the_name_is_the_order() -> None:
    sizes = {"N": 2, "C": 3, "H": 5, "W": 7}
    for order, names in (("NCHW", ("NCW", "NCHW")), ("NHWC", ("NWC", "NHWC"))):
        for logical, name in zip(("NCW", "NCHW"), names, strict=True):
            layout = activation_layout(len(logical), order)
            stored = layout.stored(np.zeros([sizes[letter] for letter in logical]))
            assert layout.name == name and stored.shape == tuple(sizes[letter] for letter in name)
    sizes = {"O": 2, "I": 1, "1": 1, "H": 5, "W": 7, "C": 2}
    for order, names in (("OIHW", ("OIW", "OIHW")), ("OHWI", ("OWI", "OHWI")), ("1HWC", ("1WC", "1HWC"))):
        for logical, name in zip(("OIW", "OIHW"), names, strict=True):
            layout = weight_layout(len(logical), order)
            stored = layout.stored(np.zeros([sizes[letter] for letter in logical]))
            assert layout.name == name and stored.shape == tuple(sizes[letter] for letter in name)
    assert activation_layout(2, "NHWC").name == weight_layout(2, "OHWI").name == "ONNX"


def test_big_endian_arrays_are_stored_little_endian() -> None:
    stored = activation_layout(1, "NCHW").stored(np.array([1, 2], ">i4"))
    assert stored.tobytes() == b"\1\0\0\0\2\0\0\0"


@pytest.mark.parametrize("transposed", [0, 1])
@pytest.mark.parametrize("order", ["OIHW", "OHWI"])
def test_matrices_come_with_a_row_for_each_output(tmp_path: object, transposed: int, order: str) -> None:
    """QGemm's B is (I, O), or (O, I) with transB."""
    rng = np.random.default_rng(0)
    weights = rng.integers(-128, 128, (4, 3), dtype=np.int8)  # 4 outputs of 3 inputs
    constants = {"s": np.float32(0.1), "z": np.int8(0), "b": weights if transposed else weights.T.copy()}
    node = helper.make_node(
        "QGemm", ["x", "s", "z", "b", "s", "z", "", "s", "z"], ["y"], "fc", transB=transposed, domain="com.microsoft"
    )
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.INT8, [1, 3])],
        [helper.make_tensor_value_info("y", TensorProto.INT8, [1, 4])],
        [numpy_helper.from_array(np.asarray(v), n) for n, v in constants.items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    out = tmp_path / "set"  # type: ignore[operator]
    write(out, model, [{"x": np.ones((1, 3), np.int8)}], 1, options=Options(formats=("npy",), weights=order))
    found = read(out)
    tensor = found.find("b", "weight")
    np.testing.assert_array_equal(found.array(tensor), constants["b"], strict=True)
    stored = np.load(out / tensor.files["npy"]["file"])
    by_output = transposed or order == "OHWI"
    assert tensor.layout == ("OI" if by_output else "IO")
    np.testing.assert_array_equal(stored, weights if by_output else weights.T)
    assert matrix_layout(bool(transposed), order).name == tensor.layout
