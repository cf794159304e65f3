"""Writes lists in messages so that they stay readable."""

from __future__ import annotations

from qdqnp.errors import shorten
from qdqnp.limits import MAX_LISTED


def listing(labels: list[str], most: int = MAX_LISTED) -> str:
    """Write the labels of nodes in a row, cut after `most`."""
    shown = ", ".join(shorten(label) for label in labels[:most])
    more = len(labels) - most
    return f"{shown} and {more} more" if more > 0 else shown
