"""SpaceToDepth turns blocks of pixels into channels.

In mode DCR the channel counts faster than the place in the block, in mode CRD, which there is since opset 28, slower.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from qdqnp.graph import Shape
from qdqnp.ops.movement.depth_to_space import DepthToSpaceAttributes, check_block, check_mode, divided, multiplied
from qdqnp.ops.movement.movement import Movement
from qdqnp.ops.node_check import NodeCheck
from qdqnp.quant import Array


class SpaceToDepth(Movement):
    op = "SpaceToDepth"
    Attributes = DepthToSpaceAttributes

    def attributes(self, check: NodeCheck) -> Any:
        given: DepthToSpaceAttributes = super().attributes(check)
        check_block(check, given)
        check_mode(check, given)
        return given

    def shape(self, attributes: DepthToSpaceAttributes, x: Shape) -> Shape:
        block = attributes.blocksize
        n, c, h, w = x
        return (n, multiplied(c, block * block), divided(h, block, "a height"), divided(w, block, "a width"))

    def move(self, attributes: DepthToSpaceAttributes, x: Array) -> Array:
        block = attributes.blocksize
        n, c, h, w = x.shape
        order = (0, 3, 5, 1, 2, 4) if attributes.mode == "DCR" else (0, 1, 3, 5, 2, 4)
        parts = x.reshape(n, c, h // block, block, w // block, block).transpose(order)
        return np.ascontiguousarray(parts).reshape(n, c * block**2, h // block, w // block)
