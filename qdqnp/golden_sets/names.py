"""Make names for files and C identifiers from ONNX names, which may hold anything; nothing dangerous is kept."""

from __future__ import annotations

import re
from collections.abc import Iterable

from qdqnp.errors import shorten

LONGEST = 40


def slug(text: str) -> str:
    """Keep letters, digits and single underscores of ASCII, at most LONGEST characters; 'unnamed' where nothing is
    left.

    Two names may share a slug: whoever makes a file name of a slug puts a number in front.
    """
    return re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_")[:LONGEST].rstrip("_") or "unnamed"


def step_key(index: int, label: str) -> str:
    """Return the start of the files and identifiers of one layer: the place among the steps keeps it unique."""
    return f"{index:03d}_{slug(label)}"


def distinct(labels: Iterable[str]) -> list[str]:
    """Return a slug for each label, without the layers' places: of equal ones the second ends in '_2', and so on. They
    differ by more than case.

    >>> distinct(["conv/1", "add", "conv.1"])
    ['conv_1', 'add', 'conv_1_2']
    """
    taken: set[str] = set()
    found = []
    for label in labels:
        base, number = slug(label), 1
        name = base
        while name.lower() in taken:
            number += 1
            name = f"{base}_{number}"
        taken.add(name.lower())
        found.append(name)
    return found


def numbered(base: str, index: int, count: int) -> str:
    """Return 'input' where there is one, else 'input0', 'input1' ..."""
    return base if count == 1 else f"{base}{index}"


def in_comment(text: str) -> str:
    """Make an ONNX name safe for a comment of C or of a hex file."""
    return re.sub(r"[^A-Za-z0-9_.:/ -]", "_", shorten(text, 60))
