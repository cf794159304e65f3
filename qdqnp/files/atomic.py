"""Write one file whole or not at all, and never over another file by accident."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from qdqnp.errors import InputError, Problem, QdqnpError


def check_target(path: Path, what: str, force: bool) -> None:
    """Check, before anything is computed, that a file can be written and may be.

        path: the file.
        what: the thing that would be written, for messages, such as 'the outputs'.
        force: whether an existing file may be replaced.

    Raises InputError.
    """
    if not path.parent.is_dir():
        raise InputError(f"cannot write {what}", [Problem(f"folder {path.parent}", "a folder", "none")])
    if path.exists() and not (force and path.is_file()):
        problem = Problem(f"file {path}", "no such file yet", "one", "Use --force to replace a file.")
        raise InputError(f"{what} would replace a file", [problem])


@contextmanager
def new_file(path: Path, what: str) -> Iterator[BinaryIO]:
    """Open a file to fill. It takes its place when the block ends without an error, and is removed otherwise.

    The file is written under another name in the same folder first, because only a rename within a folder is atomic.
    Raises QdqnpError for what the file system refuses.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        file: Any
        with unfinished.open("wb") as file:
            yield file
        unfinished.replace(path)
    except OSError as error:
        problem = Problem(f"file {path}", "to be written", error.strerror or str(error))
        raise QdqnpError(f"cannot write {what}", [problem]) from error
    finally:
        unfinished.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes, what: str) -> None:
    """Write a file, whole or not at all. Raises QdqnpError for what the file system refuses."""
    with new_file(path, what) as file:
        file.write(data)


def write_text(path: Path, text: str, what: str) -> None:
    """Write a file in UTF-8, whole or not at all. Raises QdqnpError as write_bytes does."""
    write_bytes(path, text.encode("utf-8"), what)
