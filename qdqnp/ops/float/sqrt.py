"""Sqrt in float32: the correctly rounded square root."""

from __future__ import annotations

from typing import Any

import numpy as np

from qdqnp.ops.float.elementwise import Elementwise
from qdqnp.quant import Array


class Sqrt(Elementwise):
    op = "Sqrt"

    def apply(self, attributes: Any, x: Array) -> Array:
        return np.sqrt(x)
