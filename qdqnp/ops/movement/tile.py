"""Tile repeats the whole tensor along its axes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qdqnp.graph import Dim, Shape, concrete
from qdqnp.ops.geometry.axes import dim_list
from qdqnp.ops.movement.depth_to_space import multiplied
from qdqnp.ops.movement.movement import Movement
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import ShapeError
from qdqnp.quant import Array


@dataclass(frozen=True)
class TileAttributes:
    _repeats: tuple[Dim, ...] = ()


class Tile(Movement):
    op = "Tile"
    arranges = True
    takes_unknown = True
    arity = (2, 2)
    Attributes = TileAttributes

    def attributes(self, check: NodeCheck) -> Any:
        repeats = dim_list(check, 1, "repeats")
        if any(isinstance(count, int) and count < 0 for count in repeats):
            check.refuse("input 1 (repeats)", "numbers >= 0", list(repeats))
        return replace(super().attributes(check), _repeats=repeats)

    def shape(self, attributes: TileAttributes, x: Shape) -> Shape:
        if len(attributes._repeats) != len(x):
            raise ShapeError(f"{len(x)} repeats, one for each axis", str(list(attributes._repeats)))
        pairs = zip(x, attributes._repeats, strict=True)
        return tuple(
            multiplied(size, count) if isinstance(count, int) else (count if size == 1 else None)
            for size, count in pairs
        )

    def move(self, attributes: TileAttributes, x: Array) -> Array:
        return np.tile(x, concrete(attributes._repeats))
