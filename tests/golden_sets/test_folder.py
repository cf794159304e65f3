"""A set is there whole or not at all: full disks, folders that cannot be written, Ctrl-C, SIGTERM, sets in the way."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from qdqnp.errors import GoldenError
from qdqnp.files import folder as folder_module
from qdqnp.files import renames
from qdqnp.files.folder import Contents, Folder, new_folder
from qdqnp.files.regular import noting_inputs, read_bytes
from qdqnp.files.unfinished import locked_folder
from qdqnp.golden_sets import FORMATS, Options, read, write
from qdqnp.golden_sets.replace import replaceable
from qdqnp.golden_sets.writing import GOLDEN_SET
from tests.golden_sets.conftest import make

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
    for out in (tmp_path / "file" / "set", tmp_path / "file" / "inner" / "set"):
        with pytest.raises(GoldenError, match="a folder to make the set in"):
            write(out, net, [FEEDS], 1)
    assert left(tmp_path) == ["file"]


def test_the_folders_above_are_made_and_taken_away_where_that_fails(net: Path, tmp_path: Path) -> None:
    with pytest.raises(GoldenError, match="too large"):
        write(tmp_path / "a" / "b" / "set", net, [FEEDS], 1, options=Options(limit_bytes=100))
    assert left(tmp_path) == []
    write(tmp_path / "a" / "b" / "set", net, [FEEDS], 1)
    assert read(tmp_path / "a" / "b" / "set").inputs == 1


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
    said, end = error.splitlines()
    assert said.startswith("about 19") and end == "interrupted"
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


Change = Callable[[Path], None]


def edited(out: Path) -> None:
    path = next(out.glob("npz/*.npz"))
    path.write_bytes(path.read_bytes()[:-1] + b"x")


def edited_manifest(out: Path) -> None:
    text = (out / "manifest.json").read_text()
    (out / "manifest.json").write_text(text.replace('"doubt": ""', '"doubt": "mine"', 1))


def listed_too(out: Path) -> None:
    """A file of the user's, which the manifest lists with its size and hash."""
    (out / "thesis.tex").write_text("years of work")
    document = json.loads((out / "manifest.json").read_text())
    digest = hashlib.sha256(b"years of work").hexdigest()
    document["files"]["thesis.tex"] = {"bytes": 13, "sha256": digest}
    (out / "manifest.json").write_text(json.dumps(document))


def only_names(out: Path) -> None:
    (out / "thesis.tex").write_text("years of work")
    form = json.loads((out / "manifest.json").read_text())["format"]
    (out / "manifest.json").write_text(json.dumps({"format": form, "files": {"thesis.tex": {}}}))


def beside(out: Path) -> None:
    (out / "npz" / "notes.txt").write_text("mine")


def hidden(out: Path) -> None:
    (out / ".notes").write_text("mine")


def empty_folder(out: Path) -> None:
    (out / "npz" / "inner").mkdir()


def a_link(out: Path) -> None:
    (out / "model.onnx").rename(out.parent / "model.onnx")
    (out / "model.onnx").symlink_to(out.parent / "model.onnx")


def a_folder_by_a_link(out: Path) -> None:
    (out / "npz").rename(out.parent / "npz")
    (out / "npz").symlink_to(out.parent / "npz")


def a_pipe(out: Path) -> None:
    os.mkfifo(out / "pipe")


CHANGES = [
    *(edited, edited_manifest, listed_too, only_names, beside, hidden, empty_folder),
    *(a_link, a_folder_by_a_link, a_pipe),
]


def everything(folder: Path) -> dict[str, bytes | str]:
    """What is below a folder, but for what is under construction: bytes of files, targets of links."""
    found: dict[str, bytes | str] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found[name] = str(path.readlink())
        elif not name.startswith(".qdqnp"):
            found[name] = path.read_bytes() if path.is_file() else "folder" if path.is_dir() else "other"
    return found


