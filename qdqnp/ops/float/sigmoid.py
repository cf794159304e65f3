"""Sigmoid in float32, by MLAS's approximation."""

from __future__ import annotations

from typing import Any

from qdqnp.numerics.float32 import sigmoid
from qdqnp.ops.float.elementwise import Elementwise
from qdqnp.quant import Array


class Sigmoid(Elementwise):
    op = "Sigmoid"

    def apply(self, attributes: Any, x: Array) -> Array:
        return sigmoid(x)
