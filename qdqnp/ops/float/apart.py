"""How far two float32 results of the same real value can be apart, for operators whose order of sums is not known."""

from __future__ import annotations

import numpy as np

from qdqnp.quant import Array


def sums_apart(magnitude: Array, roundings: int) -> Array:
    """How far two float32 results of the same real value can be apart, each after so many roundings of sums whose
    terms' magnitudes add up to `magnitude`: each is within gamma = n u / (1 - n u) of it, u = 2^-24 (Higham, Accuracy
    and Stability of Numerical Algorithms, section 3.1), and each rounding of a subnormal by its smallest step."""
    share = roundings * 2.0**-24
    return np.asarray(2 * share / (1 - share) * magnitude + 2 * roundings * 2.0**-149)
