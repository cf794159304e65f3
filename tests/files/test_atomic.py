"""A file is there whole or not at all; what a failed or killed write leaves behind is what was there before; and
nothing is replaced that was not offered."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from qdqnp.errors import InputError, QdqnpError
from qdqnp.files import renames
from qdqnp.files.atomic import new_file, target, write_bytes, write_text
from qdqnp.files.regular import noting_inputs, read_bytes
from qdqnp.files.renames import exchange, rename_new


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_text_is_utf_8_and_a_file_is_replaced(tmp_path: Path) -> None:
    write_text(target(tmp_path / "a.txt", "the page"), "gr\u00fcn, \udcff\n")
    assert (tmp_path / "a.txt").read_bytes() == b"gr\xc3\xbcn, \\udcff\n"
    write_bytes(target(tmp_path / "a.txt", "the page", force=True), b"new")
    assert (tmp_path / "a.txt").read_bytes() == b"new" and names(tmp_path) == ["a.txt"]


def test_the_file_is_readable_as_others_are(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"")
    write_bytes(target(tmp_path / "a", "the page"), b"")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "other").stat().st_mode


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt(), ValueError()])
@pytest.mark.parametrize("force", [True, False])
def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, error: BaseException, force: bool) -> None:
    if force:
        (tmp_path / "a.txt").write_bytes(b"precious")
    with pytest.raises(QdqnpError if isinstance(error, OSError) else type(error)):  # noqa: SIM117
        with new_file(target(tmp_path / "a.txt", "the page", force)) as file:
            file.write(b"half")
            raise error
    assert names(tmp_path) == (["a.txt"] if force else [])
    assert not force or (tmp_path / "a.txt").read_bytes() == b"precious"


def test_a_limit_of_the_file_system(tmp_path: Path) -> None:
    """The kernel refuses in the middle of a write."""
    (tmp_path / "a.txt").write_bytes(b"precious")
    place = target(tmp_path / "a.txt", "the page", force=True)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, hard))
    try:
        with pytest.raises(QdqnpError, match="File too large"):
            write_bytes(place, bytes(2000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert (tmp_path / "a.txt").read_bytes() == b"precious" and names(tmp_path) == ["a.txt"]


# -- what is in the way ------------------------------------------------------------------------------------------------
def pipe(path: Path) -> None:
    os.mkfifo(path)


def link(path: Path) -> None:
    path.with_name("elsewhere").write_text("precious")
    path.symlink_to("elsewhere")


def link_to_nothing(path: Path) -> None:
    path.symlink_to("absent")


@pytest.mark.parametrize("make", [pipe, link, link_to_nothing, Path.mkdir])
@pytest.mark.parametrize("force", [True, False])
def test_only_regular_files_are_replaced(tmp_path: Path, make: Callable[[Path], None], force: bool) -> None:
    make(tmp_path / "x")
    before = names(tmp_path)
    with pytest.raises(InputError, match="the page would replace a"):
        target(tmp_path / "x", "the page", force)
    assert names(tmp_path) == before


def test_what_is_in_the_way_is_said_before_anything_is_computed(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("precious")
    target(tmp_path / "new", "the page")
    target(tmp_path / "there", "the page", force=True)
    with pytest.raises(InputError, match=r"the page would replace a file(.|\n)*--force"):
        target(tmp_path / "there", "the page")
    for path in ("absent/new", "there/new", "a" * 300, "a\0b", "\ud800"):
        with pytest.raises(InputError, match=r"cannot (write the page|look at a path)"):
            target(tmp_path / path, "the page")


def rewritten(path: Path) -> None:
    path.write_text("precious, and more")


def exchanged(path: Path) -> None:
    path.unlink()
    path.write_text("precious")


def gone_for_a_link(path: Path) -> None:
    path.unlink()
    path.with_name("other").write_text("precious")
    path.symlink_to("other")


@pytest.mark.parametrize("change", [rewritten, exchanged, gone_for_a_link, Path.unlink])
def test_a_file_that_changed_meanwhile_is_not_replaced(tmp_path: Path, change: Callable[[Path], None]) -> None:
    (tmp_path / "x").write_text("old")
    place = target(tmp_path / "x", "the page", force=True)
    change(tmp_path / "x")
    before = {name: (tmp_path / name).read_text() for name in names(tmp_path)}
    with pytest.raises(QdqnpError, match="cannot write the page"):
        write_bytes(place, b"new")
    assert {name: (tmp_path / name).read_text() for name in names(tmp_path)} == before


@pytest.mark.parametrize("force", [True, False])
@pytest.mark.parametrize("make", [Path.mkdir, Path.touch, link, link_to_nothing])
def test_what_appeared_meanwhile_is_not_replaced(tmp_path: Path, make: Callable[[Path], None], force: bool) -> None:
    place = target(tmp_path / "x", "the page", force)
    make(tmp_path / "x")
    before = names(tmp_path)
    with pytest.raises(QdqnpError, match="something has appeared there meanwhile"):
        write_bytes(place, b"new")
    assert names(tmp_path) == before


def test_two_outputs_of_one_name(tmp_path: Path) -> None:
    one, other = target(tmp_path / "x", "the page"), target(tmp_path / "x", "the report", force=True)
    write_bytes(one, b"page")
    with pytest.raises(QdqnpError, match="meanwhile"):
        write_bytes(other, b"report")
    assert (tmp_path / "x").read_bytes() == b"page"


@pytest.mark.parametrize("known", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("name", ["x", "link", "hard"])
def test_no_input_is_replaced(tmp_path: Path, name: str, known: bool) -> None:
    """Whether it was read before the output was decided on, or after; under whatever name it was read."""
    (tmp_path / "x").write_bytes(b"input")
    (tmp_path / "link").symlink_to("x")
    os.link(tmp_path / "x", tmp_path / "hard")
    with noting_inputs(), pytest.raises(QdqnpError, match="one of the inputs"):
        if known:
            read_bytes(tmp_path / name, 100)
        place = target(tmp_path / "x", "the page", force=True)
        read_bytes(tmp_path / name, 100)
        write_bytes(place, b"new")
    assert (tmp_path / "x").read_bytes() == b"input"


# -- killed runs -------------------------------------------------------------------------------------------------------
KILLED = """
import sys, time
from pathlib import Path
from qdqnp.files.atomic import new_file, target
with new_file(target(Path(sys.argv[1]), "the page", True)) as file:
    file.write(bytes(10**6))
    file.flush()
    print("half", flush=True)
    time.sleep(60)
