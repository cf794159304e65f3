"""MLAS's approximations: ONNX Runtime's bits, by correctly rounded steps, close to the functions they stand for."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from qdqnp.numerics import mlas
from tests.numerics.test_float32 import HUGE, bits
from tests.ops.case import one_node, same
from tests.oracles import integers, ort, rounding

Array = np.ndarray[Any, np.dtype[Any]]
F = np.float32
GRID = np.concatenate(
    [
        np.linspace(-20, 20, 40001, dtype=F),
        np.linspace(-110, 90, 20001, dtype=F),
        np.geomspace(1e-45, 1, 2000).astype(F),
        -np.geomspace(1e-45, 1, 2000).astype(F),
        np.array([0.0, -0.0, 18, -18, np.nextafter(F(18), F(19)), 100, -100, HUGE, -HUGE, np.inf, -np.inf, np.nan], F),
        np.array([9, -9, 3.925, -3.925, 0.921875, -0.921875, 88.72284, 88.7762, -103.97, -103.98, -87.3365, -87.34], F),
    ]
)
FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "Sigmoid": mlas.sigmoid,
    "Tanh": mlas.tanh,
    "Erf": mlas.erf,
    "Exp": mlas.exp,
    "Gelu": mlas.gelu,
}


def polynomial(x: np.float32, coefficients: Sequence[float]) -> np.float32:
    total = F(coefficients[0])
    for coefficient in coefficients[1:]:
        total = rounding.fma(total, x, F(coefficient))
    return total


def tanh(x: np.float32) -> np.float32:
    """MLAS's, of one float32 that is not NaN."""
    x = F(min(max(x, F(-9)), F(9)))
    odd = (-2.76076847742355e-16, 2.00018790482477e-13, -8.60467152213735e-11, 5.12229709037114e-08)
    odd = (*odd, 1.48572235717979e-05, 6.37261928875436e-04, 4.89352455891786e-03)
    even = (1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03, 4.89352518554385e-03)
    return F(F(x * polynomial(x * x, odd)) / polynomial(x * x, even))


@pytest.mark.parametrize("op", FUNCTIONS)
def test_it_is_onnx_runtimes(op: str) -> None:
    case = one_node(op, [("x", GRID)], opset=20)
    if not ort.comparable(case.model):
        pytest.skip("ONNX Runtime computes it otherwise on this CPU")
    assert same(FUNCTIONS[op](GRID), ort.run(case.model, case.inputs)["y"])


@pytest.mark.parametrize(("function", "oracle"), [(mlas.sigmoid, integers.logistic), (mlas.tanh, tanh)])
def test_it_is_the_approximation_with_exact_fused_steps(
    function: Callable[[Array], Array], oracle: Callable[[np.float32], np.float32]
) -> None:
    some = GRID[~np.isnan(GRID)][::53]
    assert bits(function(some)) == bits([oracle(x) for x in some])


@pytest.mark.parametrize(
    ("function", "real", "reach", "ulps"),
    [
        (mlas.sigmoid, lambda x: 1 / (1 + math.exp(-x)), 17, 4),
        (mlas.tanh, math.tanh, 8, 6),
        (mlas.erf, math.erf, 3.9, 2),
        (mlas.exp, math.exp, 87, 1),
    ],
)
def test_it_is_close_to_the_function(
    function: Callable[[Array], Array], real: Callable[[float], float], reach: float, ulps: int
) -> None:
    """A few steps of float32: an approximation, but of nothing else."""
    x = np.linspace(-reach, reach, 10001, dtype=F)
    wanted = np.array([real(float(value)) for value in x])
    step = np.spacing(np.abs(wanted).astype(F)) if function is not mlas.sigmoid else np.spacing(F(0.5))
    assert (np.abs(function(x) - wanted) <= ulps * step).all()


@pytest.mark.parametrize("function", FUNCTIONS.values())
def test_shapes_and_pieces(function: Callable[[Array], Array]) -> None:
    """An array is computed piece by piece, of whatever shape and order it is; the input stays as it is."""
    x = np.random.default_rng(0).normal(0, 3, (3, 7, 2 * 1024)).astype(F)
    before = x.copy()
    whole = function(x)
    assert whole.shape == x.shape
    assert same(x, before)
    assert same(function(x.T).T, whole)
    assert same(function(x[1, 2, 5]), whole[1, 2, 5])
    assert function(x[:0]).shape == (0, 7, 2 * 1024)


@pytest.mark.parametrize("lanes", [8, 16])
@pytest.mark.parametrize("count", [1, 7, 8, 9, 16, 17, 100])
def test_softmax_is_close_to_its_definition(lanes: int, count: int) -> None:
    x = np.random.default_rng(count).normal(0, 3, (20, count)).astype(F)
    power = np.exp(x.astype(np.float64) - x.max(axis=1, keepdims=True))
    wanted = power / power.sum(axis=1, keepdims=True)
    assert np.abs(mlas.softmax(x, lanes) / wanted - 1).max() < 2.0**-18
    assert np.abs(mlas.log_softmax(x, lanes) - np.log(wanted)).max() < 2.0**-18


def test_the_number_of_lanes_decides_the_order_of_the_sum() -> None:
    """Eight lanes add up in an order of their own, written out here."""
    x = np.random.default_rng(1).normal(0, 3, (50, 21)).astype(F)
    power = mlas.exp(x - x.max(axis=1, keepdims=True))
    wanted = []
    for row in power:
        lanes = [F(0)] * 8
        for index, value in enumerate(row):
            lanes[index % 8] = lanes[index % 8] + value
        low, high = ((lanes[i] + lanes[i + 1]) + (lanes[i + 2] + lanes[i + 3]) for i in (0, 4))
        wanted.append(row * (F(1) / (low + high)))
    found = mlas.softmax(x, 8)
    assert same(found, np.array(wanted, F))
    assert not same(found, mlas.softmax(x, 16))


def test_eight_lanes_know_no_subnormal_exponentials() -> None:
    """Their power of two has no exponent below -126, and is 0 there; sixteen lanes scale by an instruction for it."""
    x = np.array([[0, -87.2, -87.5, -88, -100, -105]], F)
    assert (mlas.softmax(x, 8)[0] > 0).tolist() == [True, True, True, False, False, False]
    assert (mlas.softmax(x, 16)[0] > 0).tolist() == [True, True, True, True, True, False]
