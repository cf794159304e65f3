"""Convolutions of few channels that make codes of real values themselves."""

from __future__ import annotations

from unittest.mock import patch

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from onnx import TensorProto, helper, numpy_helper

import qdqnp
from qdqnp.numerics import float32
from qdqnp.quant import Array
from qdqnp.schedule import planes
from qdqnp.schedule.actions import Compiled, Defined
from qdqnp.schedule.planes import Planes
from qdqnp.schedule.schedule import Schedule
from tests.schedule.compiled import check, computed

SHAPE = (1, 3, 6, 5)


def passing(scale: np.float32, zero: np.integer, x: int = TensorProto.FLOAT, readers: int = 1) -> onnx.ModelProto:
    """Real values become codes, which convolutions of 3x3 pass on as they are."""
    weights = np.zeros((3, 3, 3, 3), np.int8)
    weights[range(3), range(3), 1, 1] = 1
    constants = {"s": scale, "z": zero, "w": weights, "one": np.float32(1), "no": np.int8(0)}
    kind = helper.np_dtype_to_tensor_dtype(zero.dtype)
    nodes = [helper.make_node("QuantizeLinear", ["x", "s", "z"], ["codes"], name="quantize")]
    for at in range(readers):
        inputs = ["codes", "s", "z", "w", "one", "no", "s", "z"]
        nodes.append(helper.make_node("QLinearConv", inputs, [f"y{at}"], name=f"conv{at}", pads=[1] * 4))
    outputs = [helper.make_tensor_value_info(f"y{at}", kind, SHAPE) for at in range(readers)]
    graph = helper.make_graph(
        nodes,
        "passing",
        [helper.make_tensor_value_info("x", x, SHAPE)],
        outputs,
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=10)


def of_reals(schedule: Schedule) -> list[str]:
    """The labels of the convolutions that read real values."""
    return [form.label for form in computed(schedule) if isinstance(form, Planes) and form.codes == ("x",)]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    reals=arrays(np.float32, SHAPE, elements=st.floats(width=32)),
    halves=arrays(np.int16, SHAPE, elements=st.integers(-600, 600)),
    is_half=arrays(bool, SHAPE),
    exponent=st.floats(-15, 15),
    zero=st.integers(0, 255),
    dtype=st.sampled_from([np.int8, np.uint8]),
    rows=st.integers(3, 6),
)
def test_every_real_value_becomes_its_code(
    reals: Array, halves: Array, is_half: Array, exponent: float, zero: int, dtype: type, rows: int
) -> None:
    """Infinities, NaN, zeros of both signs, halves of a step; in bands of three rows and more."""
    scale, zero_point = np.float32(2.0**exponent), np.array(zero, np.uint8).view(dtype)[()]
    x = np.where(is_half, (halves / 2 * scale).astype(np.float32), reals)
    with patch.object(planes, "TILE", rows * 5 * 12):
        schedule = check(qdqnp.load(passing(scale, zero_point)), x, "ort", ["y0"])
    assert of_reals(schedule) == ["quantize, conv0"]
    assert not any(isinstance(action, Defined) for action in schedule.actions)
    with np.errstate(all="ignore"):
        expected = float32.quantize(x, scale, zero_point, np.dtype(dtype))
    np.testing.assert_array_equal(schedule.run({"x": x})["y0"], expected, strict=True)


def test_codes_that_others_read_are_made() -> None:
    """Another convolution, or who asks for them; or the codes are what a run is given."""
    scale, zero = np.float32(0.03), np.int8(7)
    x = np.random.default_rng(2).normal(0, 2, SHAPE).astype(np.float32)
    assert of_reals(check(qdqnp.load(passing(scale, zero, readers=2)), x, "ort", ["y0", "y1"])) == []
    model = qdqnp.load(passing(scale, zero))
    assert of_reals(check(model, x, "ort", ["y0", "codes"])) == []
    codes = float32.quantize(x, scale, zero, np.dtype(np.int8))
    assert of_reals(check(model, codes, "ort", ["y0"])) == []
    assert of_reals(check(model, x, "ort", ["y0"])) == ["quantize, conv0"]


def test_reals_of_another_type_and_bands_that_read_rows_too_often_are_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    scale, zero = np.float32(0.03), np.int8(7)
    x = np.random.default_rng(2).normal(0, 2, SHAPE).astype(np.float32)
    half = qdqnp.load(passing(scale, zero, x=TensorProto.FLOAT16))
    assert of_reals(check(half, x.astype(np.float16), "ort", ["y0"])) == []
    monkeypatch.setattr(planes, "TILE", 1)
    schedule = check(qdqnp.load(passing(scale, zero)), x, "ort", ["y0"])
    assert of_reals(schedule) == []
    assert [type(action) for action in schedule.actions[:2]] == [Defined, Compiled]
