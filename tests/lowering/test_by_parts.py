"""Functions that a model computes by parts, which ONNX Runtime's optimizer makes one operator of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from qdqnp.program import Promise
from tests.lowering.models import F, Net
from tests.lowering.test_rewrites import PROFILES, matrix, outcome


def silu(net: Net, factor: float | None) -> None:
    x = net.node("Neg", net.input((64, 64)))
    inner = x if factor is None else net.node("Mul", net.const(F(factor)), x)
    net.output(net.node("Mul", net.node("Sigmoid", inner), x))


def large_silu(net: Net) -> None:
    """Of numbers whose sigmoid would be the one above 1."""
    x = net.node("Add", net.input((8, 8)), net.const(np.full((8, 8), 1e9, F)))
    x = net.node("Min", x, net.const(np.resize(np.array([17.482065, 17.631031, 17.695677, 2, -17.7, 30], F), (8, 8))))
    net.output(net.node("Mul", x, net.node("Sigmoid", x)))


def gelu(net: Net, before: bool, add: Any = None) -> None:
    x = net.node("Neg", net.input((16, 36))) if add is None else net.node("Add", net.input((16, 36)), net.const(add))
    erf = net.node("Erf", net.node("Div", x, net.const(F(2**0.5))))
    half, more = net.const(F(0.5)), net.node("Add", erf, net.const(F(1)))
    if before:
        net.output(net.node("Mul", net.node("Mul", half, x), more))
    else:
        net.output(net.node("Mul", net.node("Mul", x, more), half))


def gelu_of_silu(net: Net) -> None:
    """What makes x is a product, which counts as the half, until QuickGelu takes it."""
    x = net.node("Neg", net.input((16, 36)))
    x = net.node("Mul", x, net.node("Sigmoid", net.node("Mul", x, net.const(F(1.7)))))
    erf = net.node("Erf", net.node("Div", x, net.const(F(2**0.5))))
    net.output(net.node("Mul", net.node("Mul", x, net.node("Add", erf, net.const(F(1)))), net.const(F(0.5))))


def turned(net: Net) -> None:
    """Transposes move through the parts, which then go over the first axis."""
    x = net.node("Sigmoid", net.node("Transpose", net.input((36, 9)), perm=[1, 0]))
    net.output(net.node("Transpose", normalized(net, x, 36), perm=[1, 0]))


def fast_gelu(net: Net, by_pow: bool) -> None:
    x, one, b, c = net.node("Neg", net.input((16, 36))), F(1), F(0.7978846), F(0.044715)
    if by_pow:
        cube = net.node("Mul", net.node("Pow", x, net.const(F(3))), net.const(c))
        inner = net.node("Mul", net.node("Add", x, cube), net.const(b))
    else:
        square = net.node("Mul", x, net.node("Mul", x, net.const(c)))
        inner = net.node("Mul", net.node("Mul", x, net.const(b)), net.node("Add", net.const(one), square))
    more = net.node("Add", net.node("Tanh", inner), net.const(one))
    net.output(net.node("Neg", net.node("Mul", net.node("Mul", x, net.const(F(0.5))), more)))


def normalized(net: Net, x: Any, size: int, twice: bool = False) -> Any:
    """A layer normalization by parts; with the difference from the mean computed once or twice."""
    mean = net.node("ReduceMean", x, axes=[-1])
    centered = net.node("Sub", x, mean)
    square = net.node("Pow", net.node("Sub", x, mean) if twice else centered, net.const(F(2)))
    variance = net.node("Add", net.node("ReduceMean", square, axes=[-1]), net.const(F(1e-3)))
    normal = net.node("Div", centered, net.node("Sqrt", variance))
    return net.node("Add", net.node("Mul", normal, net.floats(size)), net.floats(size))


def root(net: Net) -> None:
    x = net.node("Neg", net.input((2, 9, 36)))
    mean = net.node("ReduceMean", net.node("Pow", x, net.const(F(2))), axes=[-1])
    normal = net.node("Div", x, net.node("Sqrt", net.node("Add", mean, net.const(F(1e-3)))))
    net.output(net.node("Mul", normal, net.floats(36)))


def skipped(net: Net, bias: str = "") -> None:
    """A sum, of which one side has a bias, normalized."""
    x, other = net.input((2, 9, 36)), net.input((2, 9, 36))
    if bias == "matmul":
        x = net.node("MatMul", x, net.input((2, 36, 36)))
    if bias:
        x = net.node("Add", x, net.floats(36))
    total = net.node("Add", other, x) if bias else net.node("Add", x, other)
    net.output(net.node("LayerNormalization", total, net.floats(36), net.floats(36), epsilon=1e-4))


BY_PARTS: dict[str, tuple[Callable[[Net], None], str]] = {
    "silu": (lambda net: silu(net, None), ""),
    "silu, at 1": (large_silu, "silu"),
    "silu of a multiple": (lambda net: silu(net, 1.702), ""),
    "gelu": (lambda net: gelu(net, False), "gelu"),
    "gelu, halved before": (lambda net: gelu(net, True), "gelu"),
    "gelu of a sum": (lambda net: gelu(net, False, np.arange(36, dtype=F) / 9), "gelu"),
    "gelu of silu": (gelu_of_silu, "gelu"),
    "layer norm between transposes": (turned, ""),
    "fast gelu": (lambda net: fast_gelu(net, False), "fast-gelu"),
    "fast gelu by Pow": (lambda net: fast_gelu(net, True), "fast-gelu"),
    "layer norm": (lambda net: net.output(normalized(net, net.node("Neg", net.input((9, 36))), 36)), "layer-norm"),
    "layer norm of a short row": (lambda net: net.output(normalized(net, net.input((90, 5)), 5)), "layer-norm"),
    "layer norm, twice centered": (lambda net: net.output(normalized(net, net.input((9, 36)), 36, True)), "layer-norm"),
    "root norm": (root, "root-norm"),
    "skip": (skipped, "skip-layer-norm"),
    "skip with a bias": (lambda net: skipped(net, "vector"), "skip-layer-norm"),
    "skip with a bias of a product": (lambda net: skipped(net, "matmul"), "skip-layer-norm"),
}


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", BY_PARTS)
def test_functions_by_parts(name: str, profile: str) -> None:
    """The session's bits; and without the pass that follows ONNX Runtime, others."""
    make, pass_name = BY_PARTS[name]
    net = Net()
    make(net)
    assert outcome(net, profile) == (0, Promise())
    if pass_name and profile != "ort-unfused":
        assert outcome(net, profile, (pass_name,))[0] > 0


def test_products_that_may_become_attention_lose_their_promise() -> None:
    net = Net()
    x = net.node("LayerNormalization", net.input((1, 4, 8)), net.floats(8), net.floats(8))
    for seed in range(3):
        net.output(net.node("MatMul", x, net.const(matrix(8, 8, seed))))
    assert "Attention" in outcome(net, "ort")[1].reason
    assert outcome(net, "ort-unfused") == (0, Promise())


def test_a_normalization_of_looked_up_vectors_loses_its_promise() -> None:
    """Here of constant vectors, which the session would look up itself; what a run looks up is the same to the pass."""
    net = Net()
    found = [net.node("Gather", net.const(matrix(9, 8, seed)), net.const(np.array([[1, 0, 2]]))) for seed in (1, 2)]
    total = net.node("Add", net.node("Add", *found), net.input((1, 3, 8)))
    net.output(net.node("LayerNormalization", total, net.floats(8), net.floats(8)))
    assert "EmbedLayerNormalization" in outcome(net, "ort", ("fold-constants",))[1].reason
