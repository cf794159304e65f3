"""Trilu keeps the upper or the lower triangle of each matrix, and makes the rest zero."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qdqnp.graph import Shape
from qdqnp.ops.geometry.axes import int_list
from qdqnp.ops.movement.movement import Movement
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import ShapeError
from qdqnp.quant import Array


@dataclass(frozen=True)
class TriluAttributes:
    upper: int = 1
    #: The diagonal that the triangle begins with; above the main one it is positive.
    _k: int = 0


class Trilu(Movement):
    op = "Trilu"
    arity = (1, 2)
    Attributes = TriluAttributes
    views = False

    def attributes(self, check: NodeCheck) -> Any:
        given = super().attributes(check)
        k = int_list(check, 1, "k") if check.given(1) else (0,)
        if len(k) != 1:
            check.refuse("input 1 (k)", "one int64", f"{len(k)} numbers")
        return replace(given, _k=k[0])

    def shape(self, attributes: TriluAttributes, x: Shape) -> Shape:
        if len(x) < 2:
            raise ShapeError("a matrix, or a stack of them", str(list(x)))
        return x

    def move(self, attributes: TriluAttributes, x: Array) -> Array:
        rows, columns = x.shape[-2:]
        k = max(-rows, min(attributes._k, columns))
        kept = np.tri(rows, columns, k - 1 if attributes.upper else k, bool)
        return np.where(kept != bool(attributes.upper), x, x.dtype.type(0))
