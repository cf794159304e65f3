"""ReduceMax returns the largest element along some axes."""

from __future__ import annotations

import numpy as np

from qdqnp.ops.movement.extremum import Extremum
from qdqnp.quant import Array


class ReduceMax(Extremum):
    op = "ReduceMax"

    def choose(self, x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
        return np.asarray(np.max(x, axis=axes, keepdims=keepdims))
