"""Lists in messages that stay readable."""

from __future__ import annotations

from qdqnp.errors import shorten
from qdqnp.limits import MAX_LISTED


def listing(labels: list[str]) -> str:
    """Labels of nodes in a row, cut after MAX_LISTED."""
    shown = ", ".join(shorten(label) for label in labels[:MAX_LISTED])
    more = len(labels) - MAX_LISTED
    return f"{shown}, ... and {more} more" if more > 0 else shown
