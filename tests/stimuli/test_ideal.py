"""The exact real values behind the coverage of layers without stages: they are those of the profile 'exact'."""

from __future__ import annotations

import numpy as np
import pytest

import qdqnp
from qdqnp.stimuli.ideal import ideal
from tests.ops import draw
from tests.ops.case import Case
from tests.ops.cases import binary, pool, unary

MAKERS = (
    binary.qlinear_add,
    binary.qlinear_mul,
    binary.qlinear_concat,
    pool.qlinear_average_pool,
    unary.qlinear_leaky_relu,
    unary.qlinear_sigmoid,
)


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_rounded_and_clipped_they_are_the_codes_of_exact(make: object, rng: draw.Rng) -> None:
    for _ in range(30):
        case: Case = make(rng)  # type: ignore[operator]
        (bound,) = qdqnp.load(case.model).plan("exact").steps
        found = ideal(bound, bound.arrays(case.inputs))
        assert found is not None
        ties, rounded = found
        y = bound.step.outputs[0].quant
        low, high = y.range
        codes = bound.evaluate(case.inputs)["y"]
        assert np.array_equal(np.clip(rounded + int(y.zero_point), low, high), codes)
        assert ties.shape == codes.shape


def test_operators_with_stages_and_softmax_have_none() -> None:
    for make in (pool.qlinear_global_average_pool, unary.qlinear_softmax):
        case = make(draw.Rng(np.random.PCG64(0)))
        (bound,) = qdqnp.load(case.model).plan().steps
        assert ideal(bound, bound.arrays(case.inputs)) is None
