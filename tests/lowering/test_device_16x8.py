"""Networks of int16 codes under tflite-16x8: QDQ models of one operator against LiteRT's kernels of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import qdqnp
from qdqnp.errors import ProfileError
from tests.numerics.profiles.tflite_cases import MAKE_16X8
from tests.numerics.profiles.tflite_operators import ADD, AVERAGE, CONV, DEPTHWISE, FULL, MATMUL, MEAN, MUL, QUANTIZE
from tests.oracles.tflite import REFERENCE, Operator, Tensor
from tests.oracles.tflite_kernels import missing, run

Array = Any
PROFILE = "tflite-16x8"


class Net:
    """A QDQ model under construction."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.inputs: dict[str, Array] = {}

    def constant(self, value: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def parameters(self, tensor: Tensor) -> list[str]:
        one = tensor.scale.size == 1
        scale = tensor.scale.reshape(() if one else -1)
        zero = np.zeros(scale.shape, tensor.values.dtype)
        return [self.constant(scale), self.constant(zero)]

    def real(self, tensor: Tensor, values: Array, fixed: bool, axis: int = 0) -> str:
        """The dequantized tensor: a constant, or a graph input of codes."""
        name = self.constant(values) if fixed else f"x{len(self.inputs)}"
        if not fixed:
            self.inputs[name] = values
        extra = {"axis": axis} if tensor.scale.size > 1 else {}
        parameters = self.parameters(Tensor(values, tensor.scale, tensor.zero_point, axis))
        self.nodes.append(helper.make_node("DequantizeLinear", [name, *parameters], [f"{name}_r"], **extra))
        return f"{name}_r"

    def finish(self, made: str, output: Tensor) -> qdqnp.Model:
        self.nodes.append(helper.make_node("QuantizeLinear", [made, *self.parameters(output)], ["y"]))
        kind = helper.np_dtype_to_tensor_dtype
        inputs = [helper.make_tensor_value_info(n, kind(v.dtype), v.shape) for n, v in self.inputs.items()]
        outputs = [helper.make_tensor_value_info("y", kind(output.values.dtype), None)]
        graph = helper.make_graph(self.nodes, "net", inputs, outputs, self.constants)
        return qdqnp.load(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10))

    def call(self, op: str, inputs: list[str], **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, inputs, ["m"], **attributes))
        return "m"


def channels_first(values: Array) -> Array:
    return np.ascontiguousarray(np.moveaxis(values, -1, 1))


def convolution(net: Net, op: Operator) -> str:
    x, w, bias = op.inputs
    assert x is not None and w is not None and bias is not None
    depthwise = op.kind == DEPTHWISE
    weights = np.moveaxis(w.values, -1, 0) if depthwise else channels_first(w.values)
    group = len(weights) if depthwise else 1
    names = [net.real(x, channels_first(x.values), False), net.real(w, np.ascontiguousarray(weights), True)]
    names.append(net.real(bias, bias.values.astype(np.int32), True))
    return net.call("Conv", names, group=group)


def fully_connected(net: Net, op: Operator) -> str:
    x, w, bias = op.inputs
    assert x is not None and w is not None and bias is not None
    names = [net.real(x, x.values, False), net.real(w, w.values, True)]
    names.append(net.real(bias, bias.values.astype(np.int32), True))
    return net.call("Gemm", names, transB=1)


def of_two(op_type: str) -> Callable[[Net, Operator], str]:
    def build(net: Net, op: Operator) -> str:
        return net.call(op_type, [net.real(tensor, tensor.values, False) for tensor in op.inputs if tensor is not None])

    return build


def average(net: Net, op: Operator) -> str:
    x, chosen = op.inputs[0], op.options
    assert x is not None
    names = [net.real(x, channels_first(x.values), False)]
    kernel, strides = [chosen.filterHeight, chosen.filterWidth], [chosen.strideH, chosen.strideW]
    pads = "SAME_UPPER" if chosen.padding == 0 else "VALID"
    return net.call("AveragePool", names, kernel_shape=kernel, strides=strides, auto_pad=pads)


def mean(net: Net, op: Operator) -> str:
    x = op.inputs[0]
    assert x is not None
    return net.call("GlobalAveragePool", [net.real(x, channels_first(x.values), False)])


def requantize(net: Net, op: Operator) -> str:
    (x,) = op.inputs
    assert x is not None
    return net.call("Concat", [net.real(x, x.values, False)], axis=0)


BUILD: Mapping[str, Callable[[Net, Operator], str]] = {
    CONV: convolution,
    DEPTHWISE: convolution,
    FULL: fully_connected,
    MATMUL: of_two("MatMul"),
    ADD: of_two("Add"),
    MUL: of_two("Mul"),
    AVERAGE: average,
    MEAN: mean,
    QUANTIZE: requantize,
}


