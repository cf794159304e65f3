"""The lowering of devices: activations become limits of codes, and what moves codes runs on codes.

Scales are powers of two here, so that float32 holds every value: what ONNX Runtime computes node by node is then the
real value, rounded once, half to even, which is what the profile 'exact' says.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import qdqnp
from qdqnp.element_types import INT4, UINT4
from qdqnp.lowering.device.activations import joined, rounded_away, rounded_even
from tests.lowering.models import F, Net

SHAPE = (1, 4, 6, 6)
WHOLE = ("tflite", "cmsis-nn", "neural-art", "exact")


def unfused(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    """What ONNX Runtime makes of the nodes one by one."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    found: np.ndarray = session.run(None, {session.get_inputs()[0].name: x})[0]
    return found


def codes_in(seed: int, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """Real values of int8 codes of scale 1/16."""
    return (np.random.default_rng(seed).integers(-128, 128, shape) / 16).astype(F)


class Drawn:
    """A network of random layers, each quantized with a power of two and any zero point."""

    def __init__(self, draw: Callable[[st.SearchStrategy[Any]], Any]) -> None:
        self.draw = draw
        self.net = Net(opset=draw(st.sampled_from((12, 13, 17, 21))), seed=draw(st.integers(0, 2**16)))
        self.scale, self.zero = 1 / 16, 0
        self.real = self.net.qdq(self.net.input(SHAPE), self.scale)
        for _ in range(draw(st.integers(1, 5))):
            getattr(self, draw(st.sampled_from(LAYERS)))()
        self.net.output(self.real)

    def quantized(self, x: str) -> None:
        """An activation or none, or two, and a Q-DQ pair, perhaps with other parameters."""
        for _ in range(self.draw(st.integers(0, 2))):
            x = self.activation(x)
        if self.draw(st.booleans()):
            self.scale = 2.0 ** self.draw(st.integers(-6, -2))
            self.zero = self.draw(st.sampled_from((0, 0, -128, 5, 127)))
        self.real = self.net.qdq(x, self.scale, self.zero)

    def activation(self, x: str) -> str:
        if self.draw(st.booleans()):
            return str(self.net.node("Relu", x))
        low = self.draw(st.sampled_from((None, -1.0, 0.0, 0.03125, 3.0)))
        high = self.draw(st.sampled_from((None, 0.0, 1.0, 6.0, 100.0)))
        bounds = ["" if bound is None else self.net.const(F(bound)) for bound in (low, high)]
        return str(self.net.node("Clip", x, *bounds))

    def conv(self) -> None:
        codes = self.net.const(self.net.rng.integers(-8, 9, (4, 4, 3, 3)).astype(np.int8))
        scale = 2.0 ** self.draw(st.integers(-7, -4))
        bias_scale, dtype = self.draw(st.sampled_from(((scale * self.scale, np.int32), (1 / 4, np.int8))))
        bias = self.net.const(self.net.rng.integers(-100, 101, 4).astype(dtype))
        weight = self.net.dq(codes, scale)
        added = self.net.dq(bias, bias_scale, None) if dtype == np.int32 else self.net.dq(bias, bias_scale)
        self.quantized(self.net.node("Conv", self.real, weight, added, pads=[1, 1, 1, 1]))

    def add(self) -> None:
        other = self.net.node("Relu", self.real) if self.draw(st.booleans()) else self.real
        self.quantized(self.net.node("Add", self.real, self.net.qdq(other, 1 / 8, 3)))

    def relu(self) -> None:
        self.quantized(self.net.node("Relu", self.real))

    def bare_relu(self) -> None:
        self.real = self.net.node("Relu", self.real)

    def max_pool(self) -> None:
        self.real = self.net.node("MaxPool", self.real, kernel_shape=[3, 3], pads=[1, 1, 1, 1])

    def turned(self) -> None:
        self.real = self.net.node("Transpose", self.real, perm=[0, 1, 3, 2])

    def flat_and_back(self) -> None:
        flat = self.net.node("Flatten", self.real)
        if self.draw(st.booleans()):
            flat = self.net.qdq(flat, self.scale, self.zero)
        self.real = self.net.node("Reshape", flat, self.net.const(np.array(SHAPE)))

    def padded(self) -> None:
        sizes = self.net.const(np.array([0, 0, 1, 0, 0, 0, -1, 0]))
        value = self.draw(st.sampled_from((0.0, self.scale * (5 - self.zero))))
        self.real = self.net.node("Pad", self.real, sizes, self.net.const(F(value)))

    def mean(self) -> None:
        """Over 2 x 2 blocks, whichever their axes; then as before, repeated."""
        blocks = self.net.node("Reshape", self.real, self.net.const(np.array((1, 4, 3, 2, 3, 2))))
        keep = self.draw(st.integers(0, 1))
        axes: dict[str, Any] = {"axes": [3, 5]} if self.net.opset < 18 else {}
        inputs = [] if axes else [self.net.const(np.array([-1, 3]))]
        self.quantized(self.net.node("ReduceMean", blocks, *inputs, keepdims=keep, **axes))
        small = self.net.node("Reshape", self.real, self.net.const(np.array((1, 4, 3, 3))))
        self.real = self.net.node("Tile", small, self.net.const(np.array((1, 1, 2, 2))))

    def joined(self) -> None:
        halves = [
            self.net.node(
                "Slice", self.real, *(self.net.const(np.array([v])) for v in ends), self.net.const(np.array([1]))
            )
            for ends in ((0, 2), (2, 4))
        ]
        self.real = self.net.node("Concat", *halves, axis=1)
        self.quantized(self.real)

    def two_readers(self) -> None:
        pooled = self.net.node("MaxPool", self.real, kernel_shape=[1, 1])
        left = self.net.qdq(pooled, self.scale, self.zero)
        self.quantized(self.net.node("Add", left, pooled))


LAYERS = [
    "conv",
    "add",
    "relu",
    "bare_relu",
    "max_pool",
    "turned",
    "flat_and_back",
    "padded",
    "mean",
    "joined",
    "two_readers",
]


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_networks_are_the_real_values_rounded_once(data: st.DataObject) -> None:
    model = Drawn(data.draw).net.model()
    x = codes_in(data.draw(st.integers(0, 2**16)))
    found = qdqnp.load(model).run(x, profile="exact")
    assert np.array_equal(next(iter(found.values())), unfused(model, x))


def network(build: Callable[[Net, str], str], scale: float = 1 / 16, zero: int = 0, **more: Any) -> onnx.ModelProto:
    """DQ -> what `build` makes -> Q -> DQ."""
    net = Net(**more)
    net.output(net.qdq(build(net, net.qdq(net.input(SHAPE), 1 / 16)), scale, zero))
    return net.model()


def conv(net: Net, x: str) -> str:
    return str(net.node("Conv", x, net.weight(4, 4, 1, 1, scale=1 / 64)))


@pytest.mark.parametrize("zero", [0, -128, 17])
@pytest.mark.parametrize("profile", WHOLE)
def test_a_relu_is_a_clamp_at_the_zero_point_whatever_that_is(profile: str, zero: int) -> None:
    with_relu = qdqnp.load(network(lambda net, x: net.node("Relu", conv(net, x)), zero=zero))
    without = qdqnp.load(network(conv, zero=zero))
    steps = with_relu.program(profile).steps
    assert [step.op for step in steps] == ["QuantizeLinear", "QLinearConv", "DequantizeLinear"]
    assert steps[1].y.limits == (zero, 127)
    made, plain = (model.run(codes_in(1), profile=profile, codes=True) for model in (with_relu, without))
    (got,), (bare,) = made.values(), plain.values()
    assert (bare < zero).any() or zero == -128
    assert np.array_equal(got, np.maximum(bare, np.int8(zero)))


@pytest.mark.parametrize(
    "op", ["Conv", "Add", "Mul", "AveragePool", "GlobalAveragePool", "Concat", "MatMul", "MaxPool"]
)
def test_every_operator_takes_the_limits(op: str) -> None:
    """The codes with a Relu6 are those without, clamped."""

    def made(net: Net, x: str) -> str:
        inputs, attributes = [x], {}
        if op == "Conv":
            inputs.append(net.weight(4, 4, 1, 1, scale=1 / 64))
        elif op in ("Add", "Mul", "Concat"):
            inputs.append(x)
            attributes = {"axis": 1} if op == "Concat" else {}
        elif op in ("AveragePool", "MaxPool"):
            attributes = {"kernel_shape": [2, 2]}
        elif op == "MatMul":
            inputs.append(net.weight(6, 6, scale=1 / 64))
        return str(net.node(op, *inputs, **attributes))

    def limited(net: Net, x: str) -> str:
        return str(net.node("Clip", made(net, x), net.const(F(0)), net.const(F(6))))

    for profile in ("tflite", "exact"):
        models = [qdqnp.load(network(build, 1 / 16, -20)) for build in (limited, made)]
        got, plain = (next(iter(m.run(codes_in(2), profile=profile, codes=True).values())) for m in models)
        assert all(step.op != "Relu" for step in models[0].program(profile).steps)
        assert np.array_equal(got, np.clip(plain, -20, -20 + 96))
        assert (plain > 76).any() or (plain < -20).any()


def test_rounding_of_bounds() -> None:
    """6 / s in float32, halves away from zero (TFLite); or the numbers themselves, halves to even."""
    assert (rounded_away(F(6), F(4)), rounded_even(F(6), F(4))) == (2, 2)
    assert (rounded_away(F(10), F(4)), rounded_even(F(10), F(4))) == (3, 2)
    assert (rounded_away(F(-10), F(4)), rounded_even(F(-10), F(4))) == (-3, -2)
    scale = F(0.052173912525177)  # 6 / scale is below 115, so far that its float32 is, too
    assert rounded_away(F(6), scale) == rounded_even(F(6), scale) == 115
    scale = F(0.23529411852359772)  # 6 / scale is not quite n + 1/2, but its float32 is
    assert F(6) / scale == F(25.5) and Fraction(6) / Fraction(float(scale)) < Fraction(51, 2)
    assert (rounded_away(F(6), scale), rounded_even(F(6), scale)) == (26, 25)
    for rounded in (rounded_away, rounded_even):
        assert rounded(F(np.inf), F(0.1)) > 2**31 and rounded(F(-np.inf), F(0.1)) < -(2**31)
        assert rounded(F(3e38), F(1e-38)) > 2**31


@given(st.lists(st.tuples(st.integers(-10, 10), st.integers(0, 10)), min_size=2, max_size=2), st.integers(-30, 30))
def test_two_clamps_are_one(both: list[tuple[int, int]], x: int) -> None:
    first, then = ((low, low + more) for low, more in both)
    assert np.clip(x, *joined(first, then)) == np.clip(np.clip(x, *first), *then)


def test_a_bias_in_coarser_units_is_brought_to_those_of_the_sums() -> None:
    def made(net: Net, x: str, scale: float, dtype: Any) -> str:
        bias = net.dq(net.const(np.array([1, -2, 3, 100], dtype)), scale, dtype(0), dtype)
        return str(net.node("Conv", x, net.weight(4, 4, 1, 1, scale=1 / 64), bias))

    for scale, dtype in ((1 / 4, np.int8), (1 / 1024, np.int32), (0.5, np.int32)):
        model = network(lambda net, x, s=scale, d=dtype: made(net, x, s, d))  # type: ignore[misc]
        found = next(iter(qdqnp.load(model).run(codes_in(3), profile="exact").values()))
        assert np.array_equal(found, unfused(model, codes_in(3)))


def bias_of_its_own(net: Net, x: str) -> str:
    bias = net.dq(net.const(np.arange(4, dtype=np.int32)), 0.3, None)
    return str(net.node("Conv", x, net.weight(4, 4, 1, 1), bias))


def weight_of_another_type(net: Net, x: str) -> str:
    return str(net.node("Conv", x, net.weight(4, 4, 1, 1, dtype=np.uint8)))


def float_tail(net: Net, x: str) -> str:
    return str(net.node("Sqrt", conv(net, x)))


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (bias_of_its_own, "its bias scale is not input scale x weight scale"),
        (weight_of_another_type, "int8 activations need int8 weights, not uint8"),
        (float_tail, "no QuantizeLinear follows"),
    ],
)
def test_refusals_give_the_reason(build: Callable[[Net, str], str], reason: str) -> None:
    with pytest.raises(qdqnp.QdqnpError, match=reason):
        qdqnp.load(network(build)).plan("tflite")


