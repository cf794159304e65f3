"""Folders as data sets: which class each picture has, and what is there besides."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from qdqnp.errors import InputError
from qdqnp.evaluation.folders import folder_data
from qdqnp.evaluation.sample import DataSet
from tests.evaluation.kit import class_folders, png


def labels(data: DataSet) -> dict[str, int | None]:
    return {sample.name: sample.label for sample in data.samples(None)}


def make(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


def test_folders_are_classes_in_the_order_of_their_names(tmp_path: Path) -> None:
    data = folder_data(class_folders(tmp_path / "d"))
    assert labels(data) == {"a red/0.png": 0, "a red/1.png": 0, "b green/2.png": 1, "c blue/3.png": 2}
    assert data.class_names == ["a red", "b green", "c blue"] and data.span == (0, 2)
    assert data.size == 4 and data.name == "d" and not data.bad and not data.remarks
    assert [sample.index for sample in data.samples({1, 3})] == [1, 3]
    assert next(data.samples(None)).content == png(0, 100)


def test_folders_that_are_numbers_are_these_classes(tmp_path: Path) -> None:
    data = folder_data(make(tmp_path, "2/a.png", "10/a.png", "0/a.png"))
    assert labels(data) == {"0/a.png": 0, "10/a.png": 10, "2/a.png": 2}
    assert data.class_names is None and "numbers" in data.told_by
    with pytest.raises(InputError, match="one class"):
        folder_data(make(tmp_path, "02/a.png"))


def test_class_names_name_the_folders(tmp_path: Path) -> None:
    data = folder_data(make(tmp_path, "cat/a.png", "ant/b.png"), None, ["cat", "bee", "ant"])
    assert labels(data) == {"ant/b.png": 2, "cat/a.png": 0}


def test_class_names_may_be_other_words_for_all_folders(tmp_path: Path) -> None:
    data = folder_data(make(tmp_path, "n02/a.png", "n01/b.png"), None, ["ant", "cat"])
    assert labels(data) == {"n01/b.png": 0, "n02/a.png": 1} and data.class_names == ["ant", "cat"]


@pytest.mark.parametrize("names", [["ant", "cat", "bee"], ["n01", "cat"]])
def test_folders_that_are_no_classes_are_refused(tmp_path: Path, names: list[str]) -> None:
    with pytest.raises(InputError, match=r"n02.*: expected a class name"):
        folder_data(make(tmp_path, "n02/a.png", "n01/b.png"), None, names)


@pytest.mark.parametrize("name", ["labels.csv", "labels.txt", "../d_labels.csv", "../elsewhere.txt"])
def test_a_label_file(tmp_path: Path, name: str) -> None:
    folder = make(tmp_path / "d", "a.png", "in/b.PNG", "c.jpg")
    (folder / name).write_text("a.png 3\nin/b.PNG 0\nlost.png 1\n")
    data = folder_data(folder, folder / name if "elsewhere" in name else None)
    assert labels(data) == {"a.png": 3, "c.jpg": None, "in/b.PNG": 0} and data.span == (0, 3)
    assert [(one.name, one.kind) for one in data.bad] == [("lost.png", "a label without a picture")]
    assert not data.remarks and Path(name).name in data.told_by


def test_two_label_files_are_not_chosen_between(tmp_path: Path) -> None:
    folder = make(tmp_path / "d", "a.png")
    for name in ("labels.csv", "../d_labels.txt"):
        (folder / name).write_text("a.png 0\n")
    with pytest.raises(InputError, match="--labels"):
        folder_data(folder)


def test_what_is_beside_the_pictures_is_named(tmp_path: Path) -> None:
    folder = make(class_folders(tmp_path), "top.png", "a red/inner/x.png", "a red/notes.txt", "README", "empty/.keep")
    data = folder_data(folder)
    assert sorted((one.name, one.kind) for one in data.bad) == [
        ("a red/inner", "a folder inside a class folder"),
        ("top.png", "beside the class folders"),
    ]
    assert [(one.name, one.text.split(":")[0]) for one in data.remarks] == [
        ("README", "no picture by the end of its name"),
        ("a red/notes.txt", "no picture by the end of its name"),
        ("empty", "a class folder without pictures"),
        ("empty/.keep", "no picture by the end of its name"),
    ]
    assert data.size == 4 and labels(data)["c blue/3.png"] == 2  # 'empty' is class 3


@pytest.mark.parametrize("names", [[], ["notes.txt"], ["in/notes.txt"]])
def test_a_folder_without_pictures(tmp_path: Path, names: list[str]) -> None:
    with pytest.raises(InputError, match="holds no picture"):
        folder_data(make(tmp_path, *names))


def test_pictures_without_classes(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--labels"):
        folder_data(make(tmp_path, "a.png", "b.png"))


def test_a_picture_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    folder = class_folders(tmp_path)
    os.mkfifo(folder / "a red" / "pipe.png")  # no file: listed among what is no picture
    data = folder_data(folder)
    (folder / "a red" / "0.png").unlink()
    assert [sample.content for sample in data.samples({0})] == ["No such file or directory"]
    assert [one.name for one in data.remarks] == ["a red/pipe.png"]


def test_a_hundred_thousand_files_in_one_folder(tmp_path: Path) -> None:
    """None is left out. They are one file under many names: links are quick to make."""
    (tmp_path / "d").mkdir()
    for number in range(100_000):
        if number % 20_000 == 0:  # a file takes no more names than a file system allows
            first = make(tmp_path / "d", f"{number:06}.png") / f"{number:06}.png"
        else:
            os.link(first, tmp_path / "d" / f"{number:06}.png")
    (tmp_path / "d" / "labels.csv").write_text("".join(f"{number:06}.png,{number % 7}\n" for number in range(100_000)))
    data = folder_data(tmp_path / "d")
    assert data.size == 100_000 and data.span == (0, 6) and not data.bad
    (last,) = data.samples({99_999})
    assert (last.name, last.label) == ("099999.png", 99_999 % 7)


def test_names_that_are_no_unicode_are_escaped(tmp_path: Path) -> None:
    folder = class_folders(tmp_path)
    try:
        (folder / "a red" / "\udcff.png").write_bytes(b"")
    except OSError:
        pytest.skip("the file system takes no such name")
    assert "a red/\\udcff.png" in labels(folder_data(folder))
