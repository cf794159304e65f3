"""Transpose permutes axes; by default it reverses them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qdqnp.graph import Shape
from qdqnp.ops.movement.movement import Movement
from qdqnp.ops.operator import ShapeError
from qdqnp.quant import Array


@dataclass(frozen=True)
class TransposeAttributes:
    perm: tuple[int, ...] | None = None


class Transpose(Movement):
    op = "Transpose"
    arranges = True
    Attributes = TransposeAttributes

    def shape(self, attributes: TransposeAttributes, x: Shape) -> Shape:
        perm = attributes.perm if attributes.perm is not None else tuple(reversed(range(len(x))))
        if sorted(perm) != list(range(len(x))):
            raise ShapeError(f"attribute 'perm' to be a permutation of {len(x)} axes", str(list(perm)))
        return tuple(x[axis] for axis in perm)

    def move(self, attributes: TransposeAttributes, x: Array) -> Array:
        return np.asarray(np.transpose(x, attributes.perm), order="C")
