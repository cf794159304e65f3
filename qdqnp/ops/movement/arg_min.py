"""ArgMin returns where the smallest element of an axis is, as int64; of several, the first or the last."""

from __future__ import annotations

import numpy as np

from qdqnp.ops.movement.arg_max import ArgMax


class ArgMin(ArgMax):
    op = "ArgMin"
    best = np.fmin