"""


def test_what_a_killed_run_leaves_is_removed_by_the_next(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"precious")
    (tmp_path / ".qdqnp-notes.tmp").write_text("of the user")
    with subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path / "x")], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"half\n"
        write_bytes(target(tmp_path / "y", "the page"), b"")  # what is still being written is no left-over
        assert len(names(tmp_path)) == 4
        process.send_signal(signal.SIGKILL)
    assert (tmp_path / "x").read_bytes() == b"precious" and len(names(tmp_path)) == 4
    time.sleep(0.01)
    write_bytes(target(tmp_path / "z", "the page"), b"")
    assert names(tmp_path) == [".qdqnp-notes.tmp", "x", "y", "z"]


def test_a_link_by_the_name_of_a_left_over_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis").write_text("precious")
    (tmp_path / ".qdqnp-0123456789abcdef.tmp").symlink_to("mine")
    write_bytes(target(tmp_path / "x", "the page"), b"")
    assert (tmp_path / "mine" / "thesis").read_text() == "precious"


# -- renames -----------------------------------------------------------------------------------------------------------
@pytest.fixture(params=["one step", "none"])
def steps(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Whether the system can rename without replacing, and exchange."""
    if request.param == "none":
        monkeypatch.setattr(renames, "_system_call", lambda exchanged: None)
    return str(request.param)


def test_a_rename_replaces_nothing(tmp_path: Path, steps: str) -> None:
    for name in ("file", "folder", "link"):
        (tmp_path / "new").mkdir()
        {"file": Path.touch, "folder": Path.mkdir, "link": link_to_nothing}[name](tmp_path / name)
        with pytest.raises(FileExistsError):
            rename_new(tmp_path / "new", tmp_path / name)
        rename_new(tmp_path / "new", tmp_path / f"free {name}")


def test_an_exchange_exchanges_or_does_nothing(tmp_path: Path, steps: str) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").write_bytes(b"")
    done = exchange(tmp_path / "a", tmp_path / "b")
    assert done is (steps == "one step") or sys.platform not in ("linux", "darwin")
    assert (tmp_path / "b").is_dir() is done
    if done:
        with pytest.raises(OSError) as caught:
            exchange(tmp_path / "a", tmp_path / "absent")
        assert caught.value.errno == errno.ENOENT
