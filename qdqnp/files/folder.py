"""Write a folder that appears whole or not at all, and replace one only where all that is in it is proven to be ours.

A folder takes the place of another in one step where the system can exchange two names (qdqnp.files.renames): a reader
finds the old one or the new one. What was exchanged is proven again before it goes: its files by size and hash, and
that there are no others. If something appeared meanwhile, the two are exchanged back. Files are removed one by one as
they are listed, never a folder with whatever is in it.

Where names cannot be exchanged, the old folder is moved aside first: for a moment there is neither. A run that is
killed then leaves it aside, and the next run for the same place moves it back.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from qdqnp.errors import InputError, Problem, QdqnpError
from qdqnp.files.parents import blocked, made_parents
from qdqnp.files.paths import FILE, FOLDER, below, in_the_way, reason
from qdqnp.files.regular import is_input, open_inside, open_regular, sha256
from qdqnp.files.renames import exchange, rename_new
from qdqnp.files.signals import signals_ignored, terminate_as_interrupt
from qdqnp.files.unfinished import OLD, left_over, locked_folder, unfinished_folder
from qdqnp.limits import readable_bytes

#: Bytes and sha256 of each file of a folder, by relative name. The last one is that which lists the others.
Contents = Mapping[str, tuple[int, str]]
_ANY_NUMBER = 2**40
# Entries of a folder that are looked at until one is found that is not ours.
_MANY = 10_000
# Bytes that are moved at once.
_PIECE = 2**20


@dataclass(frozen=True)
class Kind:
    """What is written as a folder, and what messages say where that fails."""

    #: The thing's name in messages, such as 'the golden set'.
    what: str
    #: What to do where it would be too large: options that the command really has.
    smaller: str
    #: The error that is raised.
    error: type[QdqnpError] = QdqnpError
    #: What a folder of this kind holds by its own list; raises OSError or ValueError where it is not one. None for a
    #: kind that is never replaced.
    contents: Callable[[Path], Contents] | None = None


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

    def join(self, name: str, parts: Sequence[str]) -> None:
        """Move what the parts hold to the end of a file, part after part."""
        with self.open(name, "ab") as file:
            for part in parts:
                with open_regular(self.path / part, note=False) as source:
                    while piece := source.read(_PIECE):
                        file.write(piece)
                (self.path / part).unlink()

    def open(self, name: str, mode: str) -> BinaryIO:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        file: Any = path.open(mode)
        return file  # type: ignore[no-any-return]

    def files(self) -> dict[str, dict[str, Any]]:
        """Return size and sha256 of every file by its relative name, sorted."""
        found = {}
        for name, what in below(self.path, _ANY_NUMBER).items():
            if what == FILE:
                with open_regular(self.path / name, note=False) as file:
                    found[name] = {"bytes": os.fstat(file.fileno()).st_size, "sha256": sha256(file)}
        return found


def require_free(target: Path, kind: Kind) -> None:
    """Raise InputError, before anything is computed, where a folder cannot be made: something has its name, or that of
    a folder above it."""
    if inside := blocked(target):
        problem = Problem(f"folder {target.parent}", "a folder, or nothing yet", inside)
    elif there := in_the_way(target):
        problem = Problem(f"folder {target}", "a name that is not taken", f"a {there}")
    else:
        return
    raise InputError(f"cannot write {kind.what}", [problem])


@contextmanager
def new_folder(target: Path, kind: Kind, limit: int, old: Contents | None = None) -> Iterator[Folder]:
    """Open a folder to fill. It takes its place when the block ends without an error, and is removed otherwise, also
    after Ctrl-C and SIGTERM.

        target: the folder; those above it are made where they are missing.
        kind: what is written, for messages.
        limit: the most bytes that all files together may have.
        old: what the folder in the way holds, which may be replaced; None where nothing is in the way.

    Raises the kind's error for more bytes, for what the file system refuses, and where something else is in the way by
    then.
    """
    target = Path(os.path.abspath(target))  # noqa: PTH100 - resolve() would follow a link in its place
    with terminate_as_interrupt():
        try:
            with made_parents(target), unfinished_folder(target.parent) as made:
                _tidy(target, kind)
                yield Folder(made, limit, kind)
                with signals_ignored():
                    _place(made, target, old)
        except OSError as error:
            problem = Problem(f"folder {target}", "to be written", reason(error))
            raise kind.error(f"cannot write {kind.what}", [problem]) from error


# -- into place --------------------------------------------------------------------------------------------------------
def _place(made: Path, target: Path, old: Contents | None) -> None:
    if old is None:
        rename_new(made, target)
        return
    with locked_folder(target):
        _prove(target, old)
        aside = made.with_suffix(OLD)
        made.rename(aside)
        try:
            exchanged = exchange(aside, target)
        except OSError:
            aside.rename(made)
            raise
        if exchanged:
            _end_exchange(aside, made, target, old)
        else:
            aside.rename(made)
            _move(made, target, old)


def _end_exchange(aside: Path, made: Path, target: Path, old: Contents) -> None:
    """Remove the old folder, which is aside now; exchange the two again where it is no longer as it was."""
    try:
        _prove(aside, old)
    except BaseException:
        exchange(aside, target)
        aside.rename(made)
        raise
    _remove(aside, old)


def _move(made: Path, target: Path, old: Contents) -> None:
    """Replace a folder by two renames."""
    aside = _backup(target)
    rename_new(target, aside)
    try:
        _prove(aside, old)
        rename_new(made, target)
    except BaseException:
        rename_new(aside, target)
        raise
    _remove(aside, old)


def _backup(target: Path) -> Path:
    """Return where the old folder of that name is while there are two renames."""
    return target.with_name(f".qdqnp-{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]}.bak")


def _tidy(target: Path, kind: Kind) -> None:
    """Remove the old folders that killed runs of this kind had still aside, and move one back whose place is empty.

    Raises OSError for one that holds something else too: whoever it belongs to must look.
    """
    if kind.contents is None:
        return
    backup = _backup(target)
    if os.path.lexists(backup) and not os.path.lexists(target):
        rename_new(backup, target)
        raise FileExistsError(errno.EEXIST, "a killed run left it elsewhere; it is back in its place now")
    for path in left_over(target.parent, OLD):
        _remove_proven(path, kind.contents)
    if os.path.lexists(backup):
        _remove_proven(backup, kind.contents)


def _remove_proven(path: Path, listed: Callable[[Path], Contents]) -> None:
    try:
        with os.scandir(path) as entries:
            empty = next(entries, None) is None  # all but the last step of its removal was done
        contents = {} if empty else listed(path)
        _prove(path, contents)
    except (OSError, ValueError) as error:
        text = f"'{path.name}', which a killed run left, holds more than that run wrote ({reason(error)})"
        raise OSError(errno.EEXIST, f"{text}: take from it what is yours, and remove it") from error
    _remove(path, contents)


# -- what is ours ------------------------------------------------------------------------------------------------------
def unproven(folder: Path, contents: Contents) -> str:
    """Return what is in a folder beside the listed files as they were written: one of them in words; '' where all is as
    listed. Files that are missing do not count.

    Raises OSError for what the system refuses.
    """
    folders = {name.rpartition("/")[0] for name in contents}
    for name, what in below(folder, 2 * len(contents) + _MANY).items():
        if what == FOLDER and name in folders:
            continue
        if name not in contents or what != FILE:
            return f"'{name}', which is not of the set"
        with open_inside(folder, name, note=False) as file:
            status = os.fstat(file.fileno())
            if is_input(status):
                return f"'{name}', which is one of the inputs"
            if (status.st_size, sha256(file)) != contents[name]:
                return f"'{name}', which has changed since it was written"
    return ""


def _prove(folder: Path, contents: Contents) -> None:
    other = unproven(folder, contents)
    if other:
        raise OSError(errno.EEXIST, f"there is now {other}")


def _remove(folder: Path, contents: Contents) -> None:
    """Remove the listed files and their folders. The last file goes last: as long as anything is left, it says what."""
    *files, last = contents or [""]
    try:
        for name in files:
            (folder / name).unlink(missing_ok=True)
        for inner in {name.rpartition("/")[0] for name in files} - {""}:
            with suppress(FileNotFoundError):
                (folder / inner).rmdir()
        if last:
            (folder / last).unlink(missing_ok=True)
        folder.rmdir()
    except OSError as error:
        text = f"the new one is there, but what is left of the old one stays in '{folder.name}': {reason(error)}"
        raise OSError(error.errno, text) from error
