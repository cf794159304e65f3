"""Bounds how far two float32 results of one real value can be apart, where an operator's order of sums is not known."""

from __future__ import annotations

import numpy as np

from qdqnp.quant import Array


def sums_apart(magnitude: Array, roundings: int) -> Array:
    """Bound how far two float32 results of the same real value can be apart.

    Each result is within gamma * magnitude of the real value, gamma = n u / (1 - n u), u = 2^-24 (Higham, Accuracy and
    Stability of Numerical Algorithms, section 3.1); each rounding of a subnormal adds at most its smallest step.

        magnitude: the sum of the magnitudes of the terms.
        roundings: n, how many roundings each result has gone through.
    """
    share = roundings * 2.0**-24
    return np.asarray(2 * share / (1 - share) * magnitude + 2 * roundings * 2.0**-149)
