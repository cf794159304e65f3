"""A set is there whole or not at all: full disks, folders that cannot be written, Ctrl-C, SIGTERM, sets in the way."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from qdqnp.errors import GoldenError
from qdqnp.files.folder import Folder, new_folder
from qdqnp.golden import FORMATS, Options, read, write
from qdqnp.golden.writing import GOLDEN_SET
from tests.golden.conftest import make

FEEDS = {"input": np.zeros((1, 3, 16, 16), np.float32)}
EVERY = Options(formats=FORMATS, layers=("QLinearAdd",))


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# -- what goes wrong while writing ----------------------------------------------------------------------------------
@pytest.mark.parametrize("after", [0, 1, 3, 10, 40, 60])
def test_a_full_disk(net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """The file system refuses after some files, whatever the format."""
    opened = 0
    real = Path.open

    def full(self: Path, mode: str = "r", *more: object, **others: object) -> object:
        nonlocal opened
        if mode in ("ab", "xb"):
            opened += 1
            if opened > after:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(self, mode, *more, **others)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(GoldenError, match="No space left on device"):
        write(tmp_path / "set", net, [FEEDS], 1, options=EVERY)
    assert left(tmp_path) == []


@pytest.mark.parametrize("form", ["npz", "bin", "c", "ihex"])
def test_a_limit_of_the_file_system(net: Path, tmp_path: Path, form: str, capfd: pytest.CaptureFixture[str]) -> None:
    """No file may grow beyond 1 KB: the kernel refuses in the middle of a write."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, hard))
    try:
        with pytest.raises(GoldenError, match="File too large"):
            write(tmp_path / "set", net, [FEEDS], 1, options=Options(formats=(form,), store_model=False))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert left(tmp_path) == []
    assert capfd.readouterr().err == ""  # no half-closed archive complains


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("mount") is None, reason="needs to mount a file system")
def test_a_disk_that_is_really_full(net: Path, tmp_path: Path) -> None:
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", tmp_path], capture_output=True).returncode:
        pytest.skip("cannot mount here")
    try:
        with pytest.raises(GoldenError, match="No space left on device"):
            write(tmp_path / "set", net, [FEEDS], 1, options=EVERY)
        assert left(tmp_path) == []
    finally:
        subprocess.run(["umount", tmp_path], check=True)


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, RuntimeError])
def test_any_error_between_inputs(net: Path, tmp_path: Path, error: type[BaseException]) -> None:
    def feeds() -> Iterator[Mapping[str, np.ndarray]]:
        yield FEEDS
        raise error

    with pytest.raises(error):
        write(tmp_path / "set", net, feeds(), 2, options=EVERY)
    assert left(tmp_path) == []


def test_nowhere_to_write(net: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "none" / "set", tmp_path / "file" / "set"):
        with pytest.raises(GoldenError, match="an existing folder"):
            write(out, net, [FEEDS], 1)
    assert left(tmp_path) == ["file"]


@pytest.mark.parametrize("parent", ["/proc", "locked"])
def test_a_folder_that_may_not_be_written(net: Path, tmp_path: Path, parent: str) -> None:
    if parent == "locked" and os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    folder = Path(parent) if parent == "/proc" else tmp_path / parent
    if parent == "locked":
        folder.mkdir(mode=0o500)
    elif not folder.is_dir():
        pytest.skip("no /proc here")
    with pytest.raises(GoldenError, match="cannot write the golden set"):
        write(folder / "set", net, [FEEDS], 1)


def test_a_set_larger_than_allowed_is_refused_as_soon_as_that_is_known(net: Path, tmp_path: Path) -> None:
    asked = 0

    def feeds() -> Iterator[Mapping[str, np.ndarray]]:
        nonlocal asked
        for _ in range(100):
            asked += 1
            yield FEEDS

    options = Options(formats=("bin", "npz", "hex"))
    write(tmp_path / "one", net, [FEEDS], 1, options=options)
    size = sum(path.stat().st_size for path in (tmp_path / "one").rglob("*") if path.is_file())
    write(tmp_path / "fits", net, [FEEDS], 1, options=replace(options, limit_bytes=size))
    with pytest.raises(GoldenError, match="too large"):
        write(tmp_path / "set", net, [FEEDS], 1, options=replace(options, limit_bytes=size - 1))
    with pytest.raises(GoldenError, match="too large"):
        write(tmp_path / "set", net, feeds(), 100, options=replace(options, limit_bytes=5 * size))
    assert asked == 1 and left(tmp_path) == ["fits", "one"]
    with pytest.raises(GoldenError, match="too large"):
        write(tmp_path / "set", net, [FEEDS], 1, options=Options(formats=("bin",), limit_bytes=10_000))