def test_a_relu_that_others_read_stays_and_says_so() -> None:
    def made(net: Net, x: str) -> str:
        relu = net.node("Relu", conv(net, x))
        return str(net.node("Add", net.qdq(relu), relu))

    with pytest.raises(
        qdqnp.QdqnpError, match="Relu in float32: the Relu's float output has another use than one QuantizeLinear"
    ):
        qdqnp.load(network(made)).plan("tflite")


def clipped(net: Net, x: str, scale: float, limits: tuple[int, int]) -> str:
    """Q, a Clip of the codes, DQ: Brevitas' QCDQ, narrow or of few bits."""
    codes = net.q(x, scale)
    kept = net.node("Clip", codes, *(net.const(np.int8(limit)) for limit in limits))
    net.kinds[kept] = net.kinds[codes]
    return net.dq(kept, scale)


def test_a_clip_between_q_and_dq_is_the_limits_of_the_layer() -> None:
    net = Net(seed=1)
    x = clipped(net, net.input(SHAPE), 1 / 16, (-127, 127))
    w = net.const((net.rng.integers(-8, 8, (4, 4, 3, 3)) / 32).astype(F))
    made = net.node("Conv", x, clipped(net, w, 1 / 32, (-8, 7)), pads=[1, 1, 1, 1])
    net.output(clipped(net, net.node("Relu", made), 1 / 8, (-8, 7)))
    model = qdqnp.load(net.model())
    steps = model.program("exact").steps
    assert [step.op for step in steps] == ["QuantizeLinear", "Clip", "QLinearConv", "DequantizeLinear"]
    assert steps[2].y.limits == (0, 7)
    found = next(iter(model.run(codes_in(4), profile="exact").values()))
    assert np.array_equal(found, unfused(net.model(), codes_in(4)))


