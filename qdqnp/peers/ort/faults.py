"""List known faults and changes of ONNX Runtime by version, with a probe for each that a small model can show.

They were seen with onnxruntime 1.22.1, 1.23.2, 1.24.4, 1.27, 1.31.1 and 1.32.0 on x86-64.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from onnx import helper

from qdqnp.errors import PeerError
from qdqnp.numerics.mlas import softmax
from qdqnp.numerics.rules.softmax import TableSoftmax
from qdqnp.peers.ort.probe import MICROSOFT, PAIR, make_model, one_node, optimized_operators, pair
from qdqnp.quant import Quant

F = np.float32


@dataclass(frozen=True)
class Fault:
    """A fault or a change of ONNX Runtime."""

    #: What is wrong or different.
    title: str
    #: The versions where it was seen.
    versions: str
    #: Returns whether this onnxruntime has it.
    here: Callable[[], bool]


def _conv(**changes: object) -> dict[str, object]:
    """Return the inputs of a QLinearConv of ones, wide enough for its packed kernels: every sum is 16."""
    inputs: dict[str, object] = {
        "x": np.ones((1, 16, 2, 2), np.uint8),
        "xs": F(1),
        "xz": np.uint8(0),
        "w": np.ones((16, 16, 1, 1), np.int8),
        "ws": F(1),
        "wz": np.int8(0),
        "ys": F(1),
        "yz": np.uint8(0),
    }
    return {**inputs, **changes}


def _drops_computed_bias() -> bool:
    y = one_node("QLinearConv", _conv(b=np.full(16, 10, np.int32)), ("x", "b"))
    return bool(y.max() != 26 or y.min() != 26)


def _refuses_zero_points_by_channel() -> bool:
    zeros = np.arange(16).astype(np.int8)
    try:
        y = one_node("QLinearConv", _conv(wz=zeros, ws=np.ones(16, F)))
    except PeerError:
        return True
    return bool(y[0, :, 0, 0].tolist() != [16] + [0] * 15)


def _wrong_beside_multiples_of_16() -> bool:
    """Probe a fault that only CPUs with AMX have; elsewhere the product is right."""
    rng = np.random.default_rng(0)
    for columns in (17, 20):
        a, b = rng.integers(0, 256, (32, 64), np.uint8), rng.integers(0, 256, (64, columns), np.uint8)
        if not np.array_equal(one_node("MatMulInteger", {"x": a, "b": b}), a.astype(np.int64) @ b.astype(np.int64)):
            return True
    return False


def _fuses_wrong_bias_scales() -> bool:
    nodes = [
        *pair("x", "a"),
        helper.make_node("DequantizeLinear", ["w", "scale", "zero"], ["wr"]),
        helper.make_node("DequantizeLinear", ["b", "bscale"], ["br"]),
        helper.make_node("Conv", ["a", "wr", "br"], ["c"]),
        *pair("c", "y"),
    ]
    constants = {**PAIR, "w": np.ones((2, 2, 1, 1), np.int8), "b": np.ones(2, np.int32), "bscale": F(1)}
    model = make_model(nodes, {"x": np.zeros((1, 2, 2, 2), F)}, constants, ["y"])
    return "QLinearConv" in optimized_operators(model, {"session.qdqisint8allowed": "1"})


def _drops_pairs_around_linear_resize() -> bool:
    nodes = [
        *pair("x", "a"),
        helper.make_node("Resize", ["a", "", "scales"], ["r"], mode="linear"),
        *pair("r", "y"),
    ]
    constants = {**PAIR, "scales": np.array([1, 1, 2, 2], F)}
    operators = optimized_operators(make_model(nodes, {"x": np.zeros((1, 1, 2, 2), F)}, constants, ["y"]))
    return operators.count("DequantizeLinear") < 2


def _other_softmax() -> bool:
    """Probe for another Softmax: the tested release computes it in float64 and clamps signed codes."""
    x = np.random.default_rng(0).integers(-128, 128, (64, 10)).astype(np.int8)
    scale, zero, step, low = F(0.1), np.int8(0), F(1 / 256), np.int8(-128)
    inputs = {"x": x, "xs": scale, "xz": zero, "ys": step, "yz": low}
    found = one_node("QLinearSoftmax", inputs, domain=MICROSOFT, axis=-1, opset=13)
    int8 = np.dtype(np.int8)
    read, made = Quant(int8, np.asarray(scale), np.asarray(zero)), Quant(int8, np.asarray(step), np.asarray(low))
    return not np.array_equal(found, TableSoftmax().bind(read, made, 10)(x))


def _lacks_signed_matmul_integer() -> bool:
    try:
        one_node("MatMulInteger", {"x": np.ones((2, 2), np.int8), "b": np.ones((2, 2), np.uint8)})
    except PeerError:
        return True
    return False


def _refuses_moved_quantizers() -> bool:
    nodes = [
        *pair("x", "a"),
        helper.make_node("Transpose", ["a"], ["t"], perm=[0, 1, 3, 2]),
        helper.make_node("DequantizeLinear", ["w", "scale", "zero"], ["wr"]),
        helper.make_node("Conv", ["t", "wr"], ["c"]),
        *pair("c", "y"),
    ]
    constants = {**PAIR, "w": np.ones((2, 2, 1, 1), np.int8)}
    try:
        optimized_operators(make_model(nodes, {"x": np.zeros((1, 2, 2, 2), F)}, constants, ["y"], opset=21))
    except PeerError:
        return True
    return False


def _narrow_registers() -> bool:
    """Probe for CPUs without AVX-512, whose Softmax adds up in eight lanes."""
    x = np.random.default_rng(0).normal(0, 2, (50, 40)).astype(F)
    return not np.array_equal(one_node("Softmax", {"x": x}, axis=-1), softmax(x, 16))


FAULTS = (
    Fault(
        "a computed int32 bias of QLinearConv (uint8 x int8, constant weights) is dropped",
        "up to 1.27",
        _drops_computed_bias,
    ),
    Fault(
        "CPUs with AMX: wrong uint8 products where the columns are no multiple of 16",
        "up to 1.24",
        _wrong_beside_multiples_of_16,
    ),
    Fault("weight zero points that differ by channel are refused", "up to 1.24", _refuses_zero_points_by_channel),
    Fault(
        "Conv fuses although its bias has another scale than s_x * s_w, and is then wrong",
        "up to 1.24",
        _fuses_wrong_bias_scales,
    ),
    Fault(
        "Q and DQ around a linear Resize are dropped, and codes are truncated",
        "up to 1.24",
        _drops_pairs_around_linear_resize,
    ),
    Fault("QLinearSoftmax by another formula (float32; int8 wraps above 127 up to 1.27)", "up to 1.31", _other_softmax),
    Fault("float Softmax and LogSoftmax in eight lanes: the CPU has no AVX-512", "any", _narrow_registers),
    Fault("MatMulInteger has no kernel for int8 times uint8", "up to 1.22", _lacks_signed_matmul_integer),
    Fault(
        "a default session refuses int8 models of opset 21 and later in which it moves a DequantizeLinear",
        "1.32",
        _refuses_moved_quantizers,
    ),
)
