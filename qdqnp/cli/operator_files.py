"""Run a file of the user's that defines operators, for `--operators`."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

from qdqnp.errors import ModelError, Problem, shorten
from qdqnp.files.paths import reason
from qdqnp.files.regular import read_bytes
from qdqnp.limits import MAX_TEXT_BYTES

NAME = "OPERATORS"


def operators_in(paths: Iterable[Path]) -> tuple[type, ...]:
    """Run Python files, and return the classes that their lists OPERATORS hold.

    Raises ModelError for a file that cannot be run, and for one without such a list.
    """
    return tuple(kind for path in paths for kind in _operators(path))


def _operators(path: Path) -> list[type]:
    where = f"--operators '{shorten(str(path))}'"
    try:
        text = read_bytes(path, MAX_TEXT_BYTES)
    except OSError as error:
        raise ModelError("no operators", [Problem(where, "a Python file", reason(error))]) from error
    module = ModuleType(f"qdqnp_operators_{path.stem}")
    module.__file__ = str(path)
    try:
        sys.modules[module.__name__] = module  # where a dataclass looks for the module that it is in
        exec(compile(text, str(path), "exec"), vars(module))
    except (Exception, SystemExit) as error:  # whatever the user's code raises
        got = f"{type(error).__name__}: {shorten(str(error), 300)}"
        raise ModelError("no operators", [Problem(where, "a file that Python runs", got)]) from error
    finally:
        sys.modules.pop(module.__name__, None)
    found = getattr(module, NAME, None)
    if not isinstance(found, (list, tuple)) or not all(isinstance(kind, type) for kind in found):
        got = "none" if found is None else shorten(repr(found))
        raise ModelError("no operators", [Problem(where, f"a list of classes, {NAME} = [...]", got)])
    return list(found)