@pytest.mark.parametrize("dtype", [INT4, UINT4])
@pytest.mark.parametrize("per_channel", [False, True])
def test_weights_of_four_bits_are_int8_codes(dtype: np.dtype[Any], per_channel: bool) -> None:
    """Convolution and product; the same numbers as int8 give the same program's codes."""
    low = 0 if dtype == UINT4 else -8
    codes = np.random.default_rng(2).integers(low, low + 16, (4, 4, 1, 1))
    scale, zero = np.full(4, 1 / 32, F) if per_channel else F(1 / 32), np.full(4, low + 7) if per_channel else low + 7

    def model(kind: np.dtype[Any]) -> onnx.ModelProto:
        net = Net(opset=21)
        numbers = [net.const(codes.astype(kind)), net.const(scale), net.const(np.asarray(zero).astype(kind))]
        weight = net.node("DequantizeLinear", *numbers, axis=0)
        net.kinds[weight] = onnx.TensorProto.FLOAT
        net.output(net.qdq(net.node("Conv", net.qdq(net.input(SHAPE), 1 / 16), weight), 1 / 8))
        return net.model()

    narrow, wide = (qdqnp.load(model(kind)) for kind in (dtype, np.dtype(np.int8)))
    assert [step.op for step in narrow.program("tflite").steps] == ["QuantizeLinear", "QLinearConv", "DequantizeLinear"]
    for profile in ("tflite", "exact"):
        made = [next(iter(each.run(codes_in(5), profile=profile).values())) for each in (narrow, wide)]
        assert np.array_equal(*made)


