"""The hash of a value of many parts, such as a model's graph, a profile or the arrays of an input."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np


def digest(*values: object) -> str:
    """Return the sha256 of values, in hexadecimal digits: equal for values that are equal in all their parts, whichever
    process made them, and in whatever order a set has its elements.

        values: None, numbers, texts, bytes, arrays, dtypes, dataclasses, and tables, lists and sets of such.

    Raises TypeError for anything else.

    >>> digest({"input": np.zeros(2, np.int8)}) == digest({"input": np.zeros(2, np.uint8)})
    False
    >>> digest((1, "a")) == digest([1, "a"]) != digest(1.0, "a")
    True
    """
    found = hashlib.sha256()
    _add(found, values)
    return found.hexdigest()


def _add(found: Any, value: object) -> None:
    """Add a value: its kind, its size, and its parts, so that no two values make the same bytes."""
    match value:
        case None | bool() | int() | float():
            _note(found, type(value).__name__, repr(value).encode())
        case str():
            _note(found, "str", value.encode("utf-8", "surrogatepass"))
        case bytes():
            _note(found, "bytes", value)
        case np.ndarray() | np.generic():
            array = np.asarray(value)
            _note(found, "array", f"{array.dtype} {array.shape}".encode())
            if array.dtype == object:
                _add(found, array.tolist())
            else:
                _note(found, "", np.ascontiguousarray(array).tobytes())
        case np.dtype():
            _note(found, "dtype", str(value).encode())
        case list() | tuple():
            _note(found, "list", str(len(value)).encode())
            for part in value:
                _add(found, part)
        case set() | frozenset():
            _add(found, sorted(digest(part) for part in value))
        case Mapping():
            _note(found, "table", str(len(value)).encode())
            for key, part in value.items():
                _add(found, key)
                _add(found, part)
        case _ if is_dataclass(value):
            _note(found, "object", type(value).__qualname__.encode())
            _add(found, {field.name: getattr(value, field.name) for field in fields(value)})
        case _:
            raise TypeError(f"no hash of {type(value).__name__}")


def _note(found: Any, kind: str, data: bytes) -> None:
    found.update(f"{kind} {len(data)} ".encode())
    found.update(data)
