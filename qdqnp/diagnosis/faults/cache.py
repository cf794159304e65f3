"""Caches: the last bytes of a buffer, which the CPU read as they were before the device wrote them."""

from __future__ import annotations

from collections.abc import Iterator

from qdqnp.diagnosis.faults.suspect import Finding, Suspect
from qdqnp.diagnosis.orders import OWN, orders

STALE_LINE = "stale cache line"
#: Bytes of a line of a Cortex-M's cache.
LINE = 32
#: Fewer elements that differ are no line.
LEAST = 4


def last_line(suspect: Suspect) -> Iterator[Finding]:
    """Only the last bytes in memory differ, in the order of one of the layouts, and no more than a line has."""
    want = suspect.want[0]
    if want.nbytes < 4 * LINE or not suspect.bad_cases:
        return
    if suspect.only_channel is not None and want[0, 0].nbytes <= LINE:
        return  # a channel that is as small as a line may be wrong by itself
    for order in orders(want.shape):
        places = order.places
        least = want.size - LINE // want.itemsize
        wrong = [places[suspect.differs[case].reshape(-1)] for case in suspect.bad_cases]
        if all(at.min() >= least for at in wrong) and max(at.size for at in wrong) >= LEAST:
            last = (want.size - min(int(at.min()) for at in wrong)) * want.itemsize
            yield Finding(STALE_LINE, f"in the last {last} bytes, {_in(order.text)}")
            return


def _in(order: str) -> str:
    return f"in {order}" if order == OWN else order
