"""Caches: the last bytes of a buffer, which the CPU read as they were before the device wrote them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from qdqnp.diagnosis.faults.suspect import Finding, Suspect
from qdqnp.quant import Array, Int64

STALE_LINE = "stale cache line"
#: Bytes of a line of a Cortex-M's cache.
LINE = 32
#: Fewer elements that differ are no line.
LEAST = 4
#: Channels that lie side by side in a device's memory, besides one and all.
BLOCKS = (2, 4, 8, 16, 32)


def last_line(suspect: Suspect) -> Iterator[Finding]:
    """Only the last bytes in memory differ, in the order of one of the layouts, and no more than a line has."""
    want = suspect.want[0]
    if want.nbytes < 4 * LINE or not suspect.bad_cases:
        return
    for text, places in _orders(want):
        least = want.size - LINE // want.itemsize
        wrong = [places[suspect.differs[case].reshape(-1)] for case in suspect.bad_cases]
        if all(at.min() >= least for at in wrong) and max(at.size for at in wrong) >= LEAST:
            last = (want.size - min(int(at.min()) for at in wrong)) * want.itemsize
            yield Finding(STALE_LINE, f"in the last {last} bytes, {text}")
            return


def _orders(array: Array) -> Iterator[tuple[str, Int64]]:
    """Yield layouts, and where each element, in the order of the array, lies in memory."""
    yield "in the tensor's own order", np.arange(array.size)
    if array.ndim != 4 or array.shape[0] != 1:
        return
    channels = array.shape[1]
    elements = np.arange(array.size).reshape(array.shape)
    for block in (channels, *(size for size in BLOCKS if size < channels)):
        parts = [np.moveaxis(elements[:, at : at + block], 1, -1).reshape(-1) for at in range(0, channels, block)]
        places = np.empty(array.size, np.int64)
        places[np.concatenate(parts)] = np.arange(array.size)
        yield "NHWC" if block == channels else f"channels in blocks of {block}", places