def check_exact(net: Net) -> None:
    """The network is the real values, rounded once."""
    found = next(iter(qdqnp.load(net.model()).run(codes_in(6), profile="exact").values()))
    assert np.array_equal(found, unfused(net.model(), codes_in(6)))


@pytest.mark.parametrize("zero", [0, 9])
def test_codes_of_other_zero_points_are_not_joined_as_they_are(zero: int) -> None:
    net = Net()
    x = net.qdq(net.input(SHAPE), 1 / 16)
    net.output(net.qdq(net.node("Concat", x, net.qdq(x, 1 / 16, zero), axis=1), 1 / 16))
    check_exact(net)


def test_a_relu_behind_a_concat_of_the_same_parameters() -> None:
    net = Net()
    x = net.qdq(net.input(SHAPE), 1 / 16)
    net.output(net.qdq(net.node("Relu", net.node("Concat", x, net.qdq(x, 1 / 8), axis=1)), 1 / 16))
    check_exact(net)


def test_a_constant_without_a_code_is_not_padded_as_codes() -> None:
    net = Net(opset=17)
    x = net.qdq(net.input(SHAPE), 1 / 16)
    sizes = net.const(np.array([0, 0, 1, 1, 0, 0, 0, 0]))
    net.output(net.qdq(net.node("Pad", x, sizes, net.const(F(0.3))), 1 / 16))
    with pytest.raises(qdqnp.ProfileError, match="Pad in float32"):
        qdqnp.load(net.model()).plan("exact")
