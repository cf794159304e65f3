"""Label files: the forms that are read, and every fault named."""

from __future__ import annotations

from pathlib import Path

import pytest

from qdqnp.errors import InputError
from qdqnp.evaluation.label_file import read_label_file


def read(folder: Path, text: str | bytes, names: list[str] | None = None) -> dict[str, int]:
    path = folder / "labels.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_label_file(path, names)


@pytest.mark.parametrize(
    "text",
    [
        "a b.png,1\nc.png,0\n",
        "file,class\na b.png,1\nc.png,0",
        "\ufefffilename;label\r\na b.png;1\r\n\r\nc.png;0\r\n",
        "a b.png\t1\nc.png\t0\n",
        "a b.png 1\nc.png   0\n",
        '"a b.png", 1\n"./c.png", 0\n',
    ],
)
def test_forms(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text) == {"a b.png": 1, "c.png": 0}


def test_class_names_and_folders(tmp_path: Path) -> None:
    text = 'name,class\nx\\1.png,cat\n"y/a, b.png",dog\nz.png,1\n'
    assert read(tmp_path, text, ["cat", "dog"]) == {"x/1.png": 0, "y/a, b.png": 1, "z.png": 1}


def test_a_head_is_a_first_line_only(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, "a.png,1\nfile,class\n")
    assert len(caught.value.problems) == 1


def test_every_fault_is_listed(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, "a.png,1\nb.png\nc.png,cat\nd.png,-1\na.png,2\ne.png,1,2\nf.png,99999999999\n")
    wheres = [problem.where for problem in caught.value.problems]
    assert [where.split()[1] for where in wheres] == ["2", "3", "4", "5", "6", "7"]
    assert "again" in caught.value.problems[3].got and "--class-names" in caught.value.problems[1].hint


@pytest.mark.parametrize("data", [b"", b"\n\n", b"file,class\n", b"\xff\xfe", b'"a,1\nb",2\n', b"a\x00,1\n" * 2])
def test_what_is_no_label_file(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(InputError, match=r"labels"):
        read(tmp_path, data)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_label_file(tmp_path / "labels.csv", None)
