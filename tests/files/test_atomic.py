"""A file is there whole or not at all, and what a failed write leaves behind is what was there before."""

from __future__ import annotations

from pathlib import Path

import pytest

from qdqnp.errors import InputError, QdqnpError
from qdqnp.files.atomic import check_target, new_file, write_bytes, write_text


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_text_is_utf_8_and_a_file_is_replaced(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "gr\u00fcn\n", "the page")
    assert (tmp_path / "a.txt").read_bytes() == b"gr\xc3\xbcn\n"
    write_bytes(tmp_path / "a.txt", b"new", "the page")
    assert (tmp_path / "a.txt").read_bytes() == b"new" and names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt(), ValueError()])
def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, error: BaseException) -> None:
    (tmp_path / "a.txt").write_bytes(b"precious")
    with pytest.raises(QdqnpError if isinstance(error, OSError) else type(error)):  # noqa: SIM117
        with new_file(tmp_path / "a.txt", "the page") as file:
            file.write(b"half")
            raise error
    assert (tmp_path / "a.txt").read_bytes() == b"precious" and names(tmp_path) == ["a.txt"]


def test_a_rename_that_fails_leaves_nothing_unfinished(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(QdqnpError, match="cannot write the page"):
        write_text(tmp_path / "folder", "text", "the page")
    assert names(tmp_path) == ["folder"]


def test_what_is_in_the_way_is_said_before_anything_is_computed(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("precious")
    check_target(tmp_path / "new", "the page", False)
    check_target(tmp_path / "there", "the page", True)
    with pytest.raises(InputError, match="the page would replace a file"):
        check_target(tmp_path / "there", "the page", False)
    with pytest.raises(InputError, match="the page would replace a file"):
        check_target(tmp_path, "the page", True)
    with pytest.raises(InputError, match="cannot write the page"):
        check_target(tmp_path / "absent" / "new", "the page", False)
