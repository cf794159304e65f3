"""Open files for reading: regular files only, and no more of them than a limit. Nothing else in qdqnp opens a file.

A pipe or a device would hang the reader, or never end. So a file is opened without waiting, and the open file, not its
name, is asked what it is: nobody can exchange it in between. What cannot be opened is an OSError, whatever the reason.
"""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.resources import files
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

T = TypeVar("T")

# Not every system has all of them. A terminal must not become the process's own.
_FLAGS = sum(getattr(os, name, 0) for name in ("O_NONBLOCK", "O_NOCTTY"))
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
# What is read at once where a file does not know its size, as those in /proc.
_UNKNOWN_SIZE = 2**20
_CHUNK = 2**20

# The files that were read since `noting_inputs`, by device and inode; None outside of it.
_noted: ContextVar[set[tuple[int, int]] | None] = ContextVar("noted", default=None)


def open_regular(path: Path | str, *, follow: bool = True, note: bool = True) -> BinaryIO:
    """Open a regular file to read its bytes.

        path: the file.
        follow: whether the file may be a link to a regular file.
        note: whether the file counts as an input, see noting_inputs.

    Raises OSError for anything else, and for names that no file can have.
    """
    return _opened(os.fspath(path), follow=follow, note=note)


def open_inside(folder: Path, name: str, *, note: bool = True) -> BinaryIO:
    """Open a regular file below a folder that is not trusted. No link below the folder is followed, neither the file
    nor a folder on the way, also where one takes its place meanwhile.

        folder: the folder, which may be a link itself.
        name: the relative name, '/' between folders.
        note: as for open_regular.

    Raises OSError as open_regular does.
    """
    *inner, last = name.split("/")
    if any(part in ("", ".", "..") for part in (*inner, last)):
        raise OSError(errno.EINVAL, "not a name inside the folder", name)
    if os.open not in os.supports_dir_fd or not hasattr(os, "O_DIRECTORY"):
        return _open_by_name(folder, inner, last, note)
    with _as_os_error(name):
        at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for part in inner:
                below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | _NO_LINK, dir_fd=at)  # of a link: no directory
                os.close(at)
                at = below
            return _opened(last, follow=False, note=note, at=at)
        finally:
            os.close(at)


def _open_by_name(folder: Path, inner: list[str], last: str, note: bool) -> BinaryIO:
    """Do so where the system cannot open relative to an open folder: a link that appears meanwhile is followed."""
    place = folder
    for part in inner:
        place = place / part
        if place.is_symlink():
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(place))
    return _opened(os.fspath(place / last), follow=False, note=note)


def _opened(path: str, *, follow: bool, note: bool, at: int | None = None) -> BinaryIO:
    def opener(name: str, flags: int) -> int:
        return os.open(name, flags | _FLAGS | (0 if follow else _NO_LINK), dir_fd=at)

    if not follow and not _NO_LINK and os.path.islink(path):  # noqa: PTH114
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
    with _as_os_error(path), _links_named(follow):
        file = io.BufferedReader(_Ready(path, "rb", opener=opener))
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode):
        file.close()
        raise OSError(errno.EINVAL, "a device, pipe or socket, where a regular file is needed", path)
    noted = _noted.get()
    if note and noted is not None:
        noted.add((status.st_dev, status.st_ino))
    return file


class _Ready(io.FileIO):
    """A file that says so where it has no bytes yet: Python reads None then, which nobody expects of a regular file.
    Some files of the kernel that count as regular ones, such as /proc/kmsg, are like pipes."""

    def readinto(self, buffer: Any, /) -> int:
        count: int | None = super().readinto(buffer)
        return self._there(count)

    def readall(self) -> bytes:
        return self._there(super().readall())

    def _there(self, got: T | None) -> T:
        if got is None:
            raise BlockingIOError(errno.EAGAIN, "a file that is like a pipe, where a regular file is needed", self.name)
        return got


@contextmanager
def _links_named(follow: bool) -> Iterator[None]:
    """Say of a link that it is one: the system says that there are too many of them."""
    try:
        yield
    except OSError as error:
        if follow or error.errno not in (errno.ELOOP, errno.EMLINK):
            raise
        raise OSError(error.errno, "a link, which is not followed here", error.filename) from error


@contextmanager
def _as_os_error(path: str) -> Iterator[None]:
    """Turn what Python says of names with NUL characters and of lone surrogates into what the system would say."""
    try:
        yield
    except ValueError as error:
        raise OSError(errno.EINVAL, "a name that no file can have", path) from error


def read_all(file: BinaryIO, limit: int) -> bytes:
    """Return the rest of a file. Python allocates what it is asked for before it reads: so ask for what is there.

    Raises OSError for more bytes than the limit.
    """
    size = os.fstat(file.fileno()).st_size
    data = file.read(min(max(size, _UNKNOWN_SIZE), limit) + 1) if size <= limit else b""
    if size > limit or len(data) > limit:
        raise OSError(errno.EFBIG, f"{max(size, len(data))} bytes, where at most {limit} are read")
    return data


def read_bytes(path: Path | str, limit: int) -> bytes:
    """Return the bytes of a regular file. Raises OSError for anything else, and for more bytes than the limit.

    >>> Path("names.txt").write_bytes(b"cat")
    3
    >>> read_bytes("names.txt", limit=100)
    b'cat'
    """
    with open_regular(path) as file:
        return read_all(file, limit)


def read_inside(folder: Path, name: str, limit: int) -> bytes:
    """Return the bytes of a file below a folder that is not trusted, as open_inside opens it. Raises OSError."""
    with open_inside(folder, name) as file:
        return read_all(file, limit)


def sha256(file: BinaryIO) -> str:
    """Return the sha256 of the rest of an open file, in hexadecimal digits."""
    import hashlib  # it brings OpenSSL with it, 3.5 MB that a run of a model does without

    found = hashlib.sha256()
    while chunk := file.read(_CHUNK):
        found.update(chunk)
    return found.hexdigest()


def packaged(package: str, *names: str) -> bytes:
    """Return the bytes of a file that comes with qdqnp.

        package: the package that holds it, such as 'qdqnp.golden_sets'.
        names: its name, with those of the folders on the way.

    >>> packaged("qdqnp.golden_sets", "c", "main.c").startswith(b"/*")
    True
    """
    return files(package).joinpath(*names).read_bytes()


# -- what was read -----------------------------------------------------------------------------------------------------
@contextmanager
def noting_inputs() -> Iterator[None]:
    """Note every file that is read inside: until the end, no output may take the place of one of them."""
    token = _noted.set(set())
    try:
        yield
    finally:
        _noted.reset(token)


def is_input(status: os.stat_result) -> bool:
    """Return whether a file has been read since noting_inputs, under whatever name: links and case do not matter."""
    noted = _noted.get()
    return noted is not None and (status.st_dev, status.st_ino) in noted
