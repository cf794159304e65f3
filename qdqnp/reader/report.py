"""Writes lists in messages so that they stay readable."""

from __future__ import annotations

from qdqnp.errors import shorten
from qdqnp.limits import MAX_LISTED


def listing(labels: list[str]) -> str:
    """Write the labels of nodes in a row, cut after MAX_LISTED."""
    shown = ", ".join(shorten(label) for label in labels[:MAX_LISTED])
    more = len(labels) - MAX_LISTED
    return f"{shown}, ... and {more} more" if more > 0 else shown
