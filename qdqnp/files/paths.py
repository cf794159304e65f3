"""Ask about paths of unknown origin. What cannot be asked about (a name that is too long, a folder that may not be
entered, a NUL character) is an error of ours, not a traceback."""

from __future__ import annotations

import os
import stat
from collections import deque
from pathlib import Path

from qdqnp.errors import InputError, Problem, shorten

FILE, FOLDER, LINK, OTHER = "file", "folder", "link", "device or pipe"


def reason(error: BaseException) -> str:
    """Return what an error says, without the path, which messages name themselves.

    >>> reason(FileNotFoundError(2, "No such file or directory", "x.npy"))
    'No such file or directory'
    """
    text = error.strerror if isinstance(error, OSError) else str(error)
    return shorten(text or str(error) or type(error).__name__)


def kind_of(path: Path) -> str:
    """Return FILE, FOLDER or OTHER for what is there, links followed; '' for nothing, or a link that leads nowhere.

    Raises InputError where the system does not tell.

    >>> kind_of(Path("absent"))
    ''
    """
    try:
        return _kind(os.stat(path).st_mode)  # noqa: PTH116 - Path.stat says the same, Path.exists hides or raises
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except (OSError, ValueError) as error:
        raise _unknown(path, error) from error


def in_the_way(path: Path) -> str:
    """Return what a new file or folder would replace: FILE, FOLDER, LINK (also one that leads nowhere) or OTHER; '' for
    nothing.

    Raises InputError where the system does not tell.

    >>> in_the_way(Path("absent"))
    ''
    """
    try:
        return _kind(os.lstat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except (OSError, ValueError) as error:
        raise _unknown(path, error) from error


def _unknown(path: Path, error: Exception) -> InputError:
    problem = Problem(f"path {shorten(str(path))}", "a path that the system takes", reason(error))
    return InputError("cannot look at a path", [problem])


def _kind(mode: int) -> str:
    if stat.S_ISLNK(mode):
        return LINK
    return FILE if stat.S_ISREG(mode) else FOLDER if stat.S_ISDIR(mode) else OTHER


def below(folder: Path, most: int) -> dict[str, str]:
    """Return everything below a folder: FILE, FOLDER, LINK or OTHER by its relative name, '/' between folders, sorted.

        folder: the folder. Links in it are listed, never followed.
        most: how many entries there may be.

    Raises OSError for more, and for what the system refuses.

    >>> Path("new").mkdir()
    >>> below(Path("."), 10)
    {'new': 'folder'}
    """
    found: dict[str, str] = {}
    waiting = deque([""])
    while waiting:
        inside = waiting.popleft()
        with os.scandir(folder / inside) as entries:
            for entry in entries:
                name = f"{inside}/{entry.name}" if inside else entry.name
                found[name] = _kind(entry.stat(follow_symlinks=False).st_mode)
                if found[name] == FOLDER:
                    waiting.append(name)
                if len(found) > most:
                    raise OSError(0, f"more than {most} files and folders")
    return dict(sorted(found.items()))


def names_in(folder: Path) -> list[str]:
    """Return the names of what is in a folder, sorted. Raises InputError where the system does not tell.

    >>> Path("new").mkdir()
    >>> names_in(Path("."))
    ['new']
    """
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208 - names are wanted, not paths
    except (OSError, ValueError) as error:
        raise _unknown(folder, error) from error
