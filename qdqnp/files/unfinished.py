"""Files and folders under construction, by random names; what a killed run left of them is removed by the next.

They lie beside the target, because only a rename within a file system is one step. Whoever makes one holds a lock on it
(flock), which the system lets go when the process ends, however it ends. So one that nobody holds is left over. Where
locks do not exist, nothing is recognized as left over, and nothing is removed.

    .qdqnp-0123456789abcdef.tmp    under construction: removed with all that is in it
    .qdqnp-0123456789abcdef.old    a folder that is being replaced: see qdqnp.files.folder
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from qdqnp.files.signals import signals_ignored

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

TMP, OLD = ".tmp", ".old"
_NAME = re.compile(r"\.qdqnp-[0-9a-f]{16}\.(tmp|old)")
_TRIES = 100


@contextmanager
def unfinished_file(folder: Path) -> Iterator[tuple[Path, int]]:
    """Make a file under construction: yields its path, and a descriptor to write to. What still has that name in the
    end is removed. Raises OSError for what the system refuses."""
    remove_left_over(folder)
    path, descriptor = _locked(folder, lambda path: os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666))
    assert descriptor is not None
    try:
        yield path, descriptor
    finally:
        with suppress(OSError):
            path.unlink()
        os.close(descriptor)


@contextmanager
def unfinished_folder(folder: Path) -> Iterator[Path]:
    """Make a folder under construction, and yield its path. What still has that name in the end is removed. Raises
    OSError for what the system refuses."""
    remove_left_over(folder)
    path, descriptor = _locked(folder, _make_folder)
    try:
        yield path
    finally:
        with signals_ignored():  # a second Ctrl-C must not stop the clean-up half-way
            shutil.rmtree(path, ignore_errors=True)
        if descriptor is not None:
            os.close(descriptor)


def _make_folder(path: Path) -> int | None:
    path.mkdir()
    try:
        return None if fcntl is None else os.open(path, os.O_RDONLY)
    except FileNotFoundError as error:  # another run took it for left over before it was locked
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from error


def _locked(folder: Path, make: Callable[[Path], int | None]) -> tuple[Path, int | None]:
    """Make something under a random name, and lock it. Another run that looks for left-overs may come in between, and
    take it for one: then the next name is tried."""
    for _ in range(_TRIES):
        path = folder / f".qdqnp-{os.urandom(8).hex()}{TMP}"
        try:
            descriptor = make(path)
        except FileExistsError:
            continue
        if descriptor is None or (_lock(descriptor) is not False and _is_at(descriptor, path)):
            return path, descriptor
        os.close(descriptor)
    raise FileExistsError(errno.EEXIST, "no name is free for what is under construction", str(folder))


def _lock(descriptor: int) -> bool | None:
    """Lock an open file or folder. Returns False where another process holds it, None where locks do not exist."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except OSError:
        return False


@contextmanager
def locked_folder(path: Path) -> Iterator[None]:
    """Hold the lock of a folder that is about to be replaced. Raises OSError where another run holds it."""
    if fcntl is None:
        yield
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY)
    try:
        if _lock(descriptor) is False:
            raise OSError(errno.EBUSY, "another run is replacing it", str(path))
        yield
    finally:
        os.close(descriptor)


def left_over(folder: Path, ending: str) -> Iterator[Path]:
    """Yield what killed runs of this user left in a folder, each locked until the next is asked for.

    folder: the folder.
    ending: TMP or OLD.
    """
    if fcntl is None:
        return
    names: list[str] = []
    with suppress(OSError), os.scandir(folder) as entries:
        names = [entry.name for entry in entries if entry.name.endswith(ending) and _NAME.fullmatch(entry.name)]
    for path in (folder / name for name in sorted(names)):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            continue
        try:
            status = os.fstat(descriptor)
            plain = stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)
            if plain and status.st_uid == os.geteuid() and _lock(descriptor) and _is_at(descriptor, path):
                yield path
        finally:
            os.close(descriptor)


def remove_left_over(folder: Path) -> None:
    """Remove what killed runs had under construction in a folder; what the system refuses to remove stays."""
    for path in left_over(folder, TMP):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):
                path.unlink()
