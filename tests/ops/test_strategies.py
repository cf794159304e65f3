"""Every strategy gives the same codes, or says that it is not exact; 'auto' always finds one that is."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import qdqnp
from qdqnp.errors import ProofError
from qdqnp.kernels.strategy import FLOAT32, FLOAT64, INT64, SPLIT, STRATEGIES
from tests.ops.case import MS, Case, assert_same, check, check_accumulators, computed, expected, one_node
from tests.ops.cases import CASES
from tests.oracles.node import operands

Array = np.ndarray[Any, np.dtype[Any]]
F = np.float32
SUMMING = ("QLinearConv", "QLinearMatMul", "QGemm")


def largest_sum(case: Case) -> int:
    """The largest |sum of (w - z_w) times code| that any codes can give, by trying the extreme ones."""
    x, _, _, w, _, w_zero = operands(case.model, case.inputs)[:6]
    assert x is not None and w is not None and w_zero is not None
    (node,) = case.model.graph.node
    transposed = any(item.name == "transB" and item.i for item in node.attribute)
    output_axis = 0 if node.op_type == "QLinearConv" or transposed else w.ndim - 1
    zero = w_zero if w_zero.size == 1 else w_zero.reshape([-1 if i == output_axis else 1 for i in range(w.ndim)])
    real = np.moveaxis(w.astype(np.int64) - zero.astype(np.int64), output_axis, 0)
    if node.op_type == "QLinearMatMul" and w.ndim > 2:
        real = np.moveaxis(real, 0, -2).reshape(-1, *real.shape[-1:])
    real = real.reshape(real.shape[0], -1)
    low, high = int(np.iinfo(x.dtype).min), int(np.iinfo(x.dtype).max)
    most = np.where(real > 0, real * high, real * low)
    least = np.where(real > 0, real * low, real * high)
    return int(max(np.maximum(most, 0).sum(axis=1).max(), -np.minimum(least, 0).sum(axis=1).min()))


@pytest.mark.parametrize("name", SUMMING)
@settings(max_examples=50, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1))
def test_all_strategies_agree(name: str, seed: int) -> None:
    case = CASES[name](np.random.default_rng(seed))
    wanted = expected(case)
    for strategy in STRATEGIES:
        if strategy == FLOAT32 and largest_sum(case) > 2**24:
            with pytest.raises(ProofError):
                computed(case, strategy)
        else:
            assert_same(computed(case, strategy), wanted, f"the integer oracle, strategy {strategy}", case)


@pytest.mark.parametrize("name", SUMMING)
@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1))
def test_accumulators(name: str, seed: int) -> None:
    check_accumulators(CASES[name](np.random.default_rng(seed)))


def conv(w: Array, x: Array, scale: float) -> Case:
    arguments = [
        ("x", x),
        ("xs", F(1)),
        ("xz", x.dtype.type(3)),
        ("w", w),
        ("ws", F(scale)),
        ("wz", w.dtype.type(0)),
        ("ys", F(1)),
        ("yz", x.dtype.type(7)),
    ]
    return one_node("QLinearConv", arguments)


def matmul(w: Array, x: Array, scale: float) -> Case:
    arguments = [
        ("x", x),
        ("xs", F(1)),
        ("xz", x.dtype.type(3)),
        ("w", w.T),
        ("ws", F(scale)),
        ("wz", w.dtype.type(0)),
        ("ys", F(1)),
        ("yz", x.dtype.type(7)),
    ]
    return one_node("QLinearMatMul", arguments)


def gemm(w: Array, x: Array, scale: float) -> Case:
    arguments = [
        ("x", x),
        ("xs", F(1)),
        ("xz", x.dtype.type(3)),
        ("w", w),
        ("ws", F(scale)),
        ("wz", w.dtype.type(0)),
        None,
        ("ys", F(1)),
        ("yz", x.dtype.type(7)),
    ]
    return one_node("QGemm", arguments, domain=MS, transB=1)


def long_layer(kind: str, terms: int) -> Case:
    """Four channels of K = terms, all weights -128: with uint8 codes a sum may reach 128 * 255 * K."""
    rng = np.random.default_rng(terms)
    w = np.full((4, terms), -128, np.int8)
    w[1:] = rng.integers(-128, 127, (3, terms), endpoint=True)
    x = rng.integers(0, 255, (5, terms), np.uint8, endpoint=True)
    x[0] = 255
    scale = 2.0**-16
    if kind == "conv":
        return conv(w[:, :, None, None], np.ascontiguousarray(x.T)[None, :, :, None], scale)
    return matmul(w, x, scale) if kind == "matmul" else gemm(w, x, scale)


@pytest.mark.parametrize("kind", ["conv", "matmul", "gemm"])
@pytest.mark.parametrize(
    ("terms", "chosen", "parts"),
    # 128 * 255 * 514 = 16,776,960 <= 2^24 = 16,777,216 < 128 * 255 * 515
    [(514, FLOAT32, 1), (515, SPLIT, 2), (1028, SPLIT, 2), (1029, SPLIT, 3), (1542, SPLIT, 3), (1543, FLOAT64, 4)],
)
def test_auto_takes_the_cheapest_that_is_exact(kind: str, terms: int, chosen: str, parts: int) -> None:
    case = long_layer(kind, terms)
    proof = qdqnp.load(case.model).plan().steps[0].kernel.proof
    assert proof is not None
    assert proof.kind == chosen
    assert proof.bound == 128 * 255 * terms == largest_sum(case)
    if chosen == SPLIT:
        assert len(proof.parts) == parts + 1
        assert all(128 * 255 * (stop - start) <= 2**24 for start, stop in pairwise(proof.parts))
    check(case)
    for strategy in (SPLIT, FLOAT64, INT64):
        assert_same(computed(case, strategy), expected(case), strategy, case)
    if chosen != FLOAT32:
        with pytest.raises(ProofError, match="strategy float32: expected partial sums within 16777216"):
            computed(case, FLOAT32)


def test_strategies_are_not_all_float32_in_random_cases(rng: np.random.Generator) -> None:
    """The random cases would prove little about the other strategies otherwise."""
    for name in SUMMING:
        cases = [CASES[name](rng) for _ in range(200)]
        assert sum(largest_sum(case) > 2**24 for case in cases) >= 3


def test_unknown_strategy_is_refused() -> None:
    with pytest.raises(ProofError, match="strategy: expected one of"):
        computed(long_layer("gemm", 3), "float16")
