"""Arrays as data sets: .npz files, and pairs from Python."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qdqnp.errors import InputError
from qdqnp.evaluation.arrays import npz_data, pairs_data
from tests.evaluation.kit import picture, pictures, png


def test_pictures_with_classes_and_their_names(tmp_path: Path) -> None:
    x, y = pictures([0, 2, 1]), np.array([0, 2, 1], np.uint8)
    np.savez_compressed(tmp_path / "d.npz", x=x, y=y, classes=np.array(["red", "green", "blue"]))
    data = npz_data(tmp_path / "d.npz")
    assert data.pictures and data.size == 3 and data.class_names == ["red", "green", "blue"] and data.span == (0, 2)
    found = list(data.samples(None))
    assert [(one.index, one.name, one.label) for one in found] == [
        (0, "d.npz[0]", 0),
        (1, "d.npz[1]", 2),
        (2, "d.npz[2]", 1),
    ]
    assert all(np.array_equal(one.content, pixels) for one, pixels in zip(found, x, strict=True))
    assert [one.index for one in data.samples([2])] == [2]


def test_inputs_by_name(tmp_path: Path) -> None:
    a, b = np.arange(6, dtype=np.float32).reshape(2, 3), np.ones((2, 1), np.int64)
    np.savez(tmp_path / "d.npz", a=a, b=b, y=[1, 0])
    data = npz_data(tmp_path / "d.npz")
    assert data.pictures is False
    first = next(data.samples(None)).content
    assert isinstance(first, dict) and first["a"].tolist() == [0, 1, 2] and first["b"].tolist() == [1]
    np.savez(tmp_path / "e.npz", any_name=a, y=[1, 0])
    (only,) = next(npz_data(tmp_path / "e.npz").samples(None)).content.items()
    assert only[0] == "" and only[1].tolist() == [0, 1, 2]


def test_the_classes_may_have_other_names(tmp_path: Path) -> None:
    a, real = np.ones((2, 3), np.float32), np.zeros((2, 1), np.float32)
    for name in ("label", "labels"):
        np.savez(tmp_path / "d.npz", a=a, y=real, **{name: [1, 0]})  # y is an input here
        data = npz_data(tmp_path / "d.npz")
        first = next(data.samples(None))
        assert data.told_by == f"the array {name}" and first.label == 1
        assert isinstance(first.content, dict) and sorted(first.content) == ["a", "y"]


@pytest.mark.parametrize(
    ("arrays", "why"),
    [
        ({"x": np.zeros((2, 4, 4, 3), np.uint8)}, "classes of the inputs"),
        ({"x": np.zeros((2, 4, 4, 3), np.uint8), "y": np.zeros(2, np.float32)}, "classes of the inputs"),
        ({"x": np.zeros((2, 4, 4, 3), np.uint8), "y": np.zeros((2, 1), np.int32)}, "classes of the inputs"),
        ({"x": np.zeros((2, 4, 4, 3), np.uint8), "y": np.zeros(3, np.int32)}, "3 inputs, one for each"),
        ({"y": np.zeros(3, np.int32)}, "inputs beside"),
        ({"x": np.zeros((0, 4), np.float32), "y": np.zeros(0, np.int32)}, "inputs beside"),
        ({"x": np.float32(1), "y": np.zeros(1, np.int32)}, "1 inputs, one for each"),
    ],
)
def test_what_does_not_fit(tmp_path: Path, arrays: dict[str, np.ndarray], why: str) -> None:
    np.savez(tmp_path / "d.npz", **arrays)
    with pytest.raises(InputError, match=why):
        npz_data(tmp_path / "d.npz")


@pytest.mark.parametrize("data", [b"", b"no archive", b"PK\x03\x04"])
def test_damaged_files(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "d.npz").write_bytes(data)
    with pytest.raises(InputError):
        npz_data(tmp_path / "d.npz")
    np.save(tmp_path / "a.npy", np.zeros((1, 4, 4, 3), np.uint8))
    with pytest.raises(InputError, match="an array alone"):
        npz_data(tmp_path / "a.npy")


def test_pairs_of_every_kind(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(0))
    array = np.zeros((3, 4, 4), np.float32)
    pairs = [
        (tmp_path / "a.png", 0),
        (str(tmp_path / "lost.png"), np.int64(1)),
        (png(1), 1),
        (picture(2), True),
        (array, None),
        ({"x": array}, 2),
    ]
    data = pairs_data(pairs)
    assert data.size == 6 and data.name == "list" and data.pictures is None
    found = list(data.samples(None))
    assert [one.label for one in found] == [0, 1, 1, 1, None, 2]
    assert [one.name for one in found] == ["a.png", "lost.png", "input 2", "input 3", "input 4", "input 5"]
    assert found[0].content == png(0) and found[1].content == "No such file or directory" and found[2].content == png(1)
    assert isinstance(found[3].content, np.ndarray)
    assert list(found[4].content) == [""] and list(found[5].content) == ["x"]


def test_a_generator_is_iterated_over_as_it_goes() -> None:
    made = []

    def pairs():
        for number in range(1_000_000):
            made.append(number)
            yield picture(0), 0

    data = pairs_data(pairs())
    samples = data.samples(None)
    assert data.size is None and next(samples).index == 0 and next(samples).index == 1
    assert made == [0, 1]


@pytest.mark.parametrize("pair", [1, (1,), (picture(0), "cat"), (picture(0), 1.5), (1, 2, 3)])
def test_what_is_no_pair(pair: object) -> None:
    with pytest.raises(InputError, match="item 0 of the data"):
        list(pairs_data([pair]).samples(None))
