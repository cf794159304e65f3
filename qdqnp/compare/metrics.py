"""How far two arrays are apart, bit for bit and in LSB."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qdqnp.quant import Array


@dataclass(frozen=True)
class Difference:
    """elements: compared; differing: whose bits differ; largest: in LSB for integers, absolute for floats;
    first: index of the first differing element, None if there is none; note: why nothing could be compared."""

    elements: int
    differing: int
    largest: float
    first: tuple[int, ...] | None = None
    note: str = ""

    @property
    def equal(self) -> bool:
        return self.differing == 0 and not self.note


def difference(ours: Array, theirs: Array) -> Difference:
    """Bitwise comparison of two arrays; a NaN equals a NaN of the same bits only."""
    if ours.dtype != theirs.dtype or ours.shape != theirs.shape:
        note = f"{ours.dtype}{list(ours.shape)} against {theirs.dtype}{list(theirs.shape)}"
        return Difference(0, 0, 0.0, None, note)
    left, right = np.ascontiguousarray(ours), np.ascontiguousarray(theirs)
    bits = np.dtype(f"u{left.dtype.itemsize}")
    unequal = left.reshape(-1).view(bits) != right.reshape(-1).view(bits)
    count = int(np.count_nonzero(unequal))
    if count == 0:
        return Difference(left.size, 0, 0.0)
    wide = np.float64 if left.dtype.kind == "f" else np.int64
    with np.errstate(invalid="ignore"):
        distance = np.abs(left.astype(wide) - right.astype(wide))
    at = np.unravel_index(int(np.argmax(unequal)), left.shape)
    return Difference(left.size, count, float(np.nanmax(distance)), tuple(int(i) for i in at))
