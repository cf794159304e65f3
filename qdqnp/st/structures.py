"""Initialized structures and arrays of C become plain values, without a C compiler.

Only the declarations of types that are asked for are kept; comments of the compiler say to which node and epoch they
belong. Time grows with the file, memory with what is kept, and that is bounded.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from qdqnp.errors import InputError, Problem
from qdqnp.st.tokens import COMMENT, NAME, NUMBER, TEXT, Token, tokens, unreadable

#: The largest C file: networks of some hundred layers have 5 MB.
MAX_SOURCE_BYTES = 2**25
#: Structures and arrays that are kept, and values in all of them: networks have some thousand and some 100,000.
MAX_STRUCTURES = 2**17
MAX_VALUES = 2**21
#: Braces in each other; ST's have three.
MAX_DEPTH = 16
#: Tokens of one value; an address has some twenty.
MAX_TERMS = 64
# Characters of names and comments that are looked at; the longest comments that say something have some 400.
_LOOKED_AT = 1000

_TYPES = {"const", "unsigned", "signed", "char", "short", "int", "long", "float", "void", "struct"}
_CAST = re.compile(r"u?int(8|16|32|64|ptr)_t|ATON_LIB_\w+|__LL_\w+")
_EPOCH = re.compile(r"LL_ATON_(?:Start|End)_EpochBlock_([0-9]{1,9})")
_OF_EPOCH = re.compile(r"(.*?)_(?:init|dma_init_\w+_)([0-9]{1,9})")
_NODE = re.compile(r"kind=(\S+) node=(\S+)")
_UNIT = re.compile(r"Unit= *[0-9]+ \[(\w+ [0-9]+)\]")
_SCHEDULE = re.compile(r"scheduling epoch=([0-9]{1,9})")


@dataclass(frozen=True, slots=True)
class Address:
    """A place in memory that is given by a name."""

    #: The name of the memory.
    symbol: str
    #: Bytes behind it.
    offset: int


@dataclass(frozen=True, slots=True)
class Structure:
    """An initialized variable."""

    type: str
    name: str
    #: A list, or a dict where the initializer names its fields. In it lists, dicts, int, float, str (a text or a name),
    #: Address, and None for what is none of them.
    value: Any
    #: The epoch in whose function it stands; -1 outside.
    epoch: int
    #: What the comment before it says: the node's kind and name, '' without one.
    kind: str
    node: str
    #: The unit that the comment before it names, such as 'ARITH_ACC_V2 1'; '' without one.
    unit: str
    #: What the comments behind its fields say, by field.
    comments: dict[str, str]
    #: The line.
    line: int


@dataclass(frozen=True)
class Mention:
    """A node that a comment of the compiler mentions."""

    epoch: int
    #: The unit that runs it, such as 'PROCESSOR 0'; '' where none is named.
    unit: str
    kind: str
    node: str


@dataclass
class CSource:
    """What is kept of a C file."""

    structures: list[Structure] = field(default_factory=list)
    #: Nodes in the order in which comments mention them.
    nodes: list[Mention] = field(default_factory=list)
    #: The other comments, in order, each with the epoch in which it stands.
    comments: list[tuple[int, str]] = field(default_factory=list)


def structures(source: str, file: str, kept: Collection[str]) -> CSource:
    """Return the initialized variables of some types in a C file, and its comments.

        kept: the names of the types.

    Raises InputError where the text is not C, a brace is missing, or more is kept than a network can have.

    >>> found = structures("static const T a_init3 = {.b = {1, -2}, .c = (short)0x10};", "a.c", {"T"})
    >>> found.structures[0].name, found.structures[0].value
    ('a_init3', {'b': [1, -2], 'c': 16})
    """
    return _Scan(source, file, kept).run()


@dataclass
class _Container:
    """A brace that is open."""

    items: list[Any] = field(default_factory=list)
    named: dict[str, Any] = field(default_factory=dict)
    #: The field that the next value is for, '' for the next item.
    key: str = ""
    #: The tokens of the value that is being read.
    terms: list[Token] = field(default_factory=list)
    filled: bool = False

    def close(self) -> Any:
        return self.named if self.named else self.items

    def put(self, value: Any) -> None:
        if self.key:
            self.named[self.key] = value
        else:
            self.items.append(value)
        self.filled = True


class _Scan:
    def __init__(self, source: str, file: str, kept: Collection[str]) -> None:
        self.source, self.file, self.kept = source, file, kept
        self.stream: Iterator[Token] = tokens(source, file)
        self.found = CSource()
        self.epoch, self.unit, self.kind, self.node = -1, "", "", ""
        self.values = 0
        self.lines = _Lines(source)

    def run(self) -> CSource:
        for token in self.stream:
            if token.kind == COMMENT:
                self._comment(token.text)
            elif token.kind == NAME:
                self._name(token)
        return self.found

    def _name(self, token: Token) -> None:
        block = _EPOCH.fullmatch(token.text)
        if block:
            self.epoch = int(block[1])
        elif token.text == "ec_trace_start_epoch":
            number = [next(self.stream, None) for _ in range(2)][1]
            if number is not None and number.kind == NUMBER and number.text.isdigit() and len(number.text) < 10:
                self.epoch = int(number.text)
        elif token.text in self.kept:
            self._declaration(token)

    def _comment(self, text: str) -> None:
        text = text[:_LOOKED_AT]
        scheduled, unit, node = _SCHEDULE.match(text), _UNIT.fullmatch(text), _NODE.search(text)
        if scheduled:
            self.epoch = int(scheduled[1])
        elif unit:
            self.unit = unit[1]
        elif node:
            unit_of = "" if text.startswith("no resources") else self.unit
            self.kind, self.node = node[1], node[2]
            self._keep(self.found.nodes, Mention(self.epoch, unit_of, node[1], node[2]))
        else:
            self._keep(self.found.comments, (self.epoch, text))

    def _keep(self, where: list[Any], what: Any) -> None:
        self.values += 1
        if self.values > MAX_VALUES:
            self._too_many(f"at most {MAX_VALUES} values, nodes and comments")
        where.append(what)

    def _too_many(self, expected: str) -> None:
        raise InputError("a C file that cannot be read", [Problem(self.file, expected, "more")])

    # -- one declaration -----------------------------------------------------------------------------------------------
    def _declaration(self, of: Token) -> None:
        """Read `NAME = {...}` or `NAME[...] = {...}` behind the type; anything else is no initialized variable."""
        name = next(self.stream, None)
        if name is None or name.kind != NAME:
            return
        bracket = False
        for token in self.stream:
            if token.kind == COMMENT or bracket:
                bracket = bracket and token.text != "]"
            elif token.text == "[":
                bracket = True
            elif token.text == "=":
                break
            else:
                return
        start = next(self.stream, None)
        if start is None or start.text != "{":
            return
        if len(self.found.structures) >= MAX_STRUCTURES:
            self._too_many(f"at most {MAX_STRUCTURES} structures")
        value, comments = self._initializer(start)
        epoch = _OF_EPOCH.fullmatch(name.text) if len(name.text) < _LOOKED_AT else None
        at = int(epoch[2]) if epoch else self.epoch
        line = self.lines.of(of.at)
        found = Structure(of.text, name.text, value, at, self.kind, self.node, self.unit, comments, line)
        self.found.structures.append(found)

    def _initializer(self, start: Token) -> tuple[Any, dict[str, str]]:
        """Read behind the first brace up to its partner. A comment behind a comma belongs to the field before it."""
        open_: list[_Container] = [_Container()]
        comments: dict[str, str] = {}
        last, depth = "", 0
        for token in self.stream:
            here = open_[-1]
            if token.kind == COMMENT:
                if len(open_) == 1 and last and not here.terms and not token.text.startswith("Equivalent"):
                    comments.setdefault(last, token.text[:_LOOKED_AT])
                continue
            if token.text == "{" and not here.terms:
                if len(open_) >= MAX_DEPTH:
                    raise unreadable(self.source, self.file, token.at, f"at most {MAX_DEPTH} braces", "more")
                open_.append(_Container())
            elif token.text == "}" and token.kind != TEXT:
                self._finish(here)
                open_.pop()
                if not open_:
                    return here.close(), comments
                open_[-1].put(here.close())
                last = open_[-1].key
            elif token.text == "," and depth == 0 and token.kind != TEXT:
                self._finish(here)
                last, here.key, here.filled = here.key or last, "", False
            elif token.text == "=" and here.terms and here.terms[0].text == ".":
                here.key = "".join(part.text for part in here.terms[1:])
                here.terms = []
            else:
                depth += (token.text == "(") - (token.text == ")") if token.kind != TEXT else 0
                if len(here.terms) >= MAX_TERMS:
                    raise unreadable(self.source, self.file, token.at, f"a value of at most {MAX_TERMS} tokens", "more")
                here.terms.append(token)
        raise unreadable(self.source, self.file, start.at, "a closing brace", "the end of the file")

    def _finish(self, here: _Container) -> None:
        """Take the value whose tokens were read into its container."""
        if not here.terms:
            return
        self.values += 1
        if self.values > MAX_VALUES:
            self._too_many(f"at most {MAX_VALUES} values in all structures")
        if not here.filled:
            here.put(evaluated(here.terms))
        here.terms = []


class _Lines:
    """Counts the lines before rising positions, each part of the text once."""

    def __init__(self, source: str) -> None:
        self.source, self.at, self.line = source, 0, 1

    def of(self, at: int) -> int:
        self.line += self.source.count("\n", self.at, at)
        self.at = at
        return self.line


def evaluated(terms: list[Token]) -> Any:
    """Return the value of an expression: sums of numbers, casts and macros of addresses left out; None of any other.

    >>> evaluated(list(tokens("(unsigned char *)(0x100UL + 8)", "")))
    264
    >>> evaluated(list(tokens("(uintptr_t)(_mem_pool_xSPI2) + 8", "")))
    Address(symbol='_mem_pool_xSPI2', offset=8)
    """
    parts = [term for term in terms if not _leaves_value(term)]
    if len(parts) == 1 and parts[0].kind in (TEXT, NAME):
        return parts[0].text
    total: Any = 0
    symbol = ""
    sign, wanted = 1, True
    for part in parts:
        if part.text in ("+", "-") and part.kind not in (TEXT, NAME):
            sign = sign if part.text == "+" else -sign
            wanted = True
            continue
        if not wanted or part.kind not in (NUMBER, NAME):
            return None
        if part.kind == NAME:
            if symbol or sign < 0:
                return None
            symbol = part.text
        else:
            number = _number(part.text)
            if number is None:
                return None
            total += sign * number
        sign, wanted = 1, False
    if wanted:
        return None
    if not symbol:
        return total
    return Address(symbol, total) if isinstance(total, int) else None


def _leaves_value(term: Token) -> bool:
    """Tell whether a token does not change the value: a parenthesis, a part of a cast, a macro that maps an address."""
    if term.kind == NAME:
        return term.text in _TYPES or _CAST.fullmatch(term.text) is not None
    return term.kind != TEXT and term.text in ("(", ")", "*", "&")


def _number(text: str) -> int | float | None:
    if len(text) > 40:
        return None
    if text[:2] in ("0x", "0X"):
        return int(text.rstrip("uUlL"), 16)
    plain = text.rstrip("uUlLfF")
    return int(plain) if plain.isdigit() else float(plain)
