"""What is opened to be read: regular files only, without waiting, no more of them than a limit, and no link out of a
folder that is not trusted."""

from __future__ import annotations

import io
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qdqnp.errors import InputError
from qdqnp.files import regular
from qdqnp.files.paths import FILE, FOLDER, LINK, OTHER, below, in_the_way, kind_of, names_in
from qdqnp.files.regular import is_input, noting_inputs, open_inside, open_regular, read_all, read_bytes, read_inside

LONG, NUL, SURROGATE = "a" * 300, "a\0b", "a\ud800"


def pipe(path: Path) -> None:
    os.mkfifo(path)


def listening(path: Path) -> None:
    place = Path.cwd()
    os.chdir(path.parent)  # names of sockets are short
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(place)


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("make", [pipe, listening, endless, Path.mkdir])
def test_what_would_hang_or_never_end_is_refused(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "x")
    with pytest.raises(OSError):
        read_bytes(tmp_path / "x", 100)
    with pytest.raises(OSError):
        read_inside(tmp_path, "x", 100)


@pytest.mark.parametrize("name", [LONG, NUL, SURROGATE, "absent", "file/inside", "loop"])
def test_whatever_a_path_is_there_is_one_kind_of_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError):
        read_bytes(tmp_path / name, 100)
    with pytest.raises(OSError):
        read_inside(tmp_path, name, 100)


