"""Sub in float32."""

from __future__ import annotations

import numpy as np

from qdqnp.ops.float.arithmetic import Arithmetic


class Sub(Arithmetic):
    op = "Sub"
    ufunc = np.subtract
