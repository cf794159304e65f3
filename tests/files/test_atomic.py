"""A text file is written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from qdqnp.errors import InputError, QdqnpError
from qdqnp.files.atomic import check_target, write_text


def test_a_written_file_is_the_only_one(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("old")
    write_text(tmp_path / "a.toml", "nüw\n")
    assert (tmp_path / "a.toml").read_bytes() == "nüw\n".encode()
    assert [path.name for path in tmp_path.iterdir()] == ["a.toml"]


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    """A folder of the file's name lets the text be written, and its last step, the rename, fail."""
    (tmp_path / "a.toml" / "inside").mkdir(parents=True)
    with pytest.raises(QdqnpError, match=r"cannot write a file"):
        write_text(tmp_path / "a.toml", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["a.toml"]
    assert (tmp_path / "a.toml" / "inside").is_dir()


def test_what_is_in_the_way_is_refused_before_anything_is_computed(tmp_path: Path) -> None:
    check_target(tmp_path / "new.toml", force=False)
    (tmp_path / "old.toml").write_text("old")
    check_target(tmp_path / "old.toml", force=True)
    with pytest.raises(InputError, match="--force"):
        check_target(tmp_path / "old.toml", force=False)
    with pytest.raises(InputError, match="in the way"):
        check_target(tmp_path, force=True)  # a folder is never replaced
    with pytest.raises(InputError, match="expected a folder, got none"):
        check_target(tmp_path / "no" / "new.toml", force=False)