def test_links_are_followed_where_the_user_named_them(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    (tmp_path / "link").symlink_to("file")
    assert read_bytes(tmp_path / "link", 3) == b"abc"
    with pytest.raises(OSError, match="a link"):
        open_regular(tmp_path / "link", follow=False)


@pytest.mark.parametrize("inside", [True, False])
def test_no_link_is_followed_inside_a_folder(tmp_path: Path, inside: bool) -> None:
    folder = tmp_path / "set"
    place = folder / "real" if inside else tmp_path / "outside"
    place.mkdir(parents=True)
    folder.mkdir(exist_ok=True)
    (place / "x").write_bytes(b"secret")
    (folder / "x").symlink_to(place / "x")
    (folder / "sub").symlink_to(place)
    for name in ("x", "sub/x"):
        with pytest.raises(OSError):
            read_inside(folder, name, 100)
    (tmp_path / "other").symlink_to(folder)  # the folder itself may be one
    (folder / "y").write_bytes(b"mine")
    assert read_inside(tmp_path / "other", "y", 100) == b"mine"


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/../../x", "/etc/passwd", "a//x", "a/."])
def test_names_that_leave_the_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_bytes(b"")
    with pytest.raises(OSError):
        open_inside(tmp_path / "a", name)


def test_the_same_without_folders_that_can_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows: names are looked at one after the other."""
    monkeypatch.setattr(os, "supports_dir_fd", set())
    test_no_link_is_followed_inside_a_folder(tmp_path / "a", False)
    (tmp_path / "b").mkdir()
    test_names_that_leave_the_folder(tmp_path / "b", "../x")


def test_a_file_is_not_read_beyond_the_limit(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abcd")
    assert read_bytes(tmp_path / "x", 4) == b"abcd"
    with pytest.raises(OSError, match="4 bytes, where at most 3"):
        read_bytes(tmp_path / "x", 3)
    os.truncate(tmp_path / "x", 2**40)
    with pytest.raises(OSError, match="at most 4"):
        read_bytes(tmp_path / "x", 4)


def test_a_file_that_grows_while_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"ab")
    with open_regular(tmp_path / "x") as file, (tmp_path / "x").open("ab") as more:
        more.write(b"c" * 100)
        more.flush()
        with pytest.raises(OSError, match="at most 50"):
            read_all(file, 50)


def test_memory_is_not_asked_for_by_the_limit(tmp_path: Path) -> None:
    """`read(n)` allocates n bytes before it knows that the file is small."""
    asked: list[int] = []

    class Watched:
        def __init__(self, file: Any) -> None:
            self.file, self.fileno = file, file.fileno

        def read(self, size: int) -> bytes:
            asked.append(size)
            return bytes(self.file.read(size))

    (tmp_path / "x").write_bytes(b"abc")
    with open_regular(tmp_path / "x") as file:
        assert read_all(Watched(file), 2**31) == b"abc"  # type: ignore[arg-type]
    assert asked == [regular._UNKNOWN_SIZE + 1]


def test_files_that_do_not_know_their_size() -> None:
    if not Path("/proc/self/status").exists():
        pytest.skip("no /proc here")
    assert read_bytes("/proc/self/status", 2**20).startswith(b"Name:")


# -- inputs are noted --------------------------------------------------------------------------------------------------
def test_inputs_are_noted_by_what_they_are_not_by_name(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"")
    (tmp_path / "link").symlink_to("x")
    (tmp_path / "other").write_bytes(b"")
    os.link(tmp_path / "x", tmp_path / "hard")
    assert not is_input((tmp_path / "x").stat())
    with noting_inputs():
        read_bytes(tmp_path / "link", 10)
        with open_regular(tmp_path / "other", note=False):
            pass
        assert is_input((tmp_path / "x").stat()) and is_input((tmp_path / "hard").stat())
        assert not is_input((tmp_path / "other").stat())
    assert not is_input((tmp_path / "x").stat())


# -- asking ------------------------------------------------------------------------------------------------------------
def test_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    (tmp_path / "nowhere").symlink_to("absent")
    os.mkfifo(tmp_path / "pipe")
    kinds = {"file": FILE, "folder": FOLDER, "link": FOLDER, "nowhere": "", "pipe": OTHER, "absent": "", "file/x": ""}
    assert {name: kind_of(tmp_path / name) for name in kinds} == kinds
    kinds |= {"link": LINK, "nowhere": LINK}
    assert {name: in_the_way(tmp_path / name) for name in kinds} == kinds
    assert names_in(tmp_path) == ["file", "folder", "link", "nowhere", "pipe"]


@pytest.mark.parametrize("name", [LONG, NUL, SURROGATE])
@pytest.mark.parametrize("ask", [kind_of, in_the_way, names_in])
def test_what_cannot_be_asked_about_is_an_error_of_ours(tmp_path: Path, name: str, ask: Callable[[Path], Any]) -> None:
    with pytest.raises(InputError, match="cannot look at a path"):
        ask(tmp_path / name)


def test_a_folder_that_may_not_be_entered(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may enter any folder")
    (tmp_path / "locked").mkdir(mode=0)
    with pytest.raises(InputError, match="Permission denied"):
        kind_of(tmp_path / "locked" / "x")


def test_everything_below_a_folder(tmp_path: Path) -> None:
    deep = tmp_path
    for _ in range(300):  # deeper than a walk by recursion could go, with the frames of a test above it
        deep = deep / "d"
        deep.mkdir()
    (tmp_path / "a").write_bytes(b"")
    (tmp_path / "b").symlink_to("d")
    found = below(tmp_path, 302)
    assert found["a"] == FILE and found["b"] == LINK and found["/".join("d" * 300)] == FOLDER and len(found) == 302
    with pytest.raises(OSError, match="more than 301"):
        below(tmp_path, 301)


def test_a_regular_file_without_bytes_yet_is_refused(tmp_path: Path) -> None:
    """The kernel's log counts as a regular file, and is like a pipe: it hangs who waits, and gives None to who does
    not."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    for read in (lambda file: file.read(1), lambda file: file.read(), lambda file: file.read(2**21)):
        with io.BufferedReader(regular._Ready(reading, closefd=False)) as file, pytest.raises(OSError, match="a pipe"):
            read(file)
    os.close(reading)
    os.close(writing)


@pytest.mark.skipif(not os.access("/proc/kmsg", os.R_OK), reason="needs the kernel's log")
def test_the_log_of_the_kernel(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        read_bytes("/proc/kmsg", 2**30)