# -- signals ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_signals_in_the_middle(net: Path, tmp_path: Path, number: signal.Signals) -> None:
    """The command as a process; the signal comes once its hidden folder has files."""
    command = [
        sys.executable,
        "-m",
        "qdqnp",
        "golden",
        str(net),
        "--random",
        "100000",
        "--limit-bytes",
        str(2**40),
        "--format",
        "npz,bin",
        "--out",
        str(tmp_path / "set"),
    ]
    # a shell's job in the background ignores SIGINT, and so would its children
    restored = partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=restored) as process:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob(".qdqnp-*/npz/case_00002.npz")) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert process.poll() is None
        process.send_signal(number)
        _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert error.strip() == "interrupted"
    assert left(tmp_path) == []


def test_handlers_are_as_before(net: Path, tmp_path: Path) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    write(tmp_path / "set", net, [FEEDS], 1, options=EVERY)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_second_interrupt_does_not_stop_the_cleaning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = shutil.rmtree

    def interrupted(path: Path, **options: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        real(path, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(shutil, "rmtree", interrupted)
    with pytest.raises(KeyboardInterrupt), new_folder(tmp_path / "set", GOLDEN_SET, 100) as folder:
        folder.append("a/b", memoryview(b"x"))
        raise KeyboardInterrupt
    assert left(tmp_path) == []


# -- sets in the way --------------------------------------------------------------------------------------------------
def test_force_replaces_a_set_and_only_when_the_new_one_is_whole(net: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    old = make(out, net, cases=1, layers=("QLinearAdd",)).found.manifest
    with pytest.raises(GoldenError, match="--force"):
        write(out, net, [FEEDS], 1)
    with pytest.raises(GoldenError, match="too large"):
        write(out, net, [FEEDS], 1, force=True, options=Options(limit_bytes=1000))
    assert read(out).manifest == old and left(tmp_path) == ["set"]
    write(out, net, [FEEDS], 1, force=True, options=Options(formats=("bin",)))
    assert read(out).manifest["options"]["formats"] == ["bin"]
    assert left(tmp_path) == ["set"] and left(out) == ["bin", "manifest.json", "model.onnx"]


def test_force_replaces_nothing_else(net: Path, tmp_path: Path) -> None:
    """Not a folder of other things, not a set with a file of the user's in it, no file and no link."""
    notes, mixed, file, link, other = (tmp_path / name for name in ("notes", "mixed", "file", "link", "other"))
    notes.mkdir()
    (notes / "thesis.txt").write_text("years of work")
    make(mixed, net, cases=1, layers=("QLinearAdd",))
    (mixed / "npz" / "mine.txt").write_text("mine")
    file.write_text("")
    make(tmp_path / "set", net, cases=1, layers=("QLinearAdd",))
    link.symlink_to(tmp_path / "set")
    other.mkdir()
    (other / "manifest.json").write_text(json.dumps({"format": "web-app", "files": {}}))
    for out in (notes, mixed, file, link, other):
        with pytest.raises(GoldenError):
            write(out, net, [FEEDS], 1, force=True)
    assert (notes / "thesis.txt").read_text() == "years of work" and (mixed / "npz" / "mine.txt").exists()
    assert link.is_symlink() and left(tmp_path) == ["file", "link", "mixed", "notes", "other", "set"]


def test_an_old_set_comes_back_where_the_new_one_cannot_take_its_place(
    net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "set"
    old = make(out, net, cases=1, layers=("QLinearAdd",)).found.manifest
    real, calls = Path.rename, 0

    def rename(self: Path, target: Path) -> Path:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(GoldenError, match="Permission denied"):
        write(out, net, [FEEDS], 1, force=True)
    assert read(out).manifest == old and left(tmp_path) == ["set"]


def test_what_appears_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(GoldenError, match="meanwhile"), new_folder(tmp_path / "set", GOLDEN_SET, 100):
        (tmp_path / "set").mkdir()
    assert left(tmp_path) == ["set"]


def test_more_files_than_a_process_may_open(net: Path, tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (40, hard))
    try:
        made = make(tmp_path / "set", net, "ort", 2, formats=("npy", "bin", "c"))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(made.found.manifest["files"]) > 200


def test_a_folder_counts_what_it_writes(tmp_path: Path) -> None:
    folder = Folder(tmp_path, 5, GOLDEN_SET)
    folder.append("x", memoryview(b"123"))
    folder.append("x", memoryview(b"45"))
    assert (tmp_path / "x").read_bytes() == b"12345"
    with pytest.raises(GoldenError, match=r"at most 5 bytes"):
        folder.append("y", memoryview(b"6"))
    assert not (tmp_path / "y").exists()
