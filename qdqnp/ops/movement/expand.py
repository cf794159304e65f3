"""Expand: broadcast with a constant shape, either way."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qdqnp.graph import Shape, concrete
from qdqnp.ops.base import Site, broadcast_shapes
from qdqnp.ops.movement.movement import Movement, int_list
from qdqnp.quant import Array


@dataclass(frozen=True)
class ExpandAttributes:
    _shape: tuple[int, ...] = ()


class Expand(Movement):
    op = "Expand"
    arity = (2, 2)
    Attributes = ExpandAttributes

    def attributes(self, site: Site) -> Any:
        shape = int_list(site, 1, "shape")
        if any(size < 0 for size in shape):
            site.refuse("input 1 (shape)", "sizes >= 0", list(shape))
        return replace(super().attributes(site), _shape=shape)

    def shape(self, attributes: ExpandAttributes, x: Shape) -> Shape:
        return broadcast_shapes([x, attributes._shape])

    def move(self, attributes: ExpandAttributes, x: Array) -> Array:
        return np.ascontiguousarray(np.broadcast_to(x, concrete(self.shape(attributes, x.shape))))