@pytest.mark.oracle
@pytest.mark.parametrize("kind", MAKE_16X8)
def test_a_network_of_one_operator_is_litert_s(kind: str, rng: np.random.Generator) -> None:
    if missing(REFERENCE):
        pytest.skip(missing(REFERENCE))
    for _ in range(1 if kind in (CONV, DEPTHWISE, FULL) else 3):  # tens of thousands of codes each
        op, net = MAKE_16X8[kind](rng), Net()
        model = net.finish(BUILD[op.kind](net, op), op.output)
        wanted = run(op, REFERENCE)
        if wanted.ndim == 4:
            wanted = channels_first(wanted)
        found = model.run(net.inputs, profile=PROFILE)["y"]
        assert found.dtype == np.int16 and np.array_equal(found, wanted.reshape(found.shape))
        assert not any(step.quantizes or step.dequantizes for step in model.program(PROFILE).steps)
        for strategy in ("auto", "int64"):
            assert np.array_equal(model.run(net.inputs, profile=PROFILE, strategy=strategy)["y"], found)


def one(op: str, dtype: Any) -> qdqnp.Model:
    """x -> DQ -> op -> Q, of codes of that type."""
    net, shape = Net(), (1, 2, 2, 2)
    x = Tensor(np.zeros(shape, dtype), np.float32([0.5]), np.array([0]), 0)
    w = Tensor(np.ones((2, 2, 1, 1), np.int8), np.float32([0.25]), np.array([0]), 0)
    names = [net.real(x, x.values, False)]
    names += [net.real(w, w.values, True)] if op == "Conv" else names if op == "Add" else []
    made, output = net.call(op, names), Tensor(x.values, np.float32([1.0]), np.array([0]), 0)
    return net.finish(made, output)


@pytest.mark.parametrize(
    ("op", "dtype", "profile", "says"),
    [
        ("Conv", np.uint16, "tflite-16x8", "uint16 codes have no integer kernel"),
        ("Sigmoid", np.int16, "tflite-16x8", "int16 codes have no integer kernel"),
        ("Conv", np.int16, "tflite", "int16 codes have no integer kernel"),
        ("Add", np.int16, "cmsis-nn", "int16 codes have no integer kernel"),
    ],
)
def test_codes_without_a_kernel_are_refused_with_the_reason(op: str, dtype: Any, profile: str, says: str) -> None:
    with pytest.raises(ProfileError, match=says):
        one(op, dtype).plan(profile)


def conv_model(dtype: Any, zero: int) -> qdqnp.Model:
    """Sums of two channels, a quarter of each code's half."""
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "s", "z"], ["xr"]),
        helper.make_node("DequantizeLinear", ["w", "t"], ["wr"]),
        helper.make_node("Conv", ["xr", "wr"], ["m"]),
        helper.make_node("QuantizeLinear", ["m", "u", "z"], ["y"]),
    ]
    constants = {"s": np.float32(0.5), "t": np.float32(0.25), "u": np.float32(1), "z": np.array(zero, dtype)}
    constants["w"] = np.ones((2, 2, 1, 1), np.int8)
    infos = [helper.make_tensor_value_info(name, kind, [1, 2, 2, 2]) for name in "xy"]
    given = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "net", infos[:1], infos[1:], given)
    return qdqnp.load(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10))


def test_a_zero_point_is_refused_with_the_reason() -> None:
    with pytest.raises(ProfileError, match="zero point 0 only"):
        conv_model(np.int16, 3).plan("tflite-16x8")


@pytest.mark.parametrize("dtype", [np.int16, np.uint16])
def test_the_exact_profile_takes_any_16_bit_codes(dtype: Any) -> None:
    """Rounded half to even; the zero points are 7."""
    x = np.array([8, 9, 65, 70, 7, 6, 5, 300], dtype).reshape(1, 2, 2, 2)
    sums = (x.astype(np.int64) - 7).sum(axis=1).reshape(-1)
    wanted = [round(Fraction(int(value), 8)) + 7 for value in sums]
    found = conv_model(dtype, 7).run(x, profile="exact")["y"]
    assert found.dtype == dtype and found.reshape(2, 4).tolist() == [wanted, wanted]


def test_a_file_s_own_operator_of_16_bit_codes_needs_such_a_profile() -> None:
    scale, zero = numpy_helper.from_array(np.float32(1), "s"), numpy_helper.from_array(np.int16(0), "z")
    node = helper.make_node("QLinearAdd", ["x", "s", "z", "x", "s", "z", "s", "z"], ["y"], domain="com.microsoft")
    x, y = (helper.make_tensor_value_info(name, onnx.TensorProto.INT16, [3]) for name in "xy")
    graph = helper.make_graph([node], "net", [x], [y], [scale, zero])
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    model = qdqnp.load(helper.make_model(graph, opset_imports=opsets, ir_version=10))
    with pytest.raises(ProfileError, match="the codes: expected 8 bits, got 16 bits"):
        model.plan("ort")
    found = model.run(np.array([1, -20000, 30000], np.int16), profile="tflite-16x8")["y"]
    assert found.tolist() == [2, -32768, 32767]
