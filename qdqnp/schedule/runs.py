"""Copies of pixels whose channels lie apart from the next pixel's: a pixel is one element there.

NumPy's inner loops are over what lies next to each other. Over the channels of a pixel they are short: to round 64
floats at a time takes 0.47 ns a float in place of 0.1, and to round in place and copy pixels after that 0.2.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qdqnp.quant import Array

#: (to, from), views that np.copyto is given.
Copy = tuple[Array, Array]

#: Floats next to each other from which on loops are long enough. Measured; it decides speed only.
LONG = 512


def run(array: Array) -> int:
    """Return how many elements lie next to each other, in the order of memory."""
    found = 1
    for stride, size in sorted(zip(array.strides, array.shape, strict=True)):
        if size > 1 and stride != found * array.itemsize:
            break
        found *= size
    return found


def is_long(array: Array) -> bool:
    """Tell whether loops over an array are long, or there is no pixel to copy as one element."""
    return run(array) >= min(LONG, array.size) or array.strides[-1] != array.itemsize


def copy_of(into: Array, values: Array) -> Copy:
    """View both so that np.copyto copies one to the other fast. Their channels lie next to each other."""
    if is_long(into) and is_long(values):
        return into, values
    pixel = np.dtype((np.void, into.itemsize * into.shape[-1]))
    return into.view(pixel), values.view(pixel)


def read(values: Array, work: Array) -> tuple[Array, list[Copy]]:
    """Return where values are read in long loops, and what is copied before. work: memory in their shape."""
    return (values, []) if is_long(values) else (work, [copy_of(work, values)])


def written(out: Array, work: Array) -> tuple[Array, list[Copy]]:
    """Return where values are written in long loops, and what is copied after that. work: memory in their shape."""
    return (out, []) if is_long(out) else (work, [copy_of(out, work)])


def copied(copies: Sequence[Copy]) -> None:
    """Copy."""
    for into, values in copies:
        np.copyto(into, values)