@pytest.fixture(scope="module")
def whole(net: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("folder") / "set"
    write(folder, net, [FEEDS], 1, options=Options(layers=("QLinearAdd",)))
    return folder


@pytest.fixture
def out(whole: Path, tmp_path: Path) -> Path:
    """A golden set, alone in its folder."""
    return Path(shutil.copytree(whole, tmp_path / "set"))


def replace_set(out: Path, meanwhile: Callable[[], object] = lambda: None) -> None:
    """What `golden --force` does, but for the model: the new set is one file."""
    old = replaceable(out, force=True)
    with new_folder(out, GOLDEN_SET, 2**20, old) as folder:
        folder.append("manifest.json", b"new")
        meanwhile()


def is_new(out: Path) -> bool:
    return left(out.parent) == ["set"] and everything(out) == {"manifest.json": b"new"}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_a_set_that_is_not_as_it_was_written_stays(out: Path, change: Change, when: str) -> None:
    """Whether it changed before the command starts, or while the new set is computed."""
    there: dict[str, bytes | str] = {}

    def changed() -> None:
        change(out)
        there.update(everything(out.parent))

    if when == "before":
        changed()
    with pytest.raises(GoldenError, match="cannot write the golden set"):
        replace_set(out, changed if when == "meanwhile" else lambda: None)
    assert there and everything(out.parent) == there
    assert not [name for name in left(out.parent) if name.startswith(".")]


def test_another_set_that_appeared_meanwhile_stays(out: Path) -> None:
    """The work of another run, which nobody offered."""
    with pytest.raises(GoldenError, match=r"'manifest.json', which has changed"):
        replace_set(out, lambda: replace_set(out))
    assert is_new(out)


def test_a_set_that_holds_an_input_is_not_replaced(out: Path) -> None:
    before = everything(out)
    for known in (True, False):
        with noting_inputs(), pytest.raises(GoldenError, match=r"'model.onnx', which is one of the inputs"):
            if known:
                read_bytes(out / "model.onnx", 2**20)
            replace_set(out, lambda: read_bytes(out / "model.onnx", 2**20))
    assert everything(out) == before


def test_a_missing_file_is_no_obstacle(out: Path) -> None:
    (out / "model.onnx").unlink()
    replace_set(out)
    assert is_new(out)


def test_a_set_without_a_hash_of_its_own_is_read_but_not_replaced(out: Path) -> None:
    """As qdqnp wrote them at first."""
    document = json.loads((out / "manifest.json").read_text())
    del document["sha256"]
    (out / "manifest.json").write_text(json.dumps(document))
    assert read(out).inputs == 1
    with pytest.raises(GoldenError, match="older qdqnp"):
        replace_set(out)


# -- the moment of the replacement ------------------------------------------------------------------------------------
@pytest.fixture(params=["one step", "two renames"])
def steps(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Whether the system can exchange two folders."""
    if request.param == "two renames":
        monkeypatch.setattr(renames, "_system_call", lambda exchanged: None)
    return str(request.param)


REPLACED = """
import sys
from pathlib import Path
from qdqnp.files.folder import new_folder
from qdqnp.golden_sets.replace import contents_of
from qdqnp.golden_sets.replace import replaceable
from qdqnp.golden_sets.writing import GOLDEN_SET
out = Path(sys.argv[1])
files = {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}
last = files.pop("manifest.json")
print("ready", flush=True)
for _ in range(int(sys.argv[2])):
    with new_folder(out, GOLDEN_SET, 2**30, contents_of(out)) as folder:
        for name, data in {**files, "manifest.json": last}.items():
            folder.append(name, data)
"""


@pytest.mark.skipif(sys.platform not in ("linux", "darwin"), reason="two names cannot be exchanged")
def test_a_reader_always_finds_a_whole_set(out: Path) -> None:
    """While another process replaces it again and again."""
    text = (out / "manifest.json").read_bytes()
    with subprocess.Popen([sys.executable, "-c", REPLACED, str(out), "100"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        looked = 0
        while process.poll() is None:
            assert (out / "manifest.json").read_bytes() == text
            looked += 1
    assert process.returncode == 0 and looked > 100 and left(out.parent) == ["set"]


@pytest.mark.parametrize("failing", [1, 2])
def test_an_old_set_comes_back_where_the_new_one_cannot_take_its_place(
    out: Path, monkeypatch: pytest.MonkeyPatch, failing: int, steps: str
) -> None:
    name, before, calls = "exchange" if steps == "one step" else "rename_new", everything(out), 0
    if (failing, name) == (2, "exchange"):
        pytest.skip("there is one exchange")
    real = getattr(folder_module, name)

    def refused(one: Path, other: Path) -> object:
        nonlocal calls
        calls += 1
        if calls == failing:
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(one, other)

    monkeypatch.setattr(folder_module, name, refused)
    with pytest.raises(GoldenError, match="Permission denied"):
        replace_set(out)
    assert everything(out) == before and left(out.parent) == ["set"]


def test_what_appears_in_the_last_moment_stays(out: Path, monkeypatch: pytest.MonkeyPatch, steps: str) -> None:
    """Between the last look and the exchange: the two are exchanged back."""
    name, calls = "exchange" if steps == "one step" else "rename_new", 0
    real = getattr(folder_module, name)

    def late(one: Path, other: Path) -> object:
        nonlocal calls
        calls += 1
        if calls == 1:
            (out / "notes.txt").write_text("mine")
        return real(one, other)

    monkeypatch.setattr(folder_module, name, late)
    with pytest.raises(GoldenError, match=r"notes.txt"):
        replace_set(out)
    assert (out / "notes.txt").read_text() == "mine" and read(out).inputs == 1 and left(out.parent) == ["set"]


@pytest.mark.usefixtures("steps")
def test_what_appears_while_the_old_set_is_removed_stays(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = folder_module._remove

    def late(folder: Path, contents: Contents) -> None:
        (folder / "notes.txt").write_text("mine")
        real(folder, contents)

    monkeypatch.setattr(folder_module, "_remove", late)
    with pytest.raises(GoldenError, match=r"the new one is there, but what is left of the old one stays in '.qdqnp-"):
        replace_set(out)
    (kept,) = out.parent.glob(".qdqnp-*/notes.txt")
    assert kept.read_text() == "mine" and everything(out) == {"manifest.json": b"new"}


KILLED = (
    """
import os, signal, sys
from qdqnp.files import folder, renames
where, path, steps = sys.argv[1:4]
def killed(*_):
    os.kill(os.getpid(), signal.SIGKILL)
def after(real):
    def called(*arguments):
        if real(*arguments) is not False:
            killed()
        return False
    return called
if steps == "two renames":
    renames._system_call = lambda exchanged: None
name = "exchange" if steps == "one step" else "rename_new"
if where == "before":
    setattr(folder, name, killed)
if where == "after":
    setattr(folder, name, after(getattr(folder, name)))
if where == "removing":
    folder.Path.rmdir = killed
sys.argv = ["-c", path, "1"]
"""
    + REPLACED
)


@pytest.mark.parametrize("where", ["before", "after", "removing"])
def test_a_run_that_is_killed_while_it_replaces(out: Path, where: str, steps: str) -> None:
    """The old set or the new one is there, or comes back; the next run removes the rest."""
    before = everything(out)
    command = [sys.executable, "-c", KILLED, where, str(out), steps]
    assert subprocess.run(command, timeout=60, stdout=subprocess.DEVNULL).returncode == -signal.SIGKILL
    assert left(out.parent) != ["set"]
    if not out.exists():
        assert (steps, where) == ("two renames", "after")
        with pytest.raises(GoldenError, match="it is back in its place now"):
            replace_set(out)
    assert everything(out) == before
    replace_set(out)
    assert is_new(out)


def test_what_a_killed_run_left_is_kept_where_it_holds_more(out: Path) -> None:
    command = [sys.executable, "-c", KILLED, "after", str(out), "one step"]
    assert subprocess.run(command, timeout=60, stdout=subprocess.DEVNULL).returncode == -signal.SIGKILL
    (aside,) = out.parent.glob(".qdqnp-*.old")
    (aside / "notes.txt").write_text("mine")
    with pytest.raises(GoldenError, match=r"take from it what is yours"):
        replace_set(out)
    assert (aside / "notes.txt").read_text() == "mine" and read(out).inputs == 1
    (aside / "notes.txt").unlink()
    replace_set(out)
    assert is_new(out)


def test_two_runs_do_not_replace_one_set_at_once(out: Path) -> None:
    with locked_folder(out), pytest.raises(GoldenError, match="another run is replacing it"):
        replace_set(out)
    assert read(out).inputs == 1 and left(out.parent) == ["set"]


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
