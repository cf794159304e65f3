"""SpaceToDepth turns blocks of pixels into channels; the channel counts faster than the place in the block."""

from __future__ import annotations

from typing import Any

import numpy as np

from qdqnp.graph import Shape
from qdqnp.ops.movement.depth_to_space import BlockAttributes, check_block, divided, multiplied
from qdqnp.ops.movement.movement import Movement
from qdqnp.ops.node_check import NodeCheck
from qdqnp.quant import Array


class SpaceToDepth(Movement):
    op = "SpaceToDepth"
    Attributes = BlockAttributes

    def attributes(self, check: NodeCheck) -> Any:
        given: BlockAttributes = super().attributes(check)
        check_block(check, given)
        return given

    def shape(self, attributes: BlockAttributes, x: Shape) -> Shape:
        block = attributes.blocksize
        n, c, h, w = x
        return (n, multiplied(c, block * block), divided(h, block, "a height"), divided(w, block, "a width"))

    def move(self, attributes: BlockAttributes, x: Array) -> Array:
        block = attributes.blocksize
        n, c, h, w = x.shape
        parts = x.reshape(n, c, h // block, block, w // block, block).transpose(0, 3, 5, 1, 2, 4)
        return np.ascontiguousarray(parts).reshape(n, c * block**2, h // block, w // block)
