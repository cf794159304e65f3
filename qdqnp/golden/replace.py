"""Decide what --force may replace: a golden set with nothing else in its folder."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NoReturn

from qdqnp.errors import GoldenError, Problem
from qdqnp.golden.manifest import FORMAT, MANIFEST


def replaceable(out: Path, force: bool) -> bool:
    """Return whether a golden set is in the way and may be replaced; False where nothing is in the way.

    Raises GoldenError where the parent folder is missing, something is in the way without `force`, or what is in the
    way is more or other than a golden set.
    """
    out = Path(os.path.abspath(out))  # noqa: PTH100 - resolve() would follow a link in its place
    if not out.parent.is_dir():
        _refuse(f"folder {out.parent}", "an existing folder to make the set in", "none")
    if not os.path.lexists(out):
        return False
    if not force:
        _refuse(f"folder {out}", "nothing there yet", "something", "Use --force to replace a golden set.")
    if out.is_symlink() or not out.is_dir():
        _refuse(f"folder {out}", "a golden set to replace", "a link" if out.is_symlink() else "a file")
    known = {MANIFEST, *_listed(out)}
    found = {path.relative_to(out).as_posix() for path in out.rglob("*") if not path.is_dir() or path.is_symlink()}
    others = sorted(found - known)
    if MANIFEST not in found:
        _refuse(f"folder {out}", "a golden set to replace", "a folder without a manifest of one")
    if others:
        _refuse(
            f"folder {out}",
            "only files of the golden set",
            f"others too, such as '{others[0]}'",
            "Move them away, or write to another folder.",
        )
    return True


def _listed(out: Path) -> set[str]:
    """Return the files that the manifest lists. Raises GoldenError where it is not the manifest of a golden set."""
    try:
        document: Any = json.loads((out / MANIFEST).read_bytes())
    except (OSError, ValueError, RecursionError):
        document = None
    if (
        not isinstance(document, dict)
        or document.get("format") != FORMAT
        or not isinstance(document.get("files"), dict)
    ):
        _refuse(f"folder {out}", "a golden set to replace", "a folder without a manifest of one")
    return set(document["files"])


def _refuse(where: str, expected: str, got: str, hint: str = "") -> NoReturn:
    raise GoldenError("cannot write the golden set", [Problem(where, expected, got, hint)])
