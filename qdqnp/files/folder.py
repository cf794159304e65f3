"""Write a folder that appears whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from qdqnp.errors import Problem, QdqnpError
from qdqnp.limits import readable_bytes

IGNORED: dict[signal.Signals, Any] = {signal.SIGINT: signal.SIG_IGN, signal.SIGTERM: signal.SIG_IGN}


@dataclass(frozen=True)
class Kind:
    """What is written as a folder, and what messages say where that fails."""

    #: The thing's name in messages, such as 'the golden set'.
    what: str
    #: What to do where it would be too large: options that the command really has.
    smaller: str
    #: The error that is raised.
    error: type[QdqnpError] = QdqnpError


class Folder:
    """Files under construction. Their names are relative, made by qdqnp, and never come from a model."""

    def __init__(self, path: Path, limit: int, kind: Kind) -> None:
        """Start an empty folder.

        path: the folder.
        limit: the most bytes that all files together may have.
        kind: what is written, for messages.
        """
        self.path = path
        self.limit = limit
        self.kind = kind
        self.written = 0

    def charge(self, count: int) -> None:
        """Count bytes that are about to be written. Raises the kind's error beyond the limit."""
        self.written += count
        self.require(self.written)

    def require(self, total: int) -> None:
        """Raise the kind's error where `total` bytes are more than the folder may have."""
        if total > self.limit:
            limit, got = f"at most {readable_bytes(self.limit)}", f"{readable_bytes(total)} or more"
            what = self.kind.what
            raise self.kind.error(f"{what} would be too large", [Problem(what, limit, got, self.kind.smaller)])

    def append(self, name: str, data: bytes | memoryview) -> None:
        """Add to the end of a file. The file is closed again: there may be more files than a process may open."""
        self.charge(len(data))
        with self.open(name, "ab") as file:
            file.write(data)

    def open(self, name: str, mode: str) -> BinaryIO:
        path = self.path / name
        path.parent.mkdir(exist_ok=True)
        file: Any = path.open(mode)
        return file  # type: ignore[no-any-return]

    def files(self) -> dict[str, dict[str, Any]]:
        """Return size and sha256 of every file by its relative name, sorted."""
        paths = sorted(path.relative_to(self.path).as_posix() for path in self.path.rglob("*") if path.is_file())
        return {
            name: {"bytes": (self.path / name).stat().st_size, "sha256": sha256(self.path / name)} for name in paths
        }


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def new_folder(target: Path, kind: Kind, limit: int, replace: bool = False) -> Iterator[Folder]:
    """Open a folder to fill. It takes its place when the block ends without an error, and is removed otherwise, also
    after Ctrl-C and SIGTERM.

        target: the folder.
        kind: what is written, for messages.
        limit: the most bytes that all files together may have.
        replace: whether it takes the place of an existing folder.

    Raises the kind's error for more bytes, and for what the file system refuses.
    """
    target = Path(os.path.abspath(target))  # noqa: PTH100 - resolve() would follow a link in its place
    token = secrets.token_hex(4)
    made = target.parent / f".qdqnp-{token}.tmp"
    with _terminate_as_interrupt():
        try:
            made.mkdir()
            folder = Folder(made, limit, kind)
            yield folder
            with _signals(IGNORED):  # a few renames, of which Ctrl-C must not see half
                _place(made, target, replace, target.parent / f".qdqnp-{token}.old")
        except OSError as error:
            _discard(made)
            problem = Problem(f"folder {target}", "to be written", error.strerror or str(error))
            raise kind.error(f"cannot write {kind.what}", [problem]) from error
        except BaseException:
            _discard(made)
            raise


def _place(made: Path, target: Path, replace: bool, aside: Path) -> None:
    """Rename the new folder into place. An old folder is moved aside first, and comes back if that fails."""
    if not replace:
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, "something has appeared there meanwhile")
        made.rename(target)
        return
    target.rename(aside)
    try:
        made.rename(target)
    except BaseException:
        aside.rename(target)
        raise
    _discard(aside)


def _discard(path: Path) -> None:
    """Remove a folder; a second Ctrl-C must not stop that half-way."""
    with _signals(IGNORED):
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _terminate_as_interrupt() -> Iterator[None]:
    """Make SIGTERM raise as Ctrl-C does, unless it is handled already: by default it ends Python without any
    clean-up."""

    def stop(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    mine = signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    with _signals({signal.SIGTERM: stop} if mine else {}):
        yield


@contextmanager
def _signals(handlers: dict[signal.Signals, Any]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers, and only it is interrupted
        return
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
