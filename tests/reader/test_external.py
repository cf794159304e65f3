"""External data stays inside the model's folder."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from qdqnp.reader import external, read
from tests.reader.builders import model, node, refused, refused_once, with_weight

VALUES = np.array([1, 2, 3], np.float32)


def outside(name: str = "w", **entries: object) -> onnx.TensorProto:
    proto = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[3], data_location=TensorProto.EXTERNAL)
    for key, value in entries.items():
        proto.external_data.add(key=key, value=str(value))
    return proto


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model folder with good data, and a secret beside it."""
    inner = tmp_path / "model"
    inner.mkdir()
    (inner / "w.bin").write_bytes(bytes(4) + VALUES.tobytes())
    (tmp_path / "secret.bin").write_bytes(VALUES.tobytes())
    return inner


def saved(folder: Path, *weights: onnx.TensorProto) -> Path:
    nodes = [node("Add", ["x", "w"], ["y"])]
    (folder / "m.onnx").write_bytes(model(nodes, initializers=weights).SerializeToString())
    return folder / "m.onnx"


@pytest.mark.parametrize("entries", [{"offset": 4}, {"offset": 4, "length": 12}])
def test_reads(folder: Path, entries: dict[str, int]) -> None:
    const = read(saved(folder, outside(location="w.bin", **entries))).constant("w")
    assert const is not None and np.array_equal(const, VALUES) and not const.flags.writeable


def test_subfolder_and_inner_link(folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "v.bin").write_bytes(VALUES.tobytes())
    (folder / "link").symlink_to("sub/v.bin")
    for location in ("sub/v.bin", "link"):
        assert read(saved(folder, outside(location=location))).constant("w") is not None


def test_relative_model_path(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(folder, outside(location="w.bin", offset=4))
    monkeypatch.chdir(folder)
    assert read("m.onnx").constant("w") is not None


@pytest.mark.parametrize("location", ["../secret.bin", "a/../../secret.bin", "..\\secret.bin", "../model/w.bin"])
def test_parent_folder(folder: Path, location: str) -> None:
    refused_once(saved(folder, outside(location=location)), "a path without '..'", location, "model's folder")


@pytest.mark.parametrize("location", ["/etc/passwd", "C:\\secret.bin", "\\\\host\\share\\w.bin", "/dev/zero"])
def test_absolute(folder: Path, location: str) -> None:
    refused_once(saved(folder, outside(location=location)), "a path relative to the model's folder", location)


def test_links_that_leave(folder: Path) -> None:
    (folder / "file").symlink_to(folder.parent / "secret.bin")
    (folder / "dir").symlink_to(folder.parent)
    for location in ("file", "dir/secret.bin"):
        refused_once(saved(folder, outside(location=location)), "symbolic link that leaves it")


def test_sibling_folder_with_the_same_prefix(folder: Path) -> None:
    sibling = folder.parent / "model2"
    sibling.mkdir()
    (sibling / "w.bin").write_bytes(VALUES.tobytes())
    (folder / "link").symlink_to(sibling / "w.bin")
    refused_once(saved(folder, outside(location="link")), "symbolic link that leaves it")


def test_link_loop(folder: Path) -> None:
    (folder / "loop").symlink_to("loop")
    refused_once(saved(folder, outside(location="loop")), "a file in the model's folder")


def test_pipe_and_directory(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    (folder / "sub").mkdir()
    for location in ("pipe", "sub", "."):
        refused_once(saved(folder, outside(location=location)), "a regular file")


def test_missing(folder: Path) -> None:
    refused_once(saved(folder, outside(location="none.bin")), "'none.bin'", "next to it")
    refused_once(saved(folder, outside()), "a file name")
    refused_once(saved(folder, outside(location="w\0.bin")), "a file name")


@pytest.mark.parametrize("number", ["-4", "four", "", "1e3", "9" * 5000, "٤"])
@pytest.mark.parametrize("key", ["offset", "length"])
def test_numbers(folder: Path, key: str, number: str) -> None:
    refused(saved(folder, outside(location="w.bin", **{key: number})), key, "a whole number of bytes from 0 up")


def test_past_the_end(folder: Path) -> None:
    for offset in (5, 1 << 62):
        refused_once(saved(folder, outside(location="w.bin", offset=offset)), "within the 16 bytes of 'w.bin'")


def test_length_that_does_not_fit_dims(folder: Path) -> None:
    refused_once(saved(folder, outside(location="w.bin", length=8)), "a length of 12 bytes", "got 8 bytes")


def test_repeated_key(folder: Path) -> None:
    proto = outside(location="w.bin")
    proto.external_data.add(key="location", value="other.bin")
    refused_once(saved(folder, proto), "a repeated key")


def test_overlap_cannot_multiply_memory(folder: Path) -> None:
    path = saved(folder, outside(location="w.bin"), outside("v", location="w.bin", offset=4))
    refused_once(path, "initializer 'v'", "do not overlap")
    same = saved(folder, outside(location="w.bin"), outside("v", location="w.bin"))
    assert read(same).constant("v") is not None


def test_total(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(external, "MAX_EXTERNAL_BYTES", 8)
    refused_once(saved(folder, outside(location="w.bin")), "at most 8 bytes of external data")


def test_no_folder() -> None:
    made = with_weight(outside(location="w.bin"))
    for source in (made, made.SerializeToString()):
        refused_once(source, "a model with all its data inside", "Load the model from its path")


def test_data_in_both_places(folder: Path) -> None:
    proto = outside(location="w.bin")
    proto.raw_data = bytes(12)
    refused_once(saved(folder, proto), "elements in the file or outside", "both")
