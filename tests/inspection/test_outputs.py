"""Summaries of outputs."""

from __future__ import annotations

import math
import warnings

import numpy as np

from qdqnp.inspection.outputs import summary


def test_a_summary_of_infinities_and_nan_does_not_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = summary(np.float32([np.inf, -np.inf, 1]))
        assert math.isnan(found["mean"]) and (found["min"], found["max"]) == (-math.inf, math.inf)
        assert math.isnan(summary(np.float32([np.nan, 1]))["max"])
        assert summary(np.zeros((0, 2), np.float32))["mean"] is None
