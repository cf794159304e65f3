"""A format that only this file knows: every place that lists formats learns of it from the class."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest
from click.testing import CliRunner

from qdqnp.cli import cli
from qdqnp.errors import GoldenError
from qdqnp.golden_sets import GoldenTensor, Options, formats, read, schema_text, write
from qdqnp.golden_sets.catalog import Entry
from qdqnp.golden_sets.formats import WRITERS, ReadableWriter
from qdqnp.golden_sets.tensor import Document

FEEDS = {"input": np.zeros((1, 3, 16, 16), np.float32)}


@pytest.fixture(autouse=True)
def reversed_format() -> Iterator[None]:
    """Bytes in reverse, and room for outputs only."""

    class ReversedWriter(ReadableWriter, name="reversed"):
        roles = ("output", "network_output")

        def add(self, entry: Entry, stored: np.ndarray, case: int) -> None:
            if entry.tensor.role in self.roles:
                self._folder.append(f"reversed/{entry.tensor.key}.{case}", stored.tobytes()[::-1])

        def place(self, entry: Entry) -> Document:
            tensor = entry.stored.tensor
            return {"file": f"reversed/{tensor.key}.0", "backwards": True} if tensor.role in self.roles else {}

        @staticmethod
        def read(file: BinaryIO, tensor: GoldenTensor, place: Mapping[str, Any], case: int, cases: int) -> bytes:
            assert place["backwards"]
            return file.read()[::-1]

    yield
    del WRITERS["reversed"]


def test_a_set_is_written_with_it_and_read_back(net: Path, tmp_path: Path) -> None:
    write(tmp_path / "set", net, [FEEDS], 1, options=Options(formats=("reversed",)))
    write(tmp_path / "other", net, [FEEDS], 1, options=Options(formats=("bin",)))
    found, other = read(tmp_path / "set"), read(tmp_path / "other")
    assert {tensor.role for tensor in found.tensors} == {"output", "network_output"}
    for tensor in found.tensors:
        assert set(tensor.files) == {"reversed"}
        np.testing.assert_array_equal(found.array(tensor), other.array(other.find(tensor.name)), strict=True)


@pytest.mark.parametrize("command", ["golden", "stimulate"])
def test_the_command_line_takes_it(net: Path, tmp_path: Path, command: str) -> None:
    result = CliRunner().invoke(cli, [command, str(net), "--out", str(tmp_path / "set"), "--format", "reversed,npz"])
    assert result.exit_code == 0, result.output
    assert any("reversed" in tensor.files for tensor in read(tmp_path / "set").tensors)


def test_the_schema_and_the_messages_list_it(net: Path, tmp_path: Path) -> None:
    names = json.loads(schema_text())["$defs"]["tensor"]["properties"]["files"]["propertyNames"]["enum"]
    assert "reversed" in names and names == list(formats())
    with pytest.raises(GoldenError, match="reversed"):
        write(tmp_path / "set", net, [FEEDS], 1, options=Options(formats=("csv",)))
    assert "reversed" in CliRunner().invoke(cli, ["golden", str(net), "--out", "x", "--format", "csv"]).output


def test_once_it_is_gone_its_sets_are_refused(net: Path, tmp_path: Path) -> None:
    write(tmp_path / "set", net, [FEEDS], 1, options=Options(formats=("reversed",)))
    writer = WRITERS.pop("reversed")
    try:
        with pytest.raises(GoldenError, match="reversed, as a name"):
            read(tmp_path / "set")
    finally:
        WRITERS["reversed"] = writer
