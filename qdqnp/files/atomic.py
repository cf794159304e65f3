"""Write one file whole or not at all, and never over what the user did not offer.

A command decides with `target`, before it computes anything, that a file may be written, and what it may replace. When
the file is written, the same must still be in the way: what appeared or changed meanwhile stays, and so does whatever
was read as an input. Commands do not ask on the terminal, because they run in scripts: they refuse, and name --force.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from qdqnp.errors import InputError, Problem, QdqnpError, shorten
from qdqnp.files.paths import FILE, FOLDER, in_the_way, kind_of, reason
from qdqnp.files.regular import is_input
from qdqnp.files.renames import rename_new
from qdqnp.files.unfinished import unfinished_file


@dataclass(frozen=True)
class Target:
    """A file that may be written; `target` makes one."""

    #: The file.
    path: Path
    #: What is written, for messages, such as 'the report'.
    what: str
    #: The file that may be replaced, as it was then; None where nothing was in the way.
    before: os.stat_result | None = None


def target(path: Path, what: str, force: bool = False) -> Target:
    """Check, before anything is computed, that a file can be written and may be.

        path: the file.
        what: what would be written, for messages, such as 'the outputs'.
        force: whether a regular file in the way may be replaced.

    Raises InputError where the folder is missing, or something is in the way that may not be replaced.

    >>> target(Path("report.html"), "the report").before is None
    True
    """
    if kind_of(path.parent) != FOLDER:
        raise InputError(f"cannot write {what}", [Problem(f"folder {_shown(path.parent)}", "a folder", "none")])
    there = in_the_way(path)
    if not there:
        return Target(path, what)
    if there != FILE or not force:
        expected = "no such file yet" if there == FILE else "a regular file, or none"
        hint = "Use --force to replace a file." if there == FILE else "Only regular files are ever replaced."
        problem = Problem(f"file {_shown(path)}", expected, "one" if there == FILE else f"a {there}", hint)
        raise InputError(f"{what} would replace a {there}", [problem])
    try:
        before = path.lstat()
        _check_replaced(before, before)
    except OSError as error:
        raise InputError(f"cannot write {what}", [_refused(path, error)]) from error
    return Target(path, what, before)


def _shown(path: Path) -> str:
    return shorten(str(path))


def _refused(path: Path, error: OSError) -> Problem:
    return Problem(f"file {_shown(path)}", "to be written", reason(error))


@contextmanager
def new_file(target: Target) -> Iterator[BinaryIO]:
    """Open a file to fill. It takes its place when the block ends without an error, and is removed otherwise.

    Raises QdqnpError for what the file system refuses, and where something else is in the way by now.
    """
    try:
        with unfinished_file(target.path.parent) as (made, descriptor):
            with os.fdopen(descriptor, "wb", closefd=False) as file:
                yield file
            os.fsync(descriptor)  # some file systems say only now that the disk is full
            if target.before is None:
                rename_new(made, target.path)
            else:
                _check_replaced(target.path.lstat(), target.before)
                made.replace(target.path)
    except OSError as error:
        raise QdqnpError(f"cannot write {target.what}", [_refused(target.path, error)]) from error


def _check_replaced(now: os.stat_result, before: os.stat_result) -> None:
    """Raise OSError where what is in the way is not what it was, or is an input."""
    same = os.path.samestat(now, before) and (now.st_size, now.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    if not same or not stat.S_ISREG(now.st_mode):
        raise OSError(errno.EEXIST, "it has changed meanwhile")
    if is_input(now):
        raise OSError(errno.EEXIST, "it is one of the inputs")


def write_bytes(target: Target, data: bytes) -> None:
    """Write a file, whole or not at all. Raises QdqnpError as new_file does.

    >>> write_bytes(target(Path("codes.bin"), "the codes"), b"abc")
    >>> Path("codes.bin").read_bytes()
    b'abc'
    """
    with new_file(target) as file:
        file.write(data)


def write_text(target: Target, text: str) -> None:
    r"""Write a file in UTF-8, whole or not at all; what is no Unicode, as in odd file names, is written as '\udcff'.
    Raises QdqnpError as new_file does.

    >>> write_text(target(Path("page.txt"), "the page"), "0 \u2264 x")
    >>> Path("page.txt").read_text(encoding="utf-8")
    '0 ≤ x'
    """
    write_bytes(target, text.encode("utf-8", "backslashreplace"))
