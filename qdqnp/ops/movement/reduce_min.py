"""ReduceMin returns the smallest element along some axes."""

from __future__ import annotations

import numpy as np

from qdqnp.ops.movement.extremum import Extremum


class ReduceMin(Extremum):
    op = "ReduceMin"
    best = np.fmin
