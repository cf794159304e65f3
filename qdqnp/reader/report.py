"""How the reader ends with problems: one ModelError whose list stays readable."""

from __future__ import annotations

from dataclasses import replace

from qdqnp.errors import ModelError, Problem, Problems, shorten
from qdqnp.reader.limits import MAX_LISTED, MAX_PROBLEMS


class MoreProblems(Problem):
    """The last line of a list that was cut; `where` is the whole text."""

    def __str__(self) -> str:
        return self.where


def raise_if_any(problems: Problems, model: str) -> None:
    """Raise ModelError with the first MAX_PROBLEMS problems, and a line that counts the rest, if any."""
    if not problems.found:
        return
    listed = [replace(p, where=shorten(p.where, 400), expected=shorten(p.expected, 1000))
              for p in problems.found[:MAX_PROBLEMS]]  # fmt: skip
    more = len(problems.found) - MAX_PROBLEMS
    if more > 0:
        listed.append(MoreProblems(f"... and {more} more", "", ""))
    raise ModelError(f"cannot load {model}", listed)


def listing(labels: list[str]) -> str:
    """Labels of nodes in a row, cut after MAX_LISTED."""
    shown = ", ".join(shorten(label) for label in labels[:MAX_LISTED])
    more = len(labels) - MAX_LISTED
    return f"{shown}, ... and {more} more" if more > 0 else shown
