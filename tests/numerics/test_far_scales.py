"""Scales at the ends of float32: a rule refuses what it cannot express, and warns of nothing."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from qdqnp.errors import ProfileError
from qdqnp.numerics.rules.mean import NarrowMean
from qdqnp.numerics.rules.softmax import TableSoftmax
from qdqnp.quant import Quant


def quant(scale: float, zero_point: int = 0) -> Quant:
    return Quant(np.dtype(np.int8), np.asarray(scale, np.float32), np.asarray(zero_point, np.int8))


def test_a_mean_whose_constant_is_outside_64_bits_is_refused() -> None:
    sums = np.array([4])
    rule = NarrowMean(tie="half-up")
    assert rule.bind(quant(0.1, 3), quant(0.1), 4)(sums).dtype == np.int8
    with pytest.raises(ProfileError, match="outside 64 bits"):
        rule.bind(quant(1e-30), quant(1e30, 100), 4)(sums)


@pytest.mark.parametrize("scale", [1e-38, 1e-3, 1e3, 3e38])
def test_the_stages_of_a_softmax_do_not_warn(scale: float) -> None:
    bound = TableSoftmax().bind(quant(1e-3), quant(scale), 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert bound.stages(np.array([[-128, 0, 127]], np.int8))[-1].array.shape == (1, 3)
