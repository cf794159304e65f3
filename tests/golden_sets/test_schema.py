"""The published schema: it is one, sets follow it, and our own check of it agrees with the jsonschema package."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, validators

from qdqnp.errors import Problems
from qdqnp.golden_sets import schema_text
from qdqnp.golden_sets.schema import check_manifest
from tests.golden_sets.conftest import Made

SCHEMA = json.loads(schema_text())
# To JSON Schema 1.0 is an integer, to Python it is none: our check is stricter there.
STRICT = Draft202012Validator.TYPE_CHECKER.redefine(
    "integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)
)
VALIDATOR = validators.extend(Draft202012Validator, type_checker=STRICT)(SCHEMA)
# What `qdqnp.golden_sets.schema` understands; a keyword that is not among them would be ignored there.
KEYWORDS = {
    "$schema",
    "$defs",
    "$ref",
    "title",
    "description",
    "type",
    "required",
    "properties",
    "const",
    "enum",
    "additionalProperties",
    "propertyNames",
    "items",
    "minItems",
    "minimum",
    "pattern",
}
JUNK = st.sampled_from(
    [
        None,
        True,
        0,
        1,
        -1,
        1.0,
        1.5,
        "",
        "x",
        "../x",
        "a/b/c",
        [],
        [1],
        {},
        {"x": 1},
        "int8",
        2**70,
        "0" * 64,
        "npz/../x",
    ]
)


def agrees(document: Any) -> bool:
    """Whether it is valid; both checks must say the same."""
    problems = Problems()
    check_manifest(document, problems)
    assert VALIDATOR.is_valid(document) == (not problems.found), [str(problem) for problem in problems.found]
    return not problems.found


def test_it_is_a_schema_of_keywords_that_we_check() -> None:
    Draft202012Validator.check_schema(SCHEMA)

    def visit(schema: dict[str, Any]) -> None:
        assert set(schema) <= KEYWORDS
        for inner in (
            *schema.get("properties", {}).values(),
            *schema.get("$defs", {}).values(),
            *(schema[key] for key in ("items", "additionalProperties", "propertyNames") if key in schema),
        ):
            if isinstance(inner, dict):
                visit(inner)

    visit(SCHEMA)


def test_a_set_follows_it(made: Made) -> None:
    document = json.loads((made.folder / "manifest.json").read_text())
    assert agrees(document)
    assert agrees({**document, "coverage": {"anything": [1, None, {"x": "y"}]}})


def small(made: Made) -> dict[str, Any]:
    """The set's manifest with few entries of each kind, so that a change soon meets each."""
    document = copy.deepcopy(dict(made.found.manifest))
    document["layers"] = document["layers"][1:2]
    document["tensors"] = document["tensors"][2:5]
    document["files"] = dict(list(document["files"].items())[:2])
    return document


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_our_check_agrees_with_jsonschema_on_damaged_manifests(made: Made, data: st.DataObject) -> None:
    document = small(made)
    for _ in range(data.draw(st.integers(1, 2))):
        place: Any = document
        while True:
            keys = list(range(len(place))) if isinstance(place, list) else sorted(place)
            key = data.draw(st.sampled_from(keys))
            if isinstance(place[key], (dict, list)) and place[key] and data.draw(st.integers(0, 3)):
                place = place[key]
                continue
            break
        change = data.draw(st.sampled_from(["replace", "remove", "add"]))
        if change == "replace":
            place[key] = data.draw(JUNK)
        elif change == "remove":
            del place[key]
        elif isinstance(place, dict):
            place[data.draw(st.sampled_from(["more", "../x", "npz"]))] = data.draw(JUNK)
        else:
            place.append(data.draw(JUNK))
        if not isinstance(document, dict) or not all(
            isinstance(v, (dict, list)) and v for v in (document.get("tensors"), document.get("files"))
        ):
            break
    agrees(document)


@pytest.mark.parametrize("document", [None, [], {}, "x", {"format": "qdqnp-golden"}])
def test_what_is_no_manifest_at_all(document: Any) -> None:
    assert not agrees(document)


@pytest.mark.parametrize(
    "path", ["../x", "/etc/passwd", "a/../b", "a/b/c", "a\\b", "", ".", "..", "c/..", "-x", "npz/.hidden", "a/"]
)
def test_no_path_leaves_the_set(made: Made, path: str) -> None:
    document = small(made)
    document["files"] = {path: {"bytes": 1, "sha256": "0" * 64}}
    assert not agrees(document)


def test_a_line_break_at_the_end_is_no_end(made: Made) -> None:
    """Patterns of JSON Schema are ECMAScript's, whose $ is the end; Python's own, which jsonschema uses, is not."""
    document = small(made)
    document["files"] = {"x\n": {"bytes": 1, "sha256": "0" * 64 + "\n"}}
    problems = Problems()
    check_manifest(document, problems)
    assert len(problems.found) == 2


def test_a_whole_float_is_no_integer(made: Made) -> None:
    document = copy.deepcopy(dict(made.found.manifest))
    assert agrees(document)
    document["inputs"] = float(document["inputs"])
    assert not agrees(document)
