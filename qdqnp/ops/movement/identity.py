"""Identity returns its input."""

from __future__ import annotations

from typing import Any

from qdqnp.graph import Shape
from qdqnp.ops.movement.movement import Movement
from qdqnp.quant import Array


class Identity(Movement):
    op = "Identity"
    arranges = True
    copies = True

    def shape(self, attributes: Any, x: Shape) -> Shape:
        return x

    def move(self, attributes: Any, x: Array) -> Array:
        return x
