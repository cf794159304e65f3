"""Neg in float32: -x."""

from __future__ import annotations

from typing import Any

import numpy as np

from qdqnp.ops.float.elementwise import Elementwise
from qdqnp.quant import Array


class Neg(Elementwise):
    op = "Neg"

    def apply(self, attributes: Any, x: Array) -> Array:
        return np.negative(x)
