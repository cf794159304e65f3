"""Our lowered graph is ONNX Runtime's optimized graph: nodes, wires, attributes and constants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from onnx import TensorProto

from qdqnp.errors import ModelError
from qdqnp.lowering import LOWERINGS
from tests.lowering.convert import to_graph
from tests.lowering.models import MS, F, Net
from tests.lowering.nets import nets
from tests.lowering.peer import SESSIONS, compare, peer_graph

SHAPE = (1, 4, 8, 8)


def check(net: Net) -> None:
    model = net.model()
    graph = to_graph(model)
    for name in SESSIONS:
        lowering = LOWERINGS[name]
        try:
            ours, _ = lowering.lower_graph(graph)
        except ModelError:
            with pytest.raises(Exception, match=r"TypeInferenceError|Type Error"):
                peer_graph(model, name)
            continue
        only_ours, only_peer = compare(ours, peer_graph(model, name), graph)
        assert (name, dict(only_ours), dict(only_peer)) == (name, {}, {})


@given(nets())
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
def test_random_nets(net: Net) -> None:
    check(net)


CASES: dict[str, Callable[[], Net]] = {}


def case(build: Callable[[Net, str], Any], opset: int = 17, shape: tuple[int, ...] = SHAPE) -> Callable[[], Net]:
    """A net that starts with a quantized input; what `build` returns is quantized and becomes the output."""

    def make() -> Net:
        net = Net(opset)
        result = build(net, net.qdq(net.input(shape)))
        if result is not None:
            net.output(net.qdq(result, 0.1))
        return net

    return make


def conv(net: Net, x: str, **more: Any) -> str:
    return str(net.node("Conv", x, net.weight(4, 4, 1, 1), **more))


def conv_bias(scale: float) -> Callable[[Net, str], str]:
    def build(net: Net, x: str) -> str:
        bias = net.dq(net.const(np.arange(4, dtype=np.int32)), F(0.05) * F(0.01) * F(scale), 0, np.int32)
        return str(net.node("Conv", x, net.weight(4, 4, 1, 1), bias))

    return build


def moved_int32() -> Net:
    net = Net()
    codes = net.input(SHAPE, TensorProto.INT32)
    net.output(net.node("HardSigmoid", net.node("Transpose", net.dq(codes, dtype=np.int32), perm=[0, 1, 3, 2])))
    return net


def pool(net: Net, x: str, **more: Any) -> str:
    return str(net.node("MaxPool", x, kernel_shape=[2, 2], **more))


def outputs(*names: Callable[[Net, str], str]) -> Callable[[Net, str], None]:
    return lambda net, x: net.output(*(name(net, x) for name in names))


def ints(net: Net, *values: int) -> str:
    return net.const(np.array(values, np.int64))


for factor in (0.9, 0.98, 0.995, 1.0, 1.005, 1.02, 2.0):
    CASES[f"bias scale x {factor}"] = case(conv_bias(factor))
for opset in (10, 11, 12, 13, 18, 21, 22, 23, 24):
    CASES[f"Conv Relu, opset {opset}"] = case(lambda n, x: n.node("Relu", conv(n, x)), opset)
    CASES[f"MaxPool Conv, opset {opset}"] = case(lambda n, x: conv(n, pool(n, x)), opset)
    if opset < 18:
        CASES[f"Softmax, opset {opset}"] = case(lambda n, x: n.node("Softmax", x), opset)
for opset in (13, 18, 21, 23):
    CASES[f"moves, opset {opset}"] = case(
        lambda n, x: conv(n, n.node("Unsqueeze", n.node("Squeeze", x, ints(n, 0)), ints(n, 0))), opset
    )
    CASES[f"Transpose, opset {opset}"] = case(lambda n, x: conv(n, n.node("Transpose", x, perm=[0, 1, 3, 2])), opset)
for op in ("Sub", "Div", "Max", "Min", "Pow"):
    CASES[op] = case(lambda n, x, op=op: n.node(op, x, n.qdq(n.input(SHAPE))))
for op in ("Add", "Mul"):
    for name, dtype in (("int8", np.int8), ("uint8", np.uint8)):
        CASES[f"{op} with {name} constant"] = case(
            lambda n, x, op=op, t=dtype: n.node(op, x, n.weight(1, 4, 1, 1, dtype=t))
        )
    CASES[f"{op} with float constant"] = case(lambda n, x, op=op: n.node(op, x, n.floats(1, 4, 1, 1)))
    CASES[f"{op} with itself"] = case(lambda n, x, op=op: n.node(op, x, x))
    CASES[f"{op} with vectors of one scale"] = case(
        lambda n, x, op=op: n.node(op, x, n.dq(n.q(n.input(SHAPE)), [0.05], [0]))
    )
for op, attributes in (
    ("DepthToSpace", {"blocksize": 2}),
    ("SpaceToDepth", {"blocksize": 2}),
    ("ReduceMean", {}),
    ("ReduceMax", {}),
    ("Tanh", {}),
    ("Relu", {}),
    ("Flatten", {}),
    ("Neg", {}),
):
    for scale in (0.05, 0.1):
        CASES[f"{op} to scale {scale}"] = case(
            lambda n, x, op=op, a=attributes, s=scale: n.output(n.qdq(n.node(op, x, **a), s))
        )
for value in (0.0, 1.5, -2.0):
    CASES[f"Where {value}"] = case(
        lambda n, x, v=value: n.node("Where", n.node("Equal", n.input(SHAPE), n.const(F(0))), x, n.const(F(v)))
    )
CASES |= {
    "ArgMax": case(lambda n, x: n.output(n.node("ArgMax", x, axis=1))),
    "Gather": case(lambda n, x: n.output(n.qdq(n.node("Gather", x, ints(n, 0, 1), axis=1)))),
    "Conv is a graph output": case(lambda n, x: n.output(y := conv(n, x), n.qdq(y))),
    "Q is a graph output": case(lambda n, x: n.output(n.q(conv(n, x)))),
    "two equal Q": case(lambda n, x: n.output(n.qdq(y := conv(n, x)), n.qdq(y))),
    "two Q": case(lambda n, x: n.output(n.qdq(y := conv(n, x)), n.qdq(y, 0.2))),
    "MaxPool and Conv share a DQ": case(outputs(lambda n, x: n.qdq(conv(n, x)), lambda n, x: n.qdq(pool(n, x), 0.3))),
    "DQ MaxPool as output": case(outputs(pool)),
    "DQ MaxPool as output and used": case(lambda n, x: n.output(y := pool(n, x), n.qdq(conv(n, y)))),
    "DQ MaxPool to Q and Conv": case(lambda n, x: n.output(n.qdq(y := pool(n, x)), n.qdq(conv(n, y)))),
    "DQ as output": case(lambda n, x: n.output(x, n.qdq(pool(n, x)))),
    "Gemm to float": case(lambda n, x: n.output(n.node("Gemm", x, n.weight(8, 5))), shape=(4, 8)),
    "Gemm Relu to float": case(
        lambda n, x: n.output(n.node("Tanh", n.node("Relu", n.node("Gemm", x, n.weight(8, 5))))), shape=(4, 8)
    ),
    "Gemm alpha": case(lambda n, x: n.node("Gemm", x, n.weight(5, 8), transB=1, alpha=0.5), shape=(4, 8)),
    "Gemm alpha bias": case(lambda n, x: n.node("Gemm", x, n.weight(8, 5), n.floats(5), alpha=0.5), shape=(4, 8)),
    "MatMul to float": case(lambda n, x: n.output(n.node("MatMul", x, n.weight(8, 5))), shape=(4, 8)),
    "MatMul of weights only": case(
        lambda n, x: n.output(n.node("MatMul", n.node("Tanh", x), n.weight(8, 5))), shape=(4, 8)
    ),
    "MatMul per row": case(
        lambda n, x: n.node("MatMul", x, n.weight(4, 4, scale=np.arange(1, 5) / F(9), zero=np.zeros(4), axis=0)),
        shape=(4, 4),
    ),
    "stacked MatMul Add": case(
        lambda n, x: n.node("Add", n.node("MatMul", x, n.weight(8, 5)), n.floats(5)), shape=(2, 4, 8)
    ),
    "transposed weight": case(
        lambda n, x: n.node("MatMul", x, n.node("Transpose", n.weight(5, 8), perm=[1, 0])), shape=(4, 8)
    ),
    "reshaped weight": case(lambda n, x: n.node("Conv", x, n.node("Reshape", n.weight(16), ints(n, 4, 4, 1, 1)))),
    "quantized float weight": case(lambda n, x: n.node("Conv", x, n.qdq(n.floats(4, 4, 1, 1), 0.02))),
    "Pad Conv": case(lambda n, x: conv(n, n.node("Pad", x, ints(n, 0, 0, 1, 1, 0, 0, 1, 1)))),
    "Pad AveragePool": case(
        lambda n, x: n.node("AveragePool", n.node("Pad", x, ints(n, 0, 0, 1, 1, 0, 0, 1, 1)), kernel_shape=[2, 2])
    ),
    "int32 codes moved": lambda: moved_int32(),
    "Q and DQ of other zero points": case(lambda n, x: conv(n, n.dq(n.q(conv(n, x), 0.05, 3), 0.05, 4))),
    "codes moved between Q and DQ": case(
        lambda n, x: conv(n, n.dq(n.node("Identity", n.node("Transpose", n.q(conv(n, x)), perm=[0, 1, 3, 2]))))
    ),
    "linear Resize": case(
        lambda n, x: n.output(n.qdq(n.node("Resize", x, "", n.const(np.array([1, 1, 2, 2], F)), mode="linear")))
    ),
}


def halves(net: Net, x: str, scale: float = 0.05) -> list[str]:
    """Two Slices that cover the channels, each quantized."""
    first = net.node("Slice", x, ints(net, 0), ints(net, 2), ints(net, 1))
    second = net.node("Slice", x, ints(net, -2), ints(net, 2**63 - 1), ints(net, -3), ints(net, 1))
    return [net.qdq(part, scale) for part in (second, first)]


def slices(*cuts: tuple[int, ...]) -> Callable[[Net, str], None]:
    """A Slice for each (start, end, axis, step), each quantized."""
    return lambda net, x: net.output(
        *(net.qdq(net.node("Slice", x, *(ints(net, number) for number in cut))) for cut in cuts)
    )


def gathered(*indices: int, rank: int = 0, axis: int = 1) -> Callable[[Net, str], None]:
    """A Gather of one element for each index, each quantized; of codes that have them all as readers."""

    def build(net: Net, x: str) -> None:
        at = [net.const(np.full((1,) * rank, index, np.int64)) for index in indices]
        net.output(*(net.qdq(net.node("Gather", x, each, axis=axis)) for each in at))

    return build


for opset in (12, 13, 17, 18, 21):
    CASES[f"Slices that cover an axis, opset {opset}"] = case(lambda n, x: n.output(*halves(n, x)), opset)
for opset in (11, 13, 18):
    CASES[f"Split, opset {opset}"] = case(
        lambda n, x, o=opset: n.output(
            *(n.qdq(part) for part in n.node("Split", x, outputs=2, axis=1, **({"num_outputs": 2} if o >= 18 else {})))
        ),
        opset,
    )
CASES |= {
    "Slices to another scale": case(lambda n, x: n.output(*halves(n, x, 0.1))),
    "Slices of a float tensor": case(lambda n, x: n.output(*halves(n, n.node("Tanh", x)))),
    "Slices of a graph input": case(lambda n, x: n.output(*halves(n, n.input(SHAPE)))),
    "Slices of a Reshape": case(lambda n, x: n.output(*halves(n, n.qdq(n.node("Reshape", x, ints(n, 1, 4, 64)))))),
    "Slices that leave a gap": case(slices((0, 1, 1), (2, 4, 1))),
    "Slices that leave the end": case(slices((0, 1, 1), (1, 3, 1))),
    "Slices that overlap": case(slices((0, 3, 1), (2, 4, 1))),
    "Slices with steps": case(slices((0, 4, 2, 1), (4, 8, 2, 2))),
    "Slices that cover an axis and one with steps": case(slices((0, 2, 1), (2, 4, 1), (0, 4, 1, 2))),
    "Slices of two axes": case(slices((0, 4, 2), (4, 8, 3))),
    "Slices of three parts": case(slices((2, 9, 1), (0, 1, 1), (1, 2, 1))),
    "an empty Slice": case(slices((0, 4, 1), (4, 4, 1))),
    "Slices and another reader": case(lambda n, x: n.output(*halves(n, x), n.qdq(conv(n, x)))),
    "Slices without axes": case(slices((0, 1), (1, 2)), shape=(2, 4)),
    "Gathers of every element": case(gathered(3, 0, -2, 1)),
    "Gathers of every element, rank 1": case(gathered(0, 1, 2, 3, rank=1)),
    "Gathers of some elements": case(gathered(0, 1, 3)),
    "Gathers of the same element": case(gathered(0, 1, 1, 3)),
    "Gather and Slice": case(
        lambda n, x: n.output(
            n.qdq(n.node("Gather", x, n.const(np.int64(0)), axis=1)),
            n.qdq(n.node("Slice", x, ints(n, 1), ints(n, 4), ints(n, 1))),
        )
    ),
    "Gather alone": case(lambda n, x: n.output(n.qdq(n.node("Gather", x, ints(n, 3, 1, 1), axis=-3)))),
    "Slice backwards": case(
        lambda n, x: n.output(n.qdq(n.node("Slice", x, ints(n, -1), ints(n, -(2**63)), ints(n, 2), ints(n, -1))))
    ),
    "sliced weight": case(
        lambda n, x: n.node("Conv", x, n.node("Slice", n.weight(6, 4, 1, 1), ints(n, 0), ints(n, 4), ints(n, 0)))
    ),
    "sliced float weight": case(
        lambda n, x: n.node("Conv", x, n.node("Slice", n.floats(6, 4, 1, 1), ints(n, 0), ints(n, 4), ints(n, 0)))
    ),
    "gathered float weight": case(
        lambda n, x: n.node("Conv", x, n.node("Gather", n.floats(6, 4, 1, 1), ints(n, 5, 0, 1, -2)))
    ),
    "Pad": case(lambda n, x: n.output(n.qdq(n.node("Pad", x, ints(n, 0, 0, 1, 1, 0, 0, 1, 1))))),
    "Tile": case(lambda n, x: n.output(n.qdq(n.node("Tile", x, ints(n, 1, 2, 1, 1))))),
    "Expand": case(lambda n, x: n.output(n.qdq(n.node("Expand", x, ints(n, 3, 4, 8, 8))))),
    "ReduceMin": case(lambda n, x: n.output(n.qdq(n.node("ReduceMin", x, axes=[2, 3], keepdims=0)))),
    "HardSigmoid": case(lambda n, x: n.output(n.qdq(n.node("HardSigmoid", x)))),
    "HardSwish": case(lambda n, x: n.output(n.qdq(n.node("HardSwish", conv(n, x))))),
    "HardSwish of codes": case(lambda n, x: n.output(n.qdq(n.node("HardSwish", x)))),
    "Sqrt": case(lambda n, x: n.output(n.qdq(n.node("Sqrt", x)))),
}
for mode in ("asymmetric", "half_pixel", "align_corners"):
    CASES[f"nearest Resize, {mode}"] = case(
        lambda n, x, m=mode: n.output(
            n.qdq(
                n.node(
                    "Resize",
                    x,
                    "",
                    n.const(np.array([1, 1, 2, 2], F)),
                    mode="nearest",
                    coordinate_transformation_mode=m,
                )
            )
        )
    )


@pytest.mark.parametrize("name", CASES)
def test_directed(name: str) -> None:
    check(CASES[name]())


@pytest.mark.parametrize("dtypes", [(a, w, y) for a in "bBhH" for w in "bB" for y in "bBhH"])
def test_types(dtypes: tuple[str, str, str]) -> None:
    """Conv, Gemm, MatMul and a movement with every mix of code types, in one model."""
    a, w, y = (np.dtype(kind).type for kind in dtypes)
    net = Net(opset=21)
    x, m = net.qdq(net.input(SHAPE), dtype=a), net.qdq(net.input((4, 8)), dtype=a)
    results = (
        net.node("Conv", x, net.weight(4, 4, 1, 1, dtype=w)),
        net.node("Gemm", m, net.weight(8, 5, dtype=w, scale=0.011)),
        net.node("MatMul", m, net.weight(8, 5, dtype=w, scale=0.012)),
        net.node("Flatten", x),
    )
    net.output(*(net.qdq(result, dtype=y) for result in results))
    check(net)


@pytest.mark.parametrize("domain", ["", MS])
@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.uint16])
def test_double_pairs(dtype: Any, domain: str) -> None:
    """DoubleQDQPairsRemover's new parameters, bit for bit, on many random pairs in one model."""
    if dtype == np.uint16 and not domain:
        return
    net, info = Net(seed=5), np.iinfo(dtype)
    for at in range(100):
        x = net.input((2,))
        for _ in range(2):
            zero = int(net.rng.integers(info.min, info.max + 1))
            scale = F(0.1) if at % 9 == 0 else F(net.rng.uniform(1e-3, 0.2))
            x = net.qdq(x, scale, zero, dtype, domain)
        net.output(x)
    check(net)


