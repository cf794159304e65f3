"""Class names: a class has a name of its own, so that whoever reads it knows which one is meant."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import qdqnp

PACKAGE = Path(qdqnp.__file__).parent


def test_no_class_name_stands_for_two_classes() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(f"{path.relative_to(PACKAGE).as_posix()}:{node.lineno}")
    assert len(places) > 200
    found = {name: where for name, where in places.items() if len(where) > 1}
    assert not found, found
