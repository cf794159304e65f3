"""Decide what --force may replace: a golden set as it was written, with nothing else in its folder.

The manifest lists size and hash of every file, and its last line is its own hash. So a set is known by what qdqnp
wrote, not by names that anybody can list: a file that was edited, added or exchanged since is the user's, and stays.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import NoReturn

from qdqnp.errors import GoldenError, Problem, Problems
from qdqnp.files.documents import parse_json
from qdqnp.files.folder import Contents, unproven
from qdqnp.files.parents import blocked
from qdqnp.files.paths import FOLDER, in_the_way, reason
from qdqnp.files.regular import open_inside, read_all
from qdqnp.golden_sets.manifest import MANIFEST, own_hash
from qdqnp.golden_sets.schema import check_manifest
from qdqnp.limits import MAX_MANIFEST_BYTES


def replaceable(out: Path, force: bool) -> Contents | None:
    """Return what the golden set in the way holds, which may be replaced; None where nothing is in the way.

    Raises GoldenError where a file has the name of a folder above it, something is in the way without `force`, or what
    is in the way is not a golden set alone, as it was written.
    """
    out = Path(os.path.abspath(out))  # noqa: PTH100 - resolve() would follow a link in its place
    if inside := blocked(out):
        _refuse(f"folder {out.parent}", "a folder to make the set in, or nothing yet", inside)
    there = in_the_way(out)
    if not there:
        return None
    if not force:
        _refuse(f"folder {out}", "nothing there yet", "something", "Use --force to replace a golden set.")
    if there != FOLDER:
        _refuse(f"folder {out}", "a golden set to replace", f"a {there}")
    try:
        contents = contents_of(out)
        other = unproven(out, contents)
    except (OSError, ValueError) as error:
        _refuse(f"folder {out}", "a golden set to replace", reason(error))
    if other:
        hint = "Move it away, or write to another folder."
        _refuse(f"folder {out}", "only files of the golden set, as they were written", other, hint)
    return contents


def contents_of(folder: Path) -> Contents:
    """Return size and sha256 of every file of a golden set, by its manifest; the manifest itself is the last.

    Raises OSError where it cannot be read, ValueError where it is not as qdqnp wrote it.
    """
    with open_inside(folder, MANIFEST, note=False) as file:
        data = read_all(file, MAX_MANIFEST_BYTES)
    document, problems = parse_json(data), Problems()
    check_manifest(document, problems)
    if problems.count:
        raise ValueError("a folder whose manifest is not that of a golden set")
    if document.get("sha256") != own_hash(data):
        raise ValueError("a set whose manifest has changed since it was written, or that an older qdqnp wrote")
    contents = {name: (listed["bytes"], listed["sha256"]) for name, listed in document["files"].items()}
    return {**contents, MANIFEST: (len(data), hashlib.sha256(data).hexdigest())}


def _refuse(where: str, expected: str, got: str, hint: str = "") -> NoReturn:
    raise GoldenError("cannot write the golden set", [Problem(where, expected, got, hint)])
