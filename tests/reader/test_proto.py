"""Files and bytes that are no ONNX model."""

from __future__ import annotations

import os
from pathlib import Path

import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qdqnp.errors import ModelError
from qdqnp.graph import Graph
from qdqnp.reader import proto, read
from tests.reader.builders import function, info, model, node, quantized, refused_once, relu, tensor

RICH = model(
    [
        node("F", ["x"], ["a"], domain="local", name="call"),
        node("Constant", [], ["c"], value_floats=[1.0, 2.0, 3.0]),
        node("Add", ["a", "c"], ["b"]),
        node("Add", ["b", "w"], ["y"]),
    ],
    initializers=[tensor("w", [1, 2, 3])],
    functions=[function("F", ["i"], ["o"], [node("Relu", ["i"], ["o"])])],
    opsets={"": 17, "local": 1},
)
RICH.graph.value_info.append(info("a", ["N", 3]))
VALID = RICH.SerializeToString()


def load_or_model_error(data: bytes) -> Graph | None:
    try:
        return read(data)
    except ModelError as error:
        assert error.problems
        return None


def test_path_bytes_and_proto_are_the_same(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(VALID)
    for source in (path, str(path), VALID, bytearray(VALID), RICH):
        graph = read(source)  # type: ignore[arg-type]
        assert [n.op for n in graph.nodes] == ["Relu", "Add", "Add"]
        assert graph.inputs == ("x",) and graph.outputs == ("y",)


def test_missing_file(tmp_path: Path) -> None:
    refused_once(tmp_path / "none.onnx", "a readable model file", "No such file")


def test_directory(tmp_path: Path) -> None:
    refused_once(tmp_path, "got a directory", "Name the .onnx file inside it")


def test_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    refused_once(tmp_path / "pipe", "a regular file", "pipe")


def test_nul_in_path() -> None:
    refused_once("a\0b", "a readable model file")


def test_empty(tmp_path: Path) -> None:
    (tmp_path / "e.onnx").touch()
    refused_once(tmp_path / "e.onnx", "an empty file")
    refused_once(b"", "an empty file")


def test_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proto, "MAX_FILE_BYTES", 10)
    path = tmp_path / "m.onnx"
    path.write_bytes(VALID)
    refused_once(path, "at most 10 bytes", "external data")
    refused_once(VALID, "at most 10 bytes")


def test_other_protobuf() -> None:
    refused_once(relu().graph.SerializeToString(), "an ONNX model")
    refused_once(onnx.ModelProto(producer_name="p").SerializeToString(), "without a graph")
    no_version = relu()
    no_version.ClearField("ir_version")
    refused_once(no_version, "without ir_version")


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"\x1c\0\0\0TFL3" + bytes(9), "TensorFlow Lite"),
        (b"PK\x03\x04" + bytes(9), "zip archive"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        (b"<!DOCTYPE html>", "HTML"),
    ],
)
def test_other_formats_are_named(data: bytes, what: str) -> None:
    refused_once(data, what)


def test_other_python_types() -> None:
    with pytest.raises(TypeError, match="not int"):
        read(3)  # type: ignore[arg-type]


def test_every_prefix_loads_or_is_refused() -> None:
    for end in range(len(VALID)):
        load_or_model_error(VALID[:end])


def test_truncated_in_the_middle_is_named() -> None:
    refused_once(VALID[: len(VALID) // 2], "cut off, damaged, or not an ONNX model")


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes(data: bytes) -> None:
    assert load_or_model_error(data) is None


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_changed_bytes(data: st.DataObject) -> None:
    damaged = bytearray(data.draw(st.sampled_from([VALID, quantized().SerializeToString()])))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    load_or_model_error(bytes(damaged))


def test_names_that_are_not_utf8() -> None:
    data = model([node("Relu", ["x"], ["tttt"]), node("Relu", ["tttt"], ["y"])]).SerializeToString()
    error = read_error(data.replace(b"tttt", b"t\xff\xfet"))
    assert "valid UTF-8" in str(error)


def read_error(data: bytes) -> ModelError:
    with pytest.raises(ModelError) as caught:
        read(data)
    return caught.value
