"""Orders: how a device may lay a tensor's elements out in its memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from qdqnp.quant import Array, Int64

#: Channels that lie side by side in a device's memory, besides one and all.
BLOCKS = (2, 4, 8, 16, 32)
OWN, LAST = "the tensor's own order", "NHWC"


@dataclass(frozen=True, eq=False)
class MemoryOrder:
    """One order of the elements of a tensor."""

    #: What it is called.
    text: str
    #: Where each element, in the order of the array, lies in memory, shape (elements,).
    places: Int64

    def flat(self, array: Array) -> Array:
        """Return the elements of an array as they lie in memory, shape (elements,)."""
        made = np.empty(array.size, array.dtype)
        made[self.places] = array.reshape(-1)
        return made

    def shaped(self, flat: Array, shape: Sequence[int]) -> Array:
        """Return what lies in memory as an array of this shape.

        >>> order = next(order for order in orders((1, 2, 1, 3)) if order.text == "NHWC")
        >>> order.shaped(np.arange(6), (1, 2, 1, 3)).tolist()
        [[[[0, 2, 4]], [[1, 3, 5]]]]
        """
        return flat[self.places].reshape(shape)


def orders(shape: Sequence[int], blocks: bool = True) -> Iterator[MemoryOrder]:
    """Yield the orders that a tensor may have: its own, and of images channels last and channels in blocks.

    shape: of one case.
    blocks: whether channels in blocks are among them.
    """
    size = int(np.prod(shape))
    yield MemoryOrder(OWN, np.arange(size))
    if len(shape) != 4 or shape[1] == 1 or shape[2] * shape[3] == 1:
        return
    channels = shape[1]
    elements = np.arange(size).reshape(shape)
    for block in (channels, *(b for b in BLOCKS if blocks and b < channels)):
        parts = [
            np.moveaxis(elements[:, at : at + block], 1, -1).reshape(shape[0], -1) for at in range(0, channels, block)
        ]
        places = np.empty(size, np.int64)
        places[np.concatenate(parts, axis=1).reshape(-1)] = np.arange(size)
        yield MemoryOrder(LAST if block == channels else f"channels in blocks of {block}", places)
