"""The float32 operators: bit for bit where that is promised, and within a proven bound of float64 where they sum."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import qdqnp
from qdqnp.lowering import Lowering
from qdqnp.ops.registry import operators
from tests.ops.case import Case, assert_same, check_bitwise, computed, one_node
from tests.ops.cases import CASES
from tests.ops.cases.device import DEVICE_CASES
from tests.ops.cases.floats import BITWISE, CLOSE
from tests.oracles import floats, ort
from tests.oracles.node import attributes, operands

ODD = np.resize(np.array([np.nan, 1.0, -1.0, 0.0, np.inf, -0.0, -np.inf, 2.5, 1e-44], np.float32), (1, 5, 9))
SEEDS = st.integers(0, 2**32 - 1)


def exact(case: Case) -> bool:
    return qdqnp.load(case.model).plan("ort-unfused").promises["y"].exact


@pytest.mark.parametrize("name", BITWISE)
@settings(max_examples=80, deadline=None, derandomize=True)
@given(seed=SEEDS)
def test_bitwise(name: str, seed: int) -> None:
    check_bitwise(BITWISE[name](np.random.default_rng(seed)))


@pytest.mark.parametrize("name", CLOSE)
@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=SEEDS)
def test_close(name: str, seed: int) -> None:
    """Both qdqnp and ONNX Runtime are within the bound of the float64 value; what is not also compared bit for bit is
    not promised to be exact."""
    case = CLOSE[name](np.random.default_rng(seed))
    assert exact(case) == (name in BITWISE)
    value, bound = floats.ORACLES[name](operands(case.model, case.inputs), attributes(case.model))
    for who, found in (("qdqnp", computed(case)), ("ONNX Runtime", ort.run(case.model, case.inputs)["y"])):
        assert found.dtype == np.float32, who
        assert found.shape == value.shape, who
        excess = np.abs(found.astype(np.float64) - value) - bound
        assert (excess <= 0).all(), f"{who}: {excess.max()} beyond the bound\n{case}"


@pytest.mark.parametrize("filters", [1, 2, 5])
@pytest.mark.parametrize("sizes", [(2, 1), (9, 1), (3, 4), (1, 9)])
def test_a_kernel_as_wide_as_the_image(sizes: tuple[int, int], filters: int) -> None:
    """Multiplied by rows of the image as they lie, but for images of one column with several filters per group."""
    rng = np.random.default_rng(filters)
    for height in range(1, sizes[0] + 1):
        x = rng.standard_normal((2, 5, *sizes), dtype=np.float32)
        w = rng.standard_normal((5 * filters, 1, height, sizes[1]), dtype=np.float32)
        case = one_node("Conv", [("x", x), ("w", w)], ["x", "w"], group=5)
        assert_same(computed(case), ort.run(case.model, case.inputs)["y"], "ONNX Runtime", case)


@pytest.mark.parametrize("shape", [(0, 3, 1, 1), (2, 3, 1, 1)])
def test_a_convolution_of_nothing(shape: tuple[int, ...]) -> None:
    """No output channels, or no images."""
    x = np.zeros((0 if shape[0] else 1, 3, 2, 2), np.float32)
    case = one_node("Conv", [("x", x), ("w", np.zeros(shape, np.float32))], ["x", "w"])
    assert computed(case).shape == (x.shape[0], shape[0], 2, 2)


@pytest.mark.parametrize("op", ["Relu", "Sigmoid", "LeakyRelu", "Identity", "Neg", "Sqrt", "HardSigmoid", "HardSwish"])
def test_not_a_number_and_zeros_of_both_signs(op: str) -> None:
    case = one_node(op, [("x", ODD)])
    assert_same(computed(case), ort.run(case.model, case.inputs)["y"], "ONNX Runtime", case)


def test_hard_swish_in_one_piece() -> None:
    """Every lowering of ONNX Runtime's takes it apart; the operator itself gives the same bits."""
    case = one_node("HardSwish", [("x", np.linspace(-4, 4, 1001, dtype=np.float32))])
    found = qdqnp.load(case.model).run(case.inputs, lowering=Lowering("as it is"))["y"]
    assert_same(found, ort.run(case.model, case.inputs)["y"], "ONNX Runtime", case)


@pytest.mark.parametrize("low", [None, -1.0, -0.0, 0.0, 2.0])
@pytest.mark.parametrize("high", [None, 1.0, -0.0, 0.0])
def test_clip_with_every_kind_of_limit(low: float | None, high: float | None) -> None:
    """An absent limit is the largest finite number, so that infinities are clipped all the same."""
    limits = [None if limit is None else (name, np.float32(limit)) for name, limit in (("low", low), ("high", high))]
    case = one_node("Clip", [("x", ODD), *limits])
    assert_same(computed(case), ort.run(case.model, case.inputs)["y"], "ONNX Runtime", case)


def test_every_operator_is_in_one_of_the_tables() -> None:
    several_outputs = {"Split", "TopK"}  # in test_split.py, test_top_k.py
    named = {name.split(" ")[0] for name in (*CASES, *DEVICE_CASES, *BITWISE, *CLOSE)}  # 'Add of numbers' is Add
    assert {op for _, op in operators()} == named | several_outputs
    assert CLOSE.keys() == floats.ORACLES.keys()


@pytest.mark.parametrize("op", ["Sin", "Cos", "Tan", "Asin", "Atan", "Sinh", "Cosh", "Asinh", "Softplus", "Mish"])
def test_what_verify_accepts_of_functions_without_a_promise(op: str) -> None:
    """ONNX Runtime's value lies within the operator's own bound, which is no more than three millionths."""
    x = np.linspace(-0.99, 0.99, 997, dtype=np.float32)
    case = one_node(op, [("x", x)], ["x"], opset=22 if op == "Mish" else 17)
    (bound,) = qdqnp.load(case.model).plan("ort-unfused").steps
    allowed = bound.operator.error(bound.binding, x)
    assert allowed is not None
    theirs, ours = ort.run(case.model, case.inputs)["y"].astype(np.float64), computed(case).astype(np.float64)
    assert (np.abs(theirs - ours) <= allowed).all()
    assert (allowed <= 3e-6 * np.abs(ours) + 1e-40).all()
