"""Run a Python file that the user names on the command line, and return one of its names."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from qdqnp.diagnosis.compare.comparators import Comparator, comparators_named
from qdqnp.errors import InputError, ModelError, Problem, QdqnpError, shorten
from qdqnp.files.paths import reason
from qdqnp.files.regular import read_bytes
from qdqnp.limits import MAX_TEXT_BYTES

OPERATORS, COMPARATORS = "OPERATORS", "COMPARATORS"


def operators_in(paths: Iterable[Path]) -> tuple[type, ...]:
    """Run Python files, and return the classes that their lists OPERATORS hold.

    Raises ModelError for a file that cannot be run, and for one without such a list.
    """
    found: list[type] = []
    for path in paths:
        where = f"--operators '{shorten(str(path))}'"
        listed = _name_in(path, OPERATORS, where, ModelError)
        if not isinstance(listed, (list, tuple)) or not all(isinstance(kind, type) for kind in listed):
            got = "none" if listed is None else shorten(repr(listed))
            raise ModelError("no operators", [Problem(where, f"a list of classes, {OPERATORS} = [...]", got)])
        found += listed
    return tuple(found)


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
        listed = _name_in(Path(text), COMPARATORS, where, InputError)
        if not isinstance(listed, dict) or not all(isinstance(n, str) and callable(f) for n, f in listed.items()):
            got = "none" if listed is None else shorten(repr(listed))
            problem = Problem(where, f"functions by name, {COMPARATORS} = {{...}}", got)
            raise InputError("no comparators", [problem])
        found |= listed
    return found


def _name_in(path: Path, name: str, where: str, kind: type[QdqnpError]) -> Any:
    """Run a file, and return what it calls `name`; None where it has no such name."""
    title = f"no {name.lower()}"
    try:
        text = read_bytes(path, MAX_TEXT_BYTES)
    except OSError as error:
        raise kind(title, [Problem(where, "a Python file", reason(error))]) from error
    module = ModuleType(f"qdqnp_{name.lower()}_{path.stem}")
    module.__file__ = str(path)
    try:
        sys.modules[module.__name__] = module  # where a dataclass looks for the module that it is in
        exec(compile(text, str(path), "exec"), vars(module))
    except (Exception, SystemExit) as error:  # whatever the user's code raises
        got = f"{type(error).__name__}: {shorten(str(error), 300)}"
        raise kind(title, [Problem(where, "a file that Python runs", got)]) from error
    finally:
        sys.modules.pop(module.__name__, None)
    return getattr(module, name, None)
