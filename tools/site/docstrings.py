"""An extension of griffe: what the project's docstrings look like, as the sections that mkdocstrings shows.

A docstring of the project is plain English with an indented list of parameters, sentences on what is raised, and an
example (CONTRIBUTING.md). griffe reads it as Google's style once the list has a heading and the example a fence; errors
become links to their place in the reference.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

import griffe

import qdqnp

ERRORS = sorted(name for name in qdqnp.__all__ if name.endswith("Error"))
_ERROR = re.compile(rf"(?<![`\w\[.])({'|'.join(ERRORS)})(?![`\w\]])")
_PARAMETER = re.compile(r"    \*{0,2}(\w+)(?:, \w+)*: ")
_NAME = re.compile(r"(\w+): ")
_ITEM = re.compile(r"^ {4}(?! )([^:\n]+): ", re.MULTILINE)


class HouseStyle(griffe.Extension):
    """Rewrites the docstring of each object when griffe has read it."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite one object's docstring."""
        if obj.docstring is not None:
            signature = {p.name.lstrip("*") for p in obj.parameters} if isinstance(obj, griffe.Function) else None
            obj.docstring.value = sections(obj.docstring.value, signature)


def sections(text: str, signature: Collection[str] | None = None) -> str:
    """Return a docstring with a heading over its list of parameters, fences around examples, and links to errors.

    signature: the parameters of a function. A list of other names, as of a function that is returned, gets bullets.

    >>> print(sections("Add.\\n\\n    x: a number.\\n\\nRaises InputError.\\n\\n>>> add(1)\\n2"))
    Add.
    <BLANKLINE>
    Args:
        x: a number.
    <BLANKLINE>
    Raises [InputError][qdqnp.InputError].
    <BLANKLINE>
    ```pycon
    >>> add(1)
    2
    ```
    """
    blocks = re.split(r"\n(?:[ \t]*\n)+", text)
    return "\n\n".join(_block(block, signature) for block in blocks)


def _block(block: str, signature: Collection[str] | None) -> str:
    if block.startswith(">>> "):
        return f"```pycon\n{block}\n```"
    if listed := _PARAMETER.match(block):
        known = signature is None or listed[1] in signature
        block = f"Args:\n{block}" if known else _ITEM.sub(r"- **\1:** ", block)
    elif (opened := _NAME.match(block)) and opened[1] in (signature or ()):
        block = f"Args:\n{_indented(block, signature or ())}"
    elif block.startswith("    "):
        return block  # code
    return _ERROR.sub(r"[\1][qdqnp.\1]", block)


def _indented(block: str, signature: Collection[str]) -> str:
    """Return parameters that stand without indentation as a list: other lines go on with the one before."""
    lines = block.splitlines()
    starts = [(found := _NAME.match(line)) is not None and found[1] in signature for line in lines]
    return "\n".join(
        f"{'    ' if start else '        '}{line.strip()}" for start, line in zip(starts, lines, strict=True)
    )
