"""Rename without replacing, and exchange two names, each as one step of the file system where it has such a step.

Linux has both (renameat2), macOS too (renamex_np). Elsewhere, and on file systems that lack them: `rename_new` asks
first, and `exchange` says that it cannot.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path

_CANNOT = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EXDEV)
_AT_FDCWD = -100
# The flags of both systems: (no replacing, exchange).
_LINUX, _MACOS = (1, 2), (4, 2)


def rename_new(old: Path, new: Path) -> None:
    """Rename a file or folder to a name that is free. Raises FileExistsError where something is there, OSError for what
    the system refuses."""
    try:
        if _rename(old, new, exchanged=False):
            return
        if not os.path.lexists(new):
            old.rename(new)
            return
    except FileExistsError:
        pass
    raise FileExistsError(errno.EEXIST, "something has appeared there meanwhile", str(new))


def exchange(one: Path, other: Path) -> bool:
    """Exchange what two names stand for, in one step: whoever looks finds the one or the other. Returns False, and does
    nothing, where the system has no such step. Raises OSError for what it refuses."""
    return _rename(one, other, exchanged=True)


def _rename(old: Path, new: Path, *, exchanged: bool) -> bool:
    """Return whether it was done; False where the system cannot."""
    call = _system_call(exchanged)
    if call is None:
        return False
    if call(os.fsencode(old), os.fsencode(new)) == 0:
        return True
    code = ctypes.get_errno()
    if code in _CANNOT:
        return False
    raise OSError(code, os.strerror(code), str(old), None, str(new))


def _system_call(exchanged: bool) -> Callable[[bytes, bytes], int] | None:
    try:
        library = ctypes.CDLL(None, use_errno=True)
        if sys.platform == "linux":
            return lambda old, new: int(library.renameat2(_AT_FDCWD, old, _AT_FDCWD, new, _LINUX[exchanged]))
        if sys.platform == "darwin":
            return lambda old, new: int(library.renamex_np(old, new, _MACOS[exchanged]))
    except (OSError, AttributeError, TypeError):  # TypeError: Windows has no library of all
        pass
    return None
