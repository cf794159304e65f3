"""Inputs from .npy and .npz files: by name, split into runs, and never a traceback."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from qdqnp.errors import InputError
from qdqnp.inputs.files import read_feeds, split_batches
from qdqnp.program import Program, Tensor


def program(**inputs: tuple[type, list[int | str | None]]) -> Program:
    """A program that has inputs and nothing else; each by its name: dtype and shape."""
    tensors = {name: Tensor(name, np.dtype(dtype), tuple(shape)) for name, (dtype, shape) in inputs.items()}
    return Program("none", (), tensors, tuple(inputs), ())


ONE = program(x=(np.float32, [2, 3]))
TWO = program(a=(np.float32, [2, 3]), b=(np.uint8, [1, "n"]))


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


def test_npy_is_the_only_input(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", numbers(2, 3))
    (feeds,) = read_feeds(tmp_path / "x.npy", ONE)
    assert list(feeds) == ["x"] and np.array_equal(feeds["x"], numbers(2, 3))


def test_the_only_array_of_an_npz_may_have_any_name(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", other=numbers(2, 3))
    (feeds,) = read_feeds(tmp_path / "x.npz", ONE)
    assert np.array_equal(feeds["x"], numbers(2, 3))


def test_npz_by_name_beside_other_arrays(tmp_path: Path) -> None:
    codes = np.arange(5, dtype=np.uint8)[np.newaxis]
    np.savez(tmp_path / "x.npz", b=codes, a=numbers(2, 3), z=np.zeros(1))
    (feeds,) = read_feeds(tmp_path / "x.npz", TWO)
    assert list(feeds) == ["a", "b"]
    assert np.array_equal(feeds["a"], numbers(2, 3)) and np.array_equal(feeds["b"], codes)


def test_missing_inputs_are_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", a=numbers(2, 3), c=np.zeros(1))
    with pytest.raises(InputError, match=r"arrays for the inputs \['b'\], got arrays \['a', 'c'\]"):
        list(read_feeds(tmp_path / "x.npz", TWO))


def test_several_batches_are_split(tmp_path: Path) -> None:
    x = numbers(6, 3)
    np.save(tmp_path / "x.npy", x)
    found = list(read_feeds(tmp_path / "x.npy", ONE))
    assert [feeds["x"].shape for feeds in found] == [(2, 3)] * 3
    assert np.array_equal(np.concatenate([feeds["x"] for feeds in found]), x)


def test_inputs_are_split_together_or_not_at_all() -> None:
    a, b = numbers(6, 3), np.arange(12, dtype=np.uint8).reshape(3, 4)
    found = list(split_batches({"a": a, "b": b}, TWO))
    assert [(feeds["a"].shape, feeds["b"].shape) for feeds in found] == [((2, 3), (1, 4))] * 3
    assert all(np.array_equal(feeds["b"][0], b[index]) for index, feeds in enumerate(found))
    (whole,) = split_batches({"a": a, "b": b[:2]}, TWO)  # 3 batches beside 2: left to the model's own check
    assert whole["a"] is a


@pytest.mark.parametrize("shape", [(5, 3), (6,), (6, 3, 1), (0, 3)])
def test_what_is_no_multiple_stays_whole(shape: tuple[int, ...]) -> None:
    (feeds,) = split_batches({"x": numbers(*shape)}, ONE)
    assert feeds["x"].shape == shape


def test_a_symbolic_batch_is_one_run() -> None:
    (feeds,) = split_batches({"x": numbers(7, 3)}, program(x=(np.float32, ["n", 3])))
    assert feeds["x"].shape == (7, 3)


@pytest.mark.parametrize("content", [None, b"", b"garbage", b"PK\x03\x04 no archive", b"\x93NUMPY\x01\x00\xff\xff"])
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_damaged_files(tmp_path: Path, content: bytes | None, suffix: str) -> None:
    file = tmp_path / f"bad{suffix}"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InputError, match=r"a readable \.npy or \.npz file of numbers"):
        list(read_feeds(file, ONE))


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_pickles_are_refused(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"x{suffix}"
    if suffix == ".npy":
        np.save(file, np.array([{}], object))
    else:
        np.savez(file, x=np.array([{}], object))
    with pytest.raises(InputError, match=r"a readable \.npy or \.npz file of numbers"):
        list(read_feeds(file, ONE))


def test_an_archive_too_large_to_unpack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez_compressed(tmp_path / "x.npz", x=np.zeros((2000, 3), np.float32))
    monkeypatch.setattr("qdqnp.files.npy.UNPACKED", 1000)
    with pytest.raises(InputError, match=r"unpacked, where at most"):
        list(read_feeds(tmp_path / "x.npz", ONE))


def archive_under_another_suffix(folder: Path, name: str) -> Path:
    np.savez(folder / "x.npz", x=numbers(2, 3))
    (folder / "x.npz").rename(folder / name)
    return folder / name


@pytest.mark.parametrize("name", ["X.NPZ", "x.npy", "x"])
def test_an_archive_is_known_by_its_content(tmp_path: Path, name: str) -> None:
    (feeds,) = read_feeds(archive_under_another_suffix(tmp_path, name), ONE)
    assert np.array_equal(feeds["x"], numbers(2, 3))


def test_members_that_are_no_arrays_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("notes.txt", "hello")
    with pytest.raises(InputError):
        list(read_feeds(tmp_path / "x.npz", ONE))
