"""Run a Python file that the user names on the command line, and return one of its names."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from qdqnp.diagnosis.compare.comparators import Comparator, comparators_named
from qdqnp.errors import InputError, ModelError, Problem, QdqnpError, shorten
from qdqnp.files.paths import reason
from qdqnp.files.regular import read_bytes
from qdqnp.limits import MAX_TEXT_BYTES
from qdqnp.ops.given import AGAIN

OPERATORS, COMPARATORS = "OPERATORS", "COMPARATORS"


def operators_in(paths: Iterable[Path]) -> tuple[type, ...]:
    """Run Python files, and return the classes that their lists OPERATORS hold.

    Raises ModelError for a file that cannot be run, and for one without such a list.
    """
    found: list[type] = []
    for path in paths:
        where = f"--operators '{shorten(str(path))}'"
        text = _text(path, where, ModelError)
        listed = _run(text, path, OPERATORS, where, ModelError)
        if not isinstance(listed, (list, tuple)) or not all(isinstance(kind, type) for kind in listed):
            got = "none" if listed is None else shorten(repr(listed))
            raise ModelError("no operators", [Problem(where, f"a list of classes, {OPERATORS} = [...]", got)])
        for at, kind in enumerate(listed):
            with suppress(TypeError):  # a class of Python's own, which is no operator
                setattr(kind, AGAIN, (operator_again, text, str(path), at))
        found += listed
    return tuple(found)


@cache
def operator_again(text: bytes, path: str, at: int) -> type:
    """Return a class that a file lists, in another process: the file's text is run there once more."""
    kind: type = _run(text, Path(path), OPERATORS, "operators", ModelError)[at]
    return kind


def comparators_of(texts: Iterable[str]) -> dict[str, Comparator]:
    """Return the comparators of `--comparator`: installed ones by name, and those of files, NAME.py.

    Raises InputError for what is none.
    """
    found: dict[str, Comparator] = {}
    for text in texts:
        if not text.endswith(".py"):
            found |= comparators_named([text])
            continue
        where = f"--comparator '{shorten(text)}'"
        path = Path(text)
        listed = _run(_text(path, where, InputError), path, COMPARATORS, where, InputError)
        if not isinstance(listed, dict) or not all(isinstance(n, str) and callable(f) for n, f in listed.items()):
            got = "none" if listed is None else shorten(repr(listed))
            problem = Problem(where, f"functions by name, {COMPARATORS} = {{...}}", got)
            raise InputError("no comparators", [problem])
        found |= listed
    return found


def _text(path: Path, where: str, kind: type[QdqnpError]) -> bytes:
    try:
        return read_bytes(path, MAX_TEXT_BYTES)
    except OSError as error:
        raise kind("a file cannot be read", [Problem(where, "a Python file", reason(error))]) from error


def _run(text: bytes, path: Path, name: str, where: str, kind: type[QdqnpError]) -> Any:
    """Run a file's text, and return what it calls `name`; None where it has no such name."""
    module = ModuleType(f"qdqnp_{name.lower()}_{path.stem}")
    module.__file__ = str(path)
    try:
        sys.modules[module.__name__] = module  # where a dataclass looks for the module that it is in
        exec(compile(text, str(path), "exec"), vars(module))
    except (Exception, SystemExit) as error:  # whatever the user's code raises
        got = f"{type(error).__name__}: {shorten(str(error), 300)}"
        raise kind("a file cannot be run", [Problem(where, "a file that Python runs", got)]) from error
    finally:
        sys.modules.pop(module.__name__, None)
    return getattr(module, name, None)
