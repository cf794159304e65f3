"""Read TOML and JSON of unknown origin: plain values, whose size, depth and integers are bounded.

Both parsers take whatever fits the grammar. A key of 25,000 parts takes gigabytes in tomllib, an integer of 5,000
digits is an error of another kind, and what is nested deeply fails later, in whoever walks over it.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from qdqnp.files.regular import read_bytes

#: The largest file, where the reader does not say: profiles have some ten thousand bytes.
MAX_BYTES = 2**20
#: How deep values may be nested, and of how many parts a key of TOML may be.
MAX_DEPTH = 32
#: Lists and tables of a JSON file: the smallest take 3 bytes of it and 60 of memory. A tensor of a manifest has seven.
MAX_LISTS = 2**20
_INTEGERS = range(-(2**63), 2**64)

_PART = r"""(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')"""
# Parts of a key one after the other; it starts where a part does, so that each place is looked at once.
_LONG_KEY = re.compile(rf"(?<![A-Za-z0-9_.-]){_PART}(?:[ \t]*\.[ \t]*{_PART}){{{MAX_DEPTH},}}")


def read_toml(path: Path, limit: int = MAX_BYTES) -> dict[str, Any]:
    """Return the document of a TOML file in UTF-8. Raises OSError where the file cannot be read or is larger than
    `limit` bytes, ValueError as parse_toml does.

    >>> Path("device.toml").write_text('base = "tflite"')
    15
    >>> read_toml(Path("device.toml"))
    {'base': 'tflite'}
    """
    return parse_toml(read_bytes(path, limit).decode("utf-8"), limit)


def parse_toml(text: str, limit: int = MAX_BYTES) -> dict[str, Any]:
    """Return the document that a TOML text states.

    Raises ValueError for what is not TOML, more than `limit` characters, values in more than MAX_DEPTH others, keys of
    more parts, and integers of more than 64 bits.

    >>> parse_toml("conv.precision = 'float32'")
    {'conv': {'precision': 'float32'}}
    """
    if len(text) > limit:
        raise ValueError(f"{len(text)} characters, where at most {limit} are read")
    if _LONG_KEY.search(text):
        raise ValueError(f"a key of more than {MAX_DEPTH} parts")
    try:
        document = tomllib.loads(text)
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error
    _check(document)
    return document


def read_json(path: Path, limit: int = MAX_BYTES) -> Any:
    """Return the document of a JSON file in UTF-8. Raises OSError where the file cannot be read or is larger than
    `limit` bytes, ValueError as parse_json does.

    >>> Path("mapping.json").write_text('{"tensors": {}}')
    15
    >>> read_json(Path("mapping.json"))
    {'tensors': {}}
    """
    return parse_json(read_bytes(path, limit))


def parse_json(data: bytes) -> Any:
    """Return the document that JSON states.

    Raises ValueError for what is not JSON in UTF-8 (NaN is not), more than MAX_LISTS lists and tables, values in more
    than MAX_DEPTH others, integers of more than 64 bits, and text that is not Unicode.

    >>> parse_json(b'{"inputs": 2}')
    {'inputs': 2}
    """
    if data.count(b"[") + data.count(b"{") > MAX_LISTS:
        raise ValueError(f"more than {MAX_LISTS} lists and tables")
    try:
        document = json.loads(data.decode("utf-8"), parse_constant=_no_constant)
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error
    _check(document)
    return document


_TOO_DEEP = f"values in more than {MAX_DEPTH} others"


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is no JSON")


def _check(document: Any) -> None:
    """Walk over a document, not by recursion: what is nested too deeply is not recursed into here either."""
    inside: list[Iterator[Any]] = [iter([document])]
    while inside:
        if len(inside) > MAX_DEPTH + 1:
            raise ValueError(_TOO_DEEP)
        for value in inside[-1]:
            if isinstance(value, dict):
                inside.append(chain(value, value.values()))
                break
            if isinstance(value, list):
                inside.append(iter(value))
                break
            if isinstance(value, str):
                value.encode("utf-8")  # lone surrogates, which escapes of JSON can state
            elif isinstance(value, int) and value not in _INTEGERS:
                raise ValueError("an integer of more than 64 bits")
        else:
            inside.pop()
