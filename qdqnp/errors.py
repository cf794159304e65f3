"""The errors that qdqnp raises, and the Problem that each of them lists.

A stage that checks something collects *all* its problems and raises only once, so that a model with five faults takes
one attempt to fix, not five.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Self


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong."""

    #: Where the fault is.
    where: str
    #: What was expected there.
    expected: str
    #: What was found.
    got: str
    #: What to do about it; '' where the rest says it.
    hint: str = ""

    def __str__(self) -> str:
        text = f"{self.where}: expected {self.expected}, got {self.got}"
        return f"{text}. {self.hint}" if self.hint else text


class QdqnpError(Exception):
    """The base of every error that qdqnp raises on purpose.

    `problems` lists each fault that was found, `advice` what helps against several of them.
    """

    def __init__(self, title: str, problems: Iterable[Problem] = (), advice: Iterable[str] = ()) -> None:
        self.title = title
        self.problems = tuple(problems)
        self.advice = tuple(advice)
        helps = ["what helps:", *(f"  - {text}" for text in self.advice)] if self.advice else []
        #: The message line by line: the title, then the problems, then the advice.
        self.lines = (title, *(f"  - {problem}" for problem in self.problems), *helps)
        super().__init__("\n".join(self.lines))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and copy the error with its problems, so that it crosses to another process whole."""
        return type(self), (self.title, self.problems, self.advice)

    def within(self, where: str) -> Self:
        """Return the same error, its problems placed inside something larger: '{where}, {where it was}'."""
        problems = [Problem(f"{where}, {p.where}", p.expected, p.got, p.hint) for p in self.problems]
        return type(self)(self.title, problems, self.advice)


class ModelError(QdqnpError):
    """The model file is damaged, invalid, or uses something that qdqnp does not support."""


class InputError(QdqnpError):
    """The arrays handed to a model or a step do not fit it (name, dtype, rank, shape)."""


class UnknownNameError(InputError, KeyError):
    """No tensor or layer goes by a name; the message says which names are near."""

    def __str__(self) -> str:
        return "\n".join(self.lines)  # a KeyError would show it quoted


class ProfileError(QdqnpError):
    """A profile does not define the arithmetic that a layer needs."""


class ProofError(QdqnpError):
    """A computation strategy was forced whose exactness cannot be proven for the layer."""


class PeerError(QdqnpError):
    """ONNX Runtime is missing, or did not do what a comparison with it relies on."""


class GoldenError(QdqnpError):
    """A golden set cannot be written as asked, or the set on disk is incomplete or changed."""


class EngineError(QdqnpError):
    """Work that was divided among workers cannot be done: they are not reached, are lost, or have other versions."""


class MoreProblems(Problem):
    """The last line of a list that was cut; `where` is the whole text."""

    def __str__(self) -> str:
        return self.where


# Problems that are kept, and those listed in one error: nobody would read more, and a hostile file makes millions.
MAX_KEPT = 1000
MAX_LISTED = 100


@dataclass
class Problems:
    """Collects problems; the stage that owns the list calls `raise_if_any` at its end."""

    #: The first problems, at most MAX_KEPT.
    found: list[Problem] = field(default_factory=list)
    #: How many more were noted.
    _dropped: int = 0
    #: What helps against several of them.
    advice: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        return len(self.found) + self._dropped

    def add(self, where: str, expected: str, got: object, hint: str = "") -> None:
        """Note a problem. `got` may be a whole value of the file: its text is shortened."""
        self.note(where, expected, shorten(str(got)), hint)

    def note(self, where: str, expected: str, got: str, hint: str = "") -> None:
        """Note a problem as `add` does, with a `got` that is already short enough."""
        if len(self.found) < MAX_KEPT:
            self.found.append(Problem(shorten(where, 400), shorten(expected, 1000), got, hint))
        else:
            self._dropped += 1

    def raise_if_any(self, title: str, error: type[QdqnpError] = ModelError) -> None:
        """Raise `error` with the first MAX_LISTED problems, and a line that counts the rest, if problems were noted."""
        if not self.found:
            return
        more = self.count - MAX_LISTED
        rest = [MoreProblems(f"... and {more} more", "", "")] if more > 0 else []
        raise error(title, [*self.found[:MAX_LISTED], *rest], self.advice)


def shorten(text: str, limit: int = 200) -> str:
    """Return `text` with its middle cut out beyond `limit` characters: names in a model file may be megabytes long."""
    if len(text) <= limit:
        return text
    half = (limit - 5) // 2
    return f"{text[:half]} ... {text[-half:]}"


def did_you_mean(name: object, names: Iterable[str]) -> str:
    """Return the hint that says which of the names are near another one; '' where none is, or it is no text.

    >>> did_you_mean("tflit", ["ort", "tflite", "tflm"])
    "Did you mean 'tflite', 'tflm'?"
    """
    near = get_close_matches(shorten(name, 60), list(names), 3, 0.5) if isinstance(name, str) else ()
    return f"Did you mean {', '.join(map(repr, near))}?" if near else ""


def printable(text: str) -> str:
    r"""Return `text` in one line that shows what is in it: control characters, line ends, marks that turn the direction
    of writing, lone surrogates and all else that is not printed as itself become escapes, spelled as in Python.

    >>> printable("a\x1b[31m b\n\u202e")
    'a\\x1b[31m b\\n\\u202e'
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)
