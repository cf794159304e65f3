"""Every integer operator on random cases, bit for bit against the integer oracle and against ONNX Runtime."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qdqnp.graph import DEVICES
from qdqnp.ops.registry import operators
from tests.ops.case import check
from tests.ops.cases import CASES
from tests.oracles.integers import ORACLES

SEEDS = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=120, deadline=None, derandomize=True)
@given(seed=SEEDS)
def test_bitwise(name: str, seed: int) -> None:
    check(CASES[name](np.random.default_rng(seed)))


def test_every_integer_operator_has_cases_and_an_oracle() -> None:
    integer = {
        op
        for domain, op in operators()
        if (domain != DEVICES and op.startswith(("QLinear", "QGemm", "Quant"))) or op == "DequantizeLinear"
    }
    assert integer <= CASES.keys()
    assert CASES.keys() == ORACLES.keys()