@pytest.mark.parametrize("seed", range(12))
def test_float_weights(seed: int) -> None:
    """Weights and biases that ONNX Runtime quantizes itself, with Mul, Add and BatchNormalization put in before."""
    net = Net(seed=seed)
    rng = net.rng
    for after in ("", "Add", "Mul", "BatchNormalization"):
        x = net.qdq(net.input(SHAPE), F(rng.uniform(1e-4, 1)), int(rng.integers(-100, 100)))
        weight = (rng.standard_normal((6, 4, 3, 3)) * 10 ** rng.uniform(-4, 2)).astype(F)
        bias = (rng.standard_normal(6) * 10 ** rng.uniform(-4, 3)).astype(F)
        weight = (np.abs(weight), -np.abs(weight), weight, weight * F(0))[seed % 4]
        y = net.node("Conv", x, net.const(weight), *([net.const(bias)] if seed % 3 else []))
        if after == "BatchNormalization":
            y = net.node(after, y, *(net.const(np.abs(rng.standard_normal(6)).astype(F)) for _ in range(4)))
        elif after:
            y = net.node(after, y, net.floats(1, 6, 1, 1))
        net.output(net.qdq(y))
    check(net)


@pytest.mark.parametrize("scale", [0.05, 6 / 255, F(6 / 255) * F(1.001), F(6 / 255) * F(1.004), F(6 / 255) * F(0.999)])
@pytest.mark.parametrize("zero", [-128, 3])
def test_activations(scale: float, zero: int) -> None:
    """Relu and Clip with every bound in question, after a Conv and after something float."""
    net = Net()
    for bounds in ((), (0, 6), (None, 6), (0, None), (-10, 10), (0, 6.01), (0, 5.99), (0.01, 6)):
        for make in (conv, lambda n, x: n.node("Tanh", x)):
            y = make(net, net.qdq(net.input(SHAPE)))
            inputs = ("" if bound is None else net.const(F(bound)) for bound in bounds)
            net.output(net.qdq(net.node("Clip", y, *inputs) if bounds else net.node("Relu", y), scale, zero))
    check(net)
