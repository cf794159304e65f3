"""Names for files and C identifiers, made from ONNX names that may hold anything, and keep nothing dangerous."""

from __future__ import annotations

import re

from qdqnp.errors import shorten

LONGEST = 40


def slug(text: str) -> str:
    """Letters, digits and single underscores of ASCII, at most LONGEST characters; 'unnamed' where nothing is left.

    Two names may share a slug: whoever makes a file name of it puts a number in front.
    """
    return re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_")[:LONGEST].rstrip("_") or "unnamed"


def step_key(index: int, label: str) -> str:
    """What the files and identifiers of one layer begin with: its place among the steps keeps it unique."""
    return f"{index:03d}_{slug(label)}"


def numbered(base: str, index: int, count: int) -> str:
    """'input' where there is one, else 'input0', 'input1' ..."""
    return base if count == 1 else f"{base}{index}"


def in_comment(text: str) -> str:
    """An ONNX name as it may stand in a comment of C or of a hex file."""
    return re.sub(r"[^A-Za-z0-9_.:/ -]", "_", shorten(text, 60))
