"""ReduceMin returns the smallest element along some axes."""

from __future__ import annotations

import numpy as np

from qdqnp.ops.movement.extremum import Extremum
from qdqnp.quant import Array


class ReduceMin(Extremum):
    op = "ReduceMin"

    def choose(self, x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
        return np.asarray(np.min(x, axis=axes, keepdims=keepdims))
