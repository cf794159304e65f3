"""Read the manifest's JSON Schema, and check a manifest against it; every fault is listed with its place."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from qdqnp.errors import Problems, shorten
from qdqnp.files.regular import packaged
from qdqnp.golden_sets.formats import formats

Schema = Mapping[str, Any]
_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
MOST = 100  # problems listed


def schema_text() -> str:
    """Return the published schema as text. The formats are filled in where the file leaves an empty list for them.

    >>> import json
    >>> json.loads(schema_text())["title"]
    'Manifest of a qdqnp golden set, version 1'
    """
    text = packaged("qdqnp.golden_sets", "manifest.schema.json").decode("utf-8")
    return text.replace('"enum": []', f'"enum": {json.dumps(formats())}')


def check_manifest(document: Any, problems: Problems) -> None:
    """Check a manifest against the published schema."""
    schema = json.loads(schema_text())
    _Checker(schema, problems).check(document, schema, "manifest")


class _Checker:
    """Checks the part of JSON Schema that the manifest's schema uses; a keyword beyond it fails the tests, not the
    user."""

    def __init__(self, root: Schema, problems: Problems) -> None:
        self._root, self._problems = root, problems

    def check(self, value: Any, schema: Schema, where: str) -> None:
        if len(self._problems.found) >= MOST:
            return
        if "$ref" in schema:
            schema = self._root["$defs"][schema["$ref"].rpartition("/")[2]]
        if "const" in schema and not _same(value, schema["const"]):
            self._no(where, json.dumps(schema["const"]), value)
        elif "enum" in schema and not any(_same(value, choice) for choice in schema["enum"]):
            self._no(where, f"one of {', '.join(json.dumps(choice) for choice in schema['enum'])}", value)
        elif "type" in schema and not _has_type(value, schema["type"]):
            kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
            self._no(where, " or ".join(kinds), value)
        elif isinstance(value, str):
            if "pattern" in schema and not re.search(schema["pattern"].replace("$", r"\Z"), value):
                self._no(where, f"a text like {schema['pattern']}", value)
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            if value < schema.get("minimum", value):
                self._no(where, f"at least {schema['minimum']}", value)
        elif isinstance(value, list):
            self._array(value, schema, where)
        elif isinstance(value, dict):
            self._object(value, schema, where)

    def _array(self, value: list[Any], schema: Schema, where: str) -> None:
        if len(value) < schema.get("minItems", 0):
            self._no(where, f"at least {schema['minItems']} items", len(value))
        if "items" in schema:
            for index, item in enumerate(value):
                self.check(item, schema["items"], f"{where}[{index}]")

    def _object(self, value: dict[str, Any], schema: Schema, where: str) -> None:
        known = schema.get("properties", {})
        for key in schema.get("required", ()):
            if key not in value:
                self._problems.add(f"{where}.{key}", "to be there", "nothing")
        for key, item in value.items():
            at = f"{where}.{shorten(key, 60)}"
            if "propertyNames" in schema:
                self.check(key, schema["propertyNames"], f"{at}, as a name")
            if key in known:
                self.check(item, known[key], at)
            elif schema.get("additionalProperties") is False:
                self._problems.add(at, "no such key", "one")
            elif "additionalProperties" in schema:
                self.check(item, schema["additionalProperties"], at)

    def _no(self, where: str, expected: str, got: Any) -> None:
        self._problems.add(where, expected, shorten(json.dumps(got, default=str), 100))


def _same(value: Any, other: Any) -> bool:
    """Compare as JSON does, where true is not 1."""
    return bool(value == other) and isinstance(value, bool) == isinstance(other, bool)


def _has_type(value: Any, kinds: str | list[str]) -> bool:
    """Compare as JSON Schema does, but that 1.0 is no integer: it would count and index as one."""
    for kind in [kinds] if isinstance(kinds, str) else kinds:
        if isinstance(value, _TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool)):
            return True
    return False
