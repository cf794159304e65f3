"""One text file that a command writes: whole or not at all, and never over another by accident."""

from __future__ import annotations

import os
from pathlib import Path

from qdqnp.errors import InputError, Problem, QdqnpError


def check_target(path: Path, force: bool) -> None:
    """Raises InputError where the file could not or must not be written: asked before anything is computed."""
    if not path.parent.is_dir():
        raise InputError("cannot write a file", [Problem(f"folder {path.parent}", "a folder", "none")])
    if path.exists() and not (force and path.is_file()):
        problem = Problem(f"file {path}", "no such file yet", "one", "Use --force to replace a file.")
        raise InputError("a file is in the way", [problem])


def write_text(path: Path, text: str) -> None:
    """Written to another file of the same folder first, because only a rename within a folder happens at once."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(path)
    except OSError as error:
        raise QdqnpError("cannot write a file", [Problem(f"file {path}", "to be written", str(error))]) from error
    finally:
        unfinished.unlink(missing_ok=True)
