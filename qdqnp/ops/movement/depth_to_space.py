"""DepthToSpace turns channels into blocks of pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from qdqnp.graph import Dim, Shape
from qdqnp.ops.movement.movement import Movement
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import ShapeError
from qdqnp.quant import Array

LARGEST = 2**20  # keeps the square of a block size from an unchecked file far from overflow


@dataclass(frozen=True)
class BlockAttributes:
    blocksize: int = 0


@dataclass(frozen=True)
class DepthToSpaceAttributes(BlockAttributes):
    mode: str = "DCR"


def check_block(check: NodeCheck, attributes: BlockAttributes) -> None:
    check.rank_in(0, (4,), "x")
    if not 1 <= attributes.blocksize <= LARGEST:
        check.refuse("attribute 'blocksize'", f"an integer in [1, {LARGEST}]", attributes.blocksize)


def check_mode(check: NodeCheck, attributes: DepthToSpaceAttributes) -> None:
    if attributes.mode not in ("DCR", "CRD"):
        check.refuse("attribute 'mode'", "DCR or CRD", repr(attributes.mode))


def divided(size: Dim, by: int, what: str) -> Dim:
    if not isinstance(size, int):
        return size if by == 1 else None
    if size % by:
        raise ShapeError(f"{what} that {by} divides", str(size))
    return size // by


def multiplied(size: Dim, by: int) -> Dim:
    return size * by if isinstance(size, int) else (size if by == 1 else None)


class DepthToSpace(Movement):
    op = "DepthToSpace"
    Attributes = DepthToSpaceAttributes

    def attributes(self, check: NodeCheck) -> Any:
        given: DepthToSpaceAttributes = super().attributes(check)
        check_block(check, given)
        check_mode(check, given)
        return given

    def shape(self, attributes: DepthToSpaceAttributes, x: Shape) -> Shape:
        block = attributes.blocksize
        n, c, h, w = x
        return (n, divided(c, block * block, "channels"), multiplied(h, block), multiplied(w, block))

    def move(self, attributes: DepthToSpaceAttributes, x: Array) -> Array:
        block = attributes.blocksize
        n, c, h, w = x.shape
        if attributes.mode == "DCR":  # the pixel in the block counts slower than the channel
            parts = x.reshape(n, block, block, c // block**2, h, w).transpose(0, 3, 4, 1, 5, 2)
        else:
            parts = x.reshape(n, c // block**2, block, block, h, w).transpose(0, 1, 4, 2, 5, 3)
        return np.ascontiguousarray(parts).reshape(n, c // block**2, h * block, w * block)
