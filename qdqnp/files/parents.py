"""Make the folders above something new, and take them away again where it does not come about."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from qdqnp.files.paths import FOLDER, kind_of


def blocked(path: Path) -> str:
    """Return what stands where a folder above a path would have to be, in words; '' where all of them are there or can
    be made.

    Raises InputError where the system does not tell.

    >>> blocked(Path("new/inner/set"))
    ''
    """
    for folder in path.parents:
        there = kind_of(folder)
        if there:
            return "" if there == FOLDER else f"a {there} '{folder}'"
    return ""


@contextmanager
def made_parents(path: Path) -> Iterator[None]:
    """Make the folders above a path that are missing. Where the block fails, those that were made are removed, as far
    as nothing is in them.

    Raises OSError for what the system refuses.
    """
    missing = [folder for folder in path.parents if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        for folder in missing:
            with suppress(OSError):
                folder.rmdir()
        raise


def made_folder(path: Path) -> None:
    """Make a folder, and those above it, where they are missing. Raises OSError for what the system refuses, and where
    something else has its name.

    >>> made_folder(Path("new/inner"))
    >>> kind_of(Path("new/inner"))
    'folder'
    """
    path.mkdir(parents=True, exist_ok=True)
