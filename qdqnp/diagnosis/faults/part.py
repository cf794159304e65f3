"""Parts: some channels, rows or columns of a tensor that hold the values of others."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from qdqnp.diagnosis.faults.suspect import Finding, Suspect
from qdqnp.quant import Int64

ALIASED = "a part holds another part"
# By axis of an image, what its slices are called.
AXES = {1: "channel", 2: "row", 3: "column"}


def recognize(suspect: Suspect) -> Iterator[Finding]:
    """The slices that differ, along one axis, are those that stand so many before or after; all others are right."""
    for axis, what in AXES.items():
        if axis >= suspect.want[0].ndim:
            return
        others = tuple(other for other in range(suspect.want[0].ndim) if other != axis)
        wrong = np.flatnonzero(np.any([mask.any(axis=others) for mask in suspect.differs], axis=0))
        size = suspect.want[0].shape[axis]
        if not suspect.bears(2 * size) or 2 * wrong.size > size:
            continue
        for by in sorted(range(1 - size, size), key=abs):
            source = wrong - by
            if by and source.min() >= 0 and source.max() < size and _equal(suspect, wrong, source, axis):
                yield Finding(ALIASED, f"{_span(what, wrong)} {_verb(wrong)} what {_span(what, source)} should")
                return


def _equal(suspect: Suspect, wrong: Int64, source: Int64, axis: int) -> bool:
    return all(
        np.array_equal(np.take(suspect.got[case], wrong, axis), np.take(suspect.want[case], source, axis))
        for case in suspect.bad_cases
    )


def _verb(places: Int64) -> str:
    return "holds" if places.size == 1 else "hold"


def _span(what: str, places: Int64) -> str:
    """'row 4', 'channels 8 to 15', '12 channels from 3 on'."""
    first, last = int(places[0]), int(places[-1])
    if places.size == 1:
        return f"{what} {first}"
    return f"{what}s {first} to {last}" if last - first == places.size - 1 else f"{places.size} {what}s from {first} on"
