"""Docstrings of the project become the sections that the reference shows."""

from __future__ import annotations

from pathlib import Path

import pytest

griffe = pytest.importorskip("griffe")

from tools.site.docstrings import HouseStyle, sections  # noqa: E402  it needs griffe

DOCSTRING = """Add two numbers.

    x: the first,
        which goes on.
    y: the second.

Raises InputError where one is not a number, `ModelError` never.

    plain = "code: of the docstring"

>>> add(1, 2)
3
"""


def test_a_list_of_parameters_an_error_and_an_example() -> None:
    assert sections(DOCSTRING.rstrip("\n"), {"x", "y"}) == (
        "Add two numbers.\n\nArgs:\n    x: the first,\n        which goes on.\n    y: the second.\n\n"
        "Raises [InputError][qdqnp.InputError] where one is not a number, `ModelError` never.\n\n"
        '    plain = "code: of the docstring"\n\n```pycon\n>>> add(1, 2)\n3\n```'
    )


def test_a_list_of_other_names_gets_bullets() -> None:
    text = "Return a function.\n\n    path: where,\n        or not.\n    a, b: two."
    assert sections(text, {"request"}) == (
        "Return a function.\n\n- **path:** where,\n        or not.\n- **a, b:** two."
    )
    assert sections(text).startswith("Return a function.\n\nArgs:\n    path")


def test_parameters_without_indentation_are_a_list_too() -> None:
    text = "Add.\n\nx: the first,\n    which goes\non.\ny: the second.\n\nnote: prose."
    expected = "Add.\n\nArgs:\n    x: the first,\n        which goes\n        on.\n    y: the second.\n\nnote: prose."
    assert sections(text, {"x", "y"}) == expected
    assert sections(text) == text


def test_griffe_reads_the_parameters_that_it_is_given(tmp_path: Path) -> None:
    source = f'def add(x: int, y: int) -> int:\n    """{DOCSTRING}"""\n'
    (tmp_path / "sums.py").write_text(source, encoding="utf-8")
    module = griffe.load("sums", search_paths=[tmp_path], extensions=griffe.load_extensions(HouseStyle))
    parsed = module["add"].docstring.parse("google")
    kinds = [section.kind.value for section in parsed]
    assert kinds == ["text", "parameters", "text"]
    assert [parameter.name for parameter in parsed[1].value] == ["x", "y"]
