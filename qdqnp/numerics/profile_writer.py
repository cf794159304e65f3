"""Writes a profile as TOML: the text, or the plain tables, that `profile_toml` reads back to an equal profile."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from typing import Any

from qdqnp.numerics.choices import OVERRIDES, hints
from qdqnp.numerics.profile import Profile, rule_names
from qdqnp.numerics.rule import kind_name
from qdqnp.numerics.status import ESTABLISHED, INFERRED

Document = dict[str, Any]


def to_document(profile: Profile) -> Document:
    """Return the profile as plain tables, lists and values; only defaults of `status` are left out."""
    return {name: _plain(getattr(profile, name), name) for name in hints(Profile)}


def _plain(value: Any, path: str) -> Any:
    if dataclasses.is_dataclass(value):
        kept = [field for field in dataclasses.fields(value) if not _is_default_status(value, field, path)]
        fields = {field.name: _field(value, field, f"{path}.{field.name}") for field in kept}
        return {"kind": kind_name(type(value)), **fields}
    if isinstance(value, tuple):
        return [_plain(item, f"{path}[]") for item in value]
    return value


def _field(value: Any, field: dataclasses.Field[Any], path: str) -> Any:
    inner = getattr(value, field.name)
    if OVERRIDES in field.metadata:
        return {label: {key: _plain(number, path) for key, number in numbers} for label, numbers in inner}
    return _plain(inner, path)


def _is_default_status(value: Any, field: dataclasses.Field[Any], path: str) -> bool:
    """Tell whether reading fills the status in by itself.

    Reading gives a rule of the profile the status 'inferred', and a rule within a rule that of its class.
    """
    if field.name != "status":
        return False
    default = INFERRED if "." not in path and field.default == ESTABLISHED else field.default
    return bool(value.status == default)


def shared_document(profile: Profile) -> Document:
    """Do as `to_document`, but replace a rule that occurs again by the name of the first field that has it.

    The rules of the profile all state their status: a rule that refers to one from within would not read it otherwise.
    """
    first: dict[Any, str] = {}
    for name in rule_names():
        first.setdefault(getattr(profile, name), name)
    return {name: _shared(profile, name, first) for name in hints(Profile)}


def to_toml(profile: Profile) -> str:
    """Return the profile as a TOML text that `from_toml` reads back to an equal profile.

    Rules that are equal are written once and referred to by the name of the first field that has them.
    """
    document = shared_document(profile)
    lines = [f"{key} = {_scalar(value)}" for key, value in document.items() if not isinstance(value, dict)]
    for key, value in document.items():
        if isinstance(value, dict):
            lines += _table_lines([key], value)
    return "\n".join(lines) + "\n"


def _shared(profile: Profile, name: str, first: Mapping[Any, str]) -> Any:
    """Return a field's plain value; rules that other fields hold are replaced by the names of those fields."""
    value = getattr(profile, name)
    plain = _plain(value, name)
    if not dataclasses.is_dataclass(value):
        return plain
    if first[value] != name:
        return first[value]
    inner = {key: getattr(value, key, None) for key in plain}
    shared = {key: first[inner[key]] if _is_rule(inner[key], first) else item for key, item in plain.items()}
    stated = {field.name: getattr(value, field.name) for field in dataclasses.fields(value) if field.name == "status"}
    return {**shared, **stated}


def _is_rule(value: Any, first: Mapping[Any, str]) -> bool:
    return dataclasses.is_dataclass(value) and value in first


def _table_lines(path: list[str], value: Document) -> list[str]:
    """Write a table under its header: simple values first, then the tables that need a header of their own.

    Empty tables are left out, so that a reader may add `[conv.overrides."layer"]` without defining the table twice.
    """
    lines = ["", f"[{'.'.join(_key(part) for part in path)}]"]
    lines += [f"{_key(key)} = {_scalar(item)}" for key, item in value.items() if not _has_header(item) and item != {}]
    for key, item in value.items():
        if _has_header(item):
            lines += _table_lines([*path, key], item)
    return lines


def _has_header(value: Any) -> bool:
    """Tell whether the value is a table of tables; smaller tables fit in a line."""
    return isinstance(value, dict) and any(isinstance(item, dict) for item in value.values())


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return toml_string(value)
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(key)} = {_scalar(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        return "[\n" + "".join(f"  {_scalar(item)},\n" for item in value) + "]"
    if isinstance(value, list):
        return "[" + ", ".join(_scalar(item) for item in value) + "]"
    return str(value)


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else toml_string(key)


def toml_string(text: str) -> str:
    r"""Return TOML's basic string for a text. JSON's escapes are TOML's; whatever is not printed as itself is escaped
    too, so that the file can be looked at.

    >>> print(toml_string('say "grün"\u202e'))
    "say \"grün\"\u202e"
    """
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(char if char.isprintable() else _escape(ord(char)) for char in quoted)


def _escape(code: int) -> str:
    return f"\\u{code:04x}" if code < 2**16 else f"\\U{code:08x}"
