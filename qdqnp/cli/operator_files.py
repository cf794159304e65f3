"""Run a file of the user's that defines operators, for `--operators`."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from qdqnp.errors import ModelError, Problem, shorten

NAME = "OPERATORS"


def operators_in(paths: Iterable[Path]) -> tuple[type, ...]:
    """Run Python files, and return the classes that their lists OPERATORS hold.

    Raises ModelError for a file that cannot be run, and for one without such a list.
    """
    return tuple(kind for path in paths for kind in _operators(path))


def _operators(path: Path) -> list[type]:
    where, name = f"--operators '{shorten(str(path))}'", f"qdqnp_operators_{path.stem}"
    spec = spec_from_file_location(name, path) if path.suffix == ".py" and path.is_file() else None
    if spec is None or spec.loader is None:
        raise ModelError("no operators", [Problem(where, "a Python file, NAME.py", "another path, or nothing there")])
    module = module_from_spec(spec)
    try:
        sys.modules[name] = module  # where a dataclass looks for the module that it is in
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # whatever the user's code raises
        got = f"{type(error).__name__}: {shorten(str(error), 300)}"
        raise ModelError("no operators", [Problem(where, "a file that Python runs", got)]) from error
    finally:
        sys.modules.pop(name, None)
    found = getattr(module, NAME, None)
    if not isinstance(found, (list, tuple)) or not all(isinstance(kind, type) for kind in found):
        got = "none" if found is None else shorten(repr(found))
        raise ModelError("no operators", [Problem(where, f"a list of classes, {NAME} = [...]", got)])
    return list(found)
