"""ReduceMax returns the largest element along some axes."""

from __future__ import annotations

import numpy as np

from qdqnp.ops.movement.extremum import Extremum


class ReduceMax(Extremum):
    op = "ReduceMax"
    best = np.fmax
