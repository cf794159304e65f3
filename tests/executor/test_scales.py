"""The fast QuantizeLinear and DequantizeLinear against their definitions: every code, every kind of float."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import qdqnp
from qdqnp.executor.fast import scales
from qdqnp.executor.fast.kernel import Definition
from qdqnp.kernels.scratch import Scratch
from qdqnp.quant import Array, all_codes

F = np.float32


def quantizer(op: str, scale: float, zero: np.integer) -> onnx.ModelProto:
    kind = TensorProto.UINT8 if zero.dtype == np.uint8 else TensorProto.INT8
    made, read = (kind, TensorProto.FLOAT) if op == "QuantizeLinear" else (TensorProto.FLOAT, kind)
    graph = helper.make_graph(
        [helper.make_node(op, ["x", "s", "z"], ["y"])],
        op,
        [helper.make_tensor_value_info("x", read, ["N"])],
        [helper.make_tensor_value_info("y", made, ["N"])],
        [numpy_helper.from_array(np.asarray(scale, F), "s"), numpy_helper.from_array(np.asarray(zero), "z")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def both(op: str, scale: float, zero: np.integer, x: Array) -> tuple[Array, Array]:
    (bound,) = qdqnp.load(quantizer(op, scale, zero)).plan("ort").steps
    assert type(bound.kernel) is (scales.Quantized if op == "QuantizeLinear" else scales.Dequantized)
    with np.errstate(all="ignore"):
        (made,) = bound.kernel([x], Scratch())
        (defined,) = Definition(bound.operator, bound.binding)([x], Scratch())
    return made, defined


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_quantize(dtype: type, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scales, "PIECE", 1000)
    special = np.array([0.0, -0.0, np.nan, -np.nan, np.inf, -np.inf, 1e-45, 3.4e38, -3.4e38], F)
    for _ in range(50):
        scale = float(F(np.exp(rng.uniform(-20, 20)))) if rng.integers(4) else float(F(2.0 ** rng.integers(-9, 9)))
        zero = dtype(rng.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, endpoint=True))
        halves = (rng.integers(-600, 600, 700) / 2 * scale).astype(F)
        bits = rng.integers(0, 2**32, 700, dtype=np.uint32).view(F)
        x = rng.permutation(np.concatenate([special, halves, bits, (rng.normal(0, 90, 700) * scale).astype(F)]))
        made, defined = both("QuantizeLinear", scale, zero, x)
        np.testing.assert_array_equal(made, defined, strict=True)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_dequantize(dtype: type, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scales, "PIECE", 100)
    for _ in range(50):
        scale = float(F(np.exp(rng.uniform(-100, 88))))
        zero = dtype(rng.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, endpoint=True))
        made, defined = both("DequantizeLinear", scale, zero, all_codes(np.dtype(dtype)))
        assert made.tobytes() == defined.tobytes()


def test_other_arrays_take_the_definition(rng: np.random.Generator) -> None:
    x = rng.normal(0, 1, 64).astype(F)[::2]
    made, defined = both("QuantizeLinear", 0.01, np.int8(3), x)
    np.testing.assert_array_equal(made, defined, strict=True)
    made, defined = both("DequantizeLinear", 0.01, np.int8(3), x.astype(np.int8)[::2])
    np.testing.assert_array_equal(made, defined, strict=True)
