"""The tokens of a C file, one after the other, in time that grows with its length only."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from qdqnp.errors import InputError, Problem, shorten

#: What a token may be.
COMMENT, TEXT, NUMBER, NAME, SIGN = "comment", "text", "number", "name", "sign"

# A comment is only opened here: its end is searched for once, so that a file of unfinished ones takes no longer.
_TOKEN = re.compile(
    r"""[ \t\r\n\f\v]+
    | (?P<open>/\*)
    | //[^\n]*
    | \#[^\n]*
    | (?P<text>"(?:[^"\\\n]|\\.)*")
    | (?P<number>0[xX][0-9a-fA-F]+[uUlL]* | (?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[uUlLfF]*)
    | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<sign>[^A-Za-z0-9_"\s])""",
    re.VERBOSE,
)


class Token(NamedTuple):
    """One token of C. Line comments and lines of the preprocessor are none: what stands between them counts."""

    #: One of COMMENT, TEXT, NUMBER, NAME, SIGN.
    kind: str
    #: The token as it stands in the file; of a comment what is in it, of a text without its quotes.
    text: str
    #: Where it begins, in characters.
    at: int


def tokens(source: str, file: str) -> Iterator[Token]:
    """Yield the tokens of a C file. Raises InputError where something stands there that is no token.

    >>> [token.text for token in tokens("a = {.b = 0x10UL}; /* c */", "a.c")]
    ['a', '=', '{', '.', 'b', '=', '0x10UL', '}', ';', 'c']
    """
    at, end = 0, len(source)
    while at < end:
        found = _TOKEN.match(source, at)
        if found is None:
            raise unreadable(source, file, at, "C", repr(source[at : at + 20]))
        kind = found.lastgroup
        start, at = at, found.end()
        if kind == "open":
            close = source.find("*/", at)
            if close < 0:
                raise unreadable(source, file, start, "the end of a comment", "the end of the file")
            yield Token(COMMENT, source[at:close].strip(), start)
            at = close + 2
        elif kind == TEXT:
            yield Token(TEXT, found.group()[1:-1], start)
        elif kind is not None:
            yield Token(kind, found.group(), start)


def unreadable(source: str, file: str, at: int, expected: str, got: str) -> InputError:
    """Return the error that says what is wrong at a place of a file."""
    line = source.count("\n", 0, at) + 1
    problem = Problem(f"{shorten(file)}, line {line}", expected, got, "Give the files as ST's compiler wrote them.")
    return InputError("a C file that cannot be read", [problem])
