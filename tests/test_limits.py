"""The limits, and the document that states them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from qdqnp import errors, limits

DOCUMENT = (Path(__file__).parents[1] / "SECURITY.md").read_text(encoding="utf-8")
STATED = (
    "MAX_FILE_BYTES",
    "MAX_TENSOR_BYTES",
    "MAX_EXTERNAL_BYTES",
    "MAX_ENTRIES",
    "MAX_NODE_PARTS",
    "NODE_PARTS",
    "MAX_FUNCTION_DEPTH",
    "CONSTANT_USE",
    "CONSTANT_USE_PER_BYTE",
    "RUN_ELEMENTS",
    "RUN_ELEMENTS_PER_BYTE",
    "RUN_PRODUCTS",
    "RUN_PRODUCTS_PER_BYTE",
    "RUN_BYTES",
    "RUN_BYTES_PER_BYTE",
    "MAX_RANDOM_BYTES",
    "MAX_RANK",
    "MAX_TEXT",
)


@pytest.mark.parametrize("name", STATED)
def test_the_document_states_the_limit(name: str) -> None:
    rows = [line for line in DOCUMENT.splitlines() if line.startswith("| ")]
    numbers = {number for row in rows for number in re.findall(r"\d[\d,]*\d|\d", row)}
    assert f"{getattr(limits, name):,}" in numbers


def test_the_document_states_the_length_of_lists() -> None:
    assert f"| problems listed in one error | {errors.MAX_LISTED} |" in DOCUMENT


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (2**32, "4.0 GiB (4294967296 bytes)"), (2**300, "over 2**300 bytes")],
)
def test_bytes_for_reading(count: int, text: str) -> None:
    assert limits.readable_bytes(count) == text
